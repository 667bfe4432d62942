"""A worker that is killed together with all that watches over its runs, on one machine."""

import os
import signal

import psutil

from app.core.vocabulary import JobKind
from tests.faults.cluster import Cluster, eventually
from tests.handlers.conftest import alive_with_mark

SCRIPT = "(setsid sh -c 'trap \"\" TERM HUP; sleep 1000' &); echo there; sleep 1000"


async def test_next_worker_ends_what_worker_standby_and_guard_have_left(cluster: Cluster) -> None:
    """Made to fail by a worker that does not look for survivors when it starts, or sweeps."""
    # Without cgroups, which would end it all the same.
    settings = {"allow_commands": "true", "command_cgroup": "/no/such/place"}
    for name, value in settings.items():
        cluster.environment[f"TICKWHEEL_{name.upper()}"] = value
    worker = await cluster.start()
    config = {"argv": ["sh", "-c", SCRIPT]}
    job_id = await cluster.engine.job(kind=JobKind.COMMAND, config=config, retry={"maxAttempts": 1})
    run_id = await cluster.run_now(job_id)
    await cluster.engine.runtime.doorbell.ring()

    async def four_processes() -> list[int]:
        found = alive_with_mark(run_id)
        return found if len(found) >= 4 else []

    processes = await eventually(four_processes)
    watching = [each.pid for each in psutil.Process(worker.pid).children(recursive=True)]
    killed = {worker.pid, *watching} - set(processes)
    assert len(killed) == 3
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in killed:
            os.kill(pid, number)
    await worker.ended()
    await cluster.start()

    async def none() -> bool:
        return not set(processes) & set(alive_with_mark(run_id))

    await eventually(none)
