"""Real workers, runs that spawn processes of their own, and the mutations that end both."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.dev.processes import PATIENCE_SECONDS, eventually
from tests.journey.processes import Command, running
from tests.schema.api import ERRORS, Api

RUN = "run { id state reason message cause rerunOf { id } scheduledFor parameters }"
TRIGGER = f"""mutation($input: JobTriggerInput!) {{
    jobTrigger(input: $input) {{ replayed {RUN} {ERRORS} }} }}"""
CANCEL = f"""mutation($input: RunCancelInput!) {{
    runCancel(input: $input) {{ {RUN} {ERRORS} }} }}"""
RERUN = f"""mutation($input: RunRerunInput!) {{
    runRerun(input: $input) {{ replayed {RUN} {ERRORS} }} }}"""
BULK = f"""mutation($input: RunsBulkInput!) {{
    runsBulk(input: $input) {{ matched results {{ index id ok {ERRORS} }} {ERRORS} }} }}"""
CONTROL = f"""mutation($input: SchedulerControlInput!) {{
    schedulerControl(input: $input) {{
        status {{ state reason version changedBy {{ name }} problems }} {ERRORS} }} }}"""
QUEUE = f"""mutation($input: QueueControlInput!) {{
    queueControl(input: $input) {{
        queue {{ name paused limit depth running oldestAge throughputPerMinute }} {ERRORS} }} }}"""
DRAIN = f"""mutation($id: ID!) {{
    workerDrain(id: $id) {{ worker {{ id state }} {ERRORS} }} }}"""
STATUS = """{ scheduler { state reason problems queuedRuns runningRuns
    workers { id pid state busy startedAt }
    queues { name paused limit depth running oldestAge throughputPerMinute } } }"""
RUNS = """query($filter: RunFilter) { runs(first: 100, filter: $filter) {
    nodes { id state reason message attempt } } }"""

# It leaves its session, is deaf to TERM and so are its children; each says that it is there.
STUBBORN = (
    "trap '' TERM; (setsid sh -c \"trap '' TERM; while :; do sleep 0.2; done\" &); "
    "echo started; while :; do sleep 0.2; done"
)
# It ends when it is asked to.
MILD = "(setsid sleep 1000 &); echo started; sleep 1000"


@dataclass(frozen=True, slots=True)
class Services:
    """Where a test's PostgreSQL and Redis are, and where its workers write their words."""

    database_url: str
    redis_url: str
    directory: Path


@asynccontextmanager
async def a_worker(services: Services, **changes: object) -> AsyncIterator[Command]:
    """Run a worker."""
    settings: dict[str, object] = {
        "database_url": services.database_url,
        "redis_url": services.redis_url,
        "allow_commands": True,
        "worker_port": 0,
        "sweep_seconds": 0.5,
        **changes,
    }
    async with running("worker", services.directory, **settings) as worker:
        await worker.says("worker.started")
        yield worker


async def do(api: Api, mutation: str, **given: Any) -> dict[str, Any]:
    """Do something that must be accepted."""
    payload = await attempt(api, mutation, **given)
    assert payload["errors"] == [], payload
    return payload


async def attempt(api: Api, mutation: str, **given: Any) -> dict[str, Any]:
    """Do something and return its payload."""
    variables = given if "$id" in mutation.partition("{")[0] else {"input": given}
    (payload,) = (await api.data(mutation, **variables)).values()
    return dict(payload)


async def command_job(api: Api, script: str, key: str = "command", **more: Any) -> str:
    """Create a job that runs a script."""
    config = {"argv": ["sh", "-c", script]}
    return await api.create_job(key, kind="COMMAND", config=config, **more)


async def trigger(api: Api, job_id: str, **given: Any) -> str:
    """Queue a run of a job and return its id."""
    return str((await do(api, TRIGGER, id=job_id, **given))["run"]["id"])


async def runs(api: Api, **narrowed: Any) -> list[dict[str, Any]]:
    """Return runs."""
    return list((await api.data(RUNS, filter=narrowed))["runs"]["nodes"])


async def status(api: Api) -> dict[str, Any]:
    """Return the state of the instance."""
    return dict((await api.data(STATUS))["scheduler"])


async def until(api: Api, ids: Sequence[str], *states: str) -> list[dict[str, Any]]:
    """Wait until all these runs are in one of the states."""
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found) < len(ids):
                await asyncio.sleep(0.05)
                found = await runs(api, ids=list(ids), state=list(states))
    except TimeoutError:
        raise AssertionError(await runs(api, ids=list(ids))) from None
    return found


async def until_status(api: Api, state: str) -> dict[str, Any]:
    """Wait until the instance is in a state."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (found := await status(api))["state"] != state:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return found


async def have_processes(ids: Sequence[str], at_least: int = 3) -> None:
    """Wait until each run has its processes: at least one is in a session of its own."""

    def are_there() -> bool:
        counts = processes_of_runs()
        return all(counts[run_id] >= at_least for run_id in ids)

    await eventually(are_there)


def processes_of_runs() -> Counter[str]:
    """Return how many processes each run has, wherever they sit in the tree."""
    counts: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            mark = process.environ().get("TICKWHEEL_RUN_ID")
            if mark and process.status() != psutil.STATUS_ZOMBIE:
                counts[mark] += 1
        except psutil.Error:
            continue
    return counts
