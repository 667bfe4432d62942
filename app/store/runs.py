"""Runs as they are read: lists, single ones and attempts.

What the engine locks and writes is in `queue` and `firing`; their logs are in `run_logs`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select
from sqlmodel import col, select

from app.core.clock import utc_now
from app.core.vocabulary import RunState
from app.models import Attempt, Job, Run, Schedule, Worker
from app.store.database import ReadConnection, Transaction
from app.store.filters import RunFilter
from app.store.pages import (
    Order,
    Page,
    PageRequest,
    count_up_to,
    in_no_index,
    plan_for_values,
    read_page,
)


async def read_run(connection: ReadConnection, project_id: UUID, run_id: UUID) -> Run | None:
    """Return one run."""
    query = select(Run).where(col(Run.project_id) == project_id, col(Run.id) == run_id)
    return (await connection.exec(query)).first()


async def read_project_of_run(connection: ReadConnection, run_id: UUID) -> UUID | None:
    """Return the project that a run belongs to."""
    return (await connection.exec(select(Run.project_id).where(col(Run.id) == run_id))).first()


async def lock_run(transaction: Transaction, project_id: UUID, run_id: UUID) -> Run | None:
    """Return one run and keep claims and finishers from changing it."""
    query = select(Run).where(col(Run.project_id) == project_id, col(Run.id) == run_id)
    return (await transaction.exec(query.with_for_update())).first()


async def read_runs(
    connection: ReadConnection, project_id: UUID, run_ids: Iterable[UUID]
) -> dict[UUID, Run]:
    """Return runs by id."""
    query = select(Run).where(col(Run.project_id) == project_id, col(Run.id).in_(set(run_ids)))
    return {run.id: run for run in (await connection.exec(query)).all()}


async def read_newest_ids(
    connection: ReadConnection, project_id: UUID, narrowed: RunFilter, *, limit: int
) -> list[UUID]:
    """Return the ids of the newest runs that pass a filter."""
    await plan_for_values(connection)
    id_column = in_no_index(Run.id) if narrowed.is_apart(utc_now()) else col(Run.id)
    query = (
        select(Run.id)
        .where(col(Run.project_id) == project_id, narrowed.condition())
        .order_by(id_column.desc())
        .limit(limit)
    )
    return list((await connection.exec(query)).all())


def select_runs(project_id: UUID, narrowed: RunFilter) -> Select[Any]:
    """Return the query for a list of runs."""
    return select(Run).where(col(Run.project_id) == project_id, narrowed.condition())


async def page_runs(
    connection: ReadConnection,
    query: Select[Any],
    order: Order,
    page: PageRequest,
    *,
    narrowed: RunFilter,
) -> Page[Run]:
    """Return one page of the runs that `narrowed` let into the query."""
    found = await read_page(
        connection,
        query,
        id_column=col(Run.id),
        order=order,
        page=page,
        sorts=narrowed.is_apart(utc_now()),
    )
    return Page([row[0] for row in found.items], found.has_previous, found.has_next)


async def count_runs(connection: ReadConnection, query: Select[Any], cap: int) -> tuple[int, bool]:
    """Count runs, up to a cap."""
    return await count_up_to(connection, query, id_column=col(Run.id), cap=cap)


@dataclass(frozen=True, slots=True)
class ExportedRun:
    """A run, with the keys of its job and its schedule."""

    run: Run
    job_key: str
    schedule_key: str | None


async def read_runs_to_export(
    connection: ReadConnection,
    project_id: UUID,
    narrowed: RunFilter,
    *,
    before: UUID | None,
    limit: int,
) -> list[ExportedRun]:
    """Return the newest runs that pass a filter and were made before another one."""
    query = (
        select(Run, Job.key, Schedule.key)
        .join(Job, col(Job.id) == col(Run.job_id))
        .outerjoin(Schedule, col(Schedule.id) == col(Run.schedule_id))
        .where(col(Run.project_id) == project_id, narrowed.condition())
        .order_by(col(Run.id).desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(col(Run.id) < before)
    return [ExportedRun(*row) for row in (await connection.exec(query)).all()]


async def read_attempts(
    connection: ReadConnection, run_ids: Iterable[UUID]
) -> dict[UUID, list[Attempt]]:
    """Return the finished attempts of runs, the first one first."""
    ids = set(run_ids)
    query = select(Attempt).where(col(Attempt.run_id).in_(ids)).order_by(col(Attempt.number))
    attempts: dict[UUID, list[Attempt]] = {run_id: [] for run_id in ids}
    for attempt in (await connection.exec(query)).all():
        attempts[attempt.run_id].append(attempt)
    return attempts


async def lock_waiting_runs(transaction: Transaction, schedule_id: UUID) -> list[UUID]:
    """Hold the schedule's queued runs, and return them.

    One that is being claimed at this moment starts. Waiting for its claim would be a deadlock: the
    caller holds the schedule, and the claim may be waiting for that.
    """
    query = (
        select(Run.id)
        .where(col(Run.schedule_id) == schedule_id, col(Run.state) == RunState.QUEUED)
        .with_for_update(skip_locked=True)
    )
    return list((await transaction.exec(query)).all())


async def read_workers_by_id(
    connection: ReadConnection, worker_ids: Iterable[UUID]
) -> dict[UUID, Worker]:
    """Return the workers that runs name."""
    query = select(Worker).where(col(Worker.id).in_(set(worker_ids)))
    return {worker.id: worker for worker in (await connection.exec(query)).all()}
