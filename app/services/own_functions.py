"""Built-in functions that read and write Tickwheel's own data, run as jobs like any other.

They work on the project of their run and on no other. A worker and an API import this module so
that they are registered, beside those in `handlers/builtin.py` and under the same path.
"""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from app.core.ids import split_id
from app.core.run_tables import CONTENT_TYPES, Format
from app.core.vocabulary import RunState
from app.handlers.run_context import OnlyWithin, within
from app.runtime import Runtime
from app.services.exporting import MOST_RUNS, Export, export_to_file, export_to_text
from app.services.pruning import prune
from app.store.filters import RunFilter, TimeRange
from app.store.jobs import read_job_by_key
from app.store.runs import read_project_of_run
from app.store.schedules import read_schedule_by_key
from tickwheel import RunContext, task

_PATH = "app.handlers.builtin"
_MOST_SENT_BYTES: Final = 8 * 1024 * 1024
_URLS = ("http://", "https://")


class ExportFailed(Exception):
    """The export could not be made, or not be delivered."""


@task(name=f"{_PATH}.export_runs")
async def export_runs(
    context: RunContext,
    to: str,
    *,
    format: Literal["csv", "json", "markdown", "html"] = "csv",  # noqa: A002 - a parameter's name
    method: Literal["PUT", "POST"] = "PUT",
    states: list[RunState] | None = None,
    job: str | None = None,
    schedule: str | None = None,
    scheduled_from: datetime | None = None,
    scheduled_before: datetime | None = None,
    limit: int = 10_000,
) -> dict[str, Any]:
    """Write the project's runs, the newest first, to a file or a URL.

    `to` is the name of a file below the directory that the operator has set (TICKWHEEL_EXPORT_DIR),
    or a URL that takes a PUT or a POST. `job` and `schedule` are keys; `scheduled_from` is
    inclusive, `scheduled_before` is not.
    """
    if not 1 <= limit <= MOST_RUNS:
        raise ExportFailed(f"limit lies between 1 and {MOST_RUNS:,}.")
    runtime, project_id = await _place_of(context)
    narrowed = await _narrowed(runtime, project_id, states, job, schedule)
    if scheduled_from is not None or scheduled_before is not None:
        during = RunFilter(scheduled_for=TimeRange(scheduled_from, scheduled_before))
        narrowed = RunFilter(all_of=(narrowed, during))
    export = Export(project_id, narrowed, limit, format)
    if not to.startswith(_URLS):
        runs, size = await export_to_file(runtime, export, to)
        return {"runs": runs, "bytes": size, "file": to}
    runs, text = await export_to_text(runtime, export, most_bytes=_MOST_SENT_BYTES)
    await _send(context, to, method, format, text)
    return {"runs": runs, "bytes": len(text.encode()), "url": to}


@task(name=f"{_PATH}.purge")
async def purge(context: RunContext) -> dict[str, int]:
    """Remove now what the workers remove in time: all that is older than the retention allows.

    Finished runs with their logs, archived schedules and jobs, past events and findings.
    """
    runtime, _ = await _place_of(context)
    positions: dict[UUID, UUID] = {}
    removed = 0
    while True:
        pruned = await prune(runtime, positions)
        removed += pruned.removed
        if not pruned.has_more:
            return {"removed": removed}


async def _place_of(context: RunContext) -> tuple[Runtime, UUID]:
    """Return what to work on, and the project of the run. Raises OnlyWithin."""
    runtime = within(context).instance
    run = split_id(context.run_id)
    if not isinstance(runtime, Runtime) or run is None:
        raise OnlyWithin
    async with runtime.database.reading(None) as connection:
        project_id = await read_project_of_run(connection, run[1])
    assert project_id is not None, "a run that is being executed is in the table"
    return runtime, project_id


async def _narrowed(
    runtime: Runtime,
    project_id: UUID,
    states: list[RunState] | None,
    job: str | None,
    schedule: str | None,
) -> RunFilter:
    job_id = schedule_id = None
    async with runtime.database.reading(project_id) as connection:
        if job is not None:
            found = await read_job_by_key(connection, project_id, job)
            if found is None:
                raise ExportFailed(f"There is no job {job!r}.")
            job_id = found.id
        if schedule is not None:
            record = await read_schedule_by_key(connection, project_id, schedule)
            if record is None:
                raise ExportFailed(f"There is no schedule {schedule!r}.")
            schedule_id = record.schedule.id
    return RunFilter(
        states=None if states is None else tuple(states), job_id=job_id, schedule_id=schedule_id
    )


async def _send(context: RunContext, url: str, method: str, format_: Format, text: str) -> None:
    """Hand the export over; what runs have said in it is no template."""
    config = {
        "url": url,
        "method": method,
        "headers": {"Content-Type": CONTENT_TYPES[format_]},
        "body": "{{ parameters.export }}",
    }
    answer = await within(context).request(config, {"export": text})
    error = answer.outcome.error
    if error is not None:
        raise ExportFailed(f"It was not taken: {error.message}")
