"""Drain, stop, restart and emergency stop of real workers.

Breaks that were tried, and which test failed: `beat_worker.sql` makes every lost worker ONLINE
again (the drain of a lost worker); `settle_control` leaves the emergency alone (the one that a
sweep completes). That a stop waits for claims under way is shown in
tests/services/test_controlling.py.
"""

import asyncio
from typing import Any

import psutil
from sqlalchemy import text

from tests.dev.processes import PATIENCE_SECONDS, eventually
from tests.schema.api import Api
from tests.worker.control import (
    CONTROL,
    DRAIN,
    MILD,
    STUBBORN,
    Services,
    a_worker,
    attempt,
    command_job,
    do,
    have_processes,
    processes_of_runs,
    runs,
    status,
    trigger,
    until,
    until_status,
)

FAR_AWAY = {"lease_seconds": 600, "heartbeat_seconds": 290}
BRIEF = "echo started; sleep 2; echo done"


async def worker_states(api: Api) -> dict[str, str]:
    async with api.runtime.database.reading(None) as connection:
        rows = await connection.execute(text("SELECT id, state FROM worker"))
        return {f"worker_{row.id.hex}": row.state for row in rows}


async def has_ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await process.wait()


async def test_drained_worker_finishes_what_it_has_and_takes_nothing_more(
    api: Api, services: Services
) -> None:
    job_id = await command_job(api, BRIEF)
    async with a_worker(services, **FAR_AWAY) as worker:
        first = await trigger(api, job_id)
        await until(api, [first], "RUNNING")
        (shown,) = (await status(api))["workers"]
        payload = await do(api, DRAIN, id=shown["id"])
        assert payload["worker"]["state"] == "DRAINING"
        second = await trigger(api, job_id)
        assert await has_ended(worker.process) == 0
    assert [run["state"] for run in await runs(api, ids=[first])] == ["SUCCEEDED"]
    assert [run["state"] for run in await runs(api, ids=[second])] == ["QUEUED"]
    assert await worker_states(api) == {shown["id"]: "STOPPED"}
    again = await attempt(api, DRAIN, id=shown["id"])
    assert again["errors"][0]["code"] == "STATE_CONFLICT"


async def test_drain_that_was_asked_of_a_lost_worker_is_not_forgotten(
    api: Api, services: Services
) -> None:
    async with a_worker(services, lease_seconds=2, heartbeat_seconds=0.4) as worker:
        (shown,) = (await status(api))["workers"]
        process = psutil.Process(worker.process.pid)
        process.suspend()
        try:
            async with api.runtime.database.transaction() as transaction:
                await transaction.execute(text("UPDATE worker SET state = 'LOST'"))
            await do(api, DRAIN, id=shown["id"])
        finally:
            process.resume()
        assert await has_ended(worker.process) == 0


async def test_stop_waits_for_running_work_and_starts_nothing(api: Api, services: Services) -> None:
    job_id = await command_job(api, BRIEF)
    async with a_worker(services):
        first = await trigger(api, job_id)
        await until(api, [first], "RUNNING")
        payload = await do(api, CONTROL, action="STOP", reason="upgrade")
        assert payload["status"]["state"] == "DRAINING"
        second = await trigger(api, job_id)
        await until_status(api, "STOPPED")
        assert [run["state"] for run in await runs(api, ids=[first])] == ["SUCCEEDED"]
        assert [run["state"] for run in await runs(api, ids=[second])] == ["QUEUED"]
        await do(api, CONTROL, action="START", reason="done")
        await until(api, [second], "SUCCEEDED")


async def test_stop_gives_back_what_takes_too_long(api: Api, services: Services) -> None:
    job_id = await command_job(api, MILD)
    async with a_worker(services):
        run_id = await trigger(api, job_id)
        await have_processes([run_id])
        await do(api, CONTROL, action="STOP", reason="now", drainTimeout="PT0S")
        await until(api, [run_id], "QUEUED")
        assert processes_of_runs()[run_id] == 0
        assert (await status(api))["state"] == "STOPPED"


async def test_paused_instance_still_runs_what_is_queued(api: Api, services: Services) -> None:
    job_id = await api.create_job()
    async with a_worker(services):
        await do(api, CONTROL, action="PAUSE", reason="quiet")
        run_id = await trigger(api, job_id)
        await until(api, [run_id], "SUCCEEDED")
        assert (await status(api))["state"] == "PAUSED"


async def test_emergency_stop_leaves_nothing_alive_and_nothing_due(
    api: Api, services: Services
) -> None:
    job_id = await command_job(api, STUBBORN, concurrencyLimit=10)
    later = await trigger(api, await api.create_job("later"), at="2099-01-01T00:00:00Z")
    async with a_worker(services, **FAR_AWAY), a_worker(services, **FAR_AWAY):
        ids = [await trigger(api, job_id) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(running := await runs(api, ids=ids, state=["RUNNING"])) < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await have_processes([run["id"] for run in running])
        refused = await attempt(api, CONTROL, action="EMERGENCY_STOP", reason="fire", confirm="yes")
        assert refused["errors"][0]["path"] == ["confirm"]
        payload = await do(
            api, CONTROL, action="EMERGENCY_STOP", reason="fire", confirm="stop everything"
        )
        assert payload["status"]["state"] == "STOPPED"
        found = await until(api, ids, "CANCELLED")
        alive = processes_of_runs()
        assert [run_id for run_id in ids if alive[run_id]] == []
        assert {run["message"] for run in found} == {"Cancelled by admin: emergency stop: fire"}
    assert [run["state"] for run in await runs(api, ids=[later])] == ["QUEUED"]


async def test_emergency_stop_is_completed_by_a_sweep_when_its_process_has_died(
    api: Api, services: Services
) -> None:
    """The state is committed first; any worker's sweep cancels what is left."""
    job_id = await command_job(api, MILD)
    async with a_worker(services, heartbeat_seconds=0.5, lease_seconds=5):
        run_id = await trigger(api, job_id)
        await have_processes([run_id])
        async with api.runtime.database.transaction() as transaction:
            await transaction.execute(
                text(
                    "UPDATE scheduler_state SET state = 'STOPPED', is_emergency = true,"
                    " changed_at = now(), reason = 'fire'"
                )
            )
        await until(api, [run_id], "CANCELLED")
        assert processes_of_runs()[run_id] == 0


async def test_restart_replaces_every_worker_in_place(api: Api, services: Services) -> None:
    job_id = await command_job(api, BRIEF)
    async with a_worker(services, **FAR_AWAY) as one, a_worker(services, **FAR_AWAY) as two:
        pids = {one.process.pid, two.process.pid}
        before = await worker_states(api)
        run_id = await trigger(api, job_id)
        await until(api, [run_id], "RUNNING")
        await do(api, CONTROL, action="RESTART", reason="new version")

        async def are_new() -> list[dict[str, Any]]:
            workers = (await status(api))["workers"]
            new = [each for each in workers if each["id"] not in before]
            return new if len(new) == 2 else []

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (new := await are_new()):  # noqa: ASYNC110 - other processes do it
                await asyncio.sleep(0.1)
        assert {each["pid"] for each in new} == pids
        states = await worker_states(api)
        assert {states[worker_id] for worker_id in before} == {"STOPPED"}
        # What ran was finished, not repeated.
        (run,) = await until(api, [run_id], "SUCCEEDED")
        assert run["attempt"] == 1
        await until(api, [await trigger(api, job_id)], "SUCCEEDED")
        await eventually(lambda: "worker.started" in one.said)
