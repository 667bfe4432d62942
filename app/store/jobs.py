"""Jobs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from app.core.errors import AlreadyExists
from app.models import Job, Schedule
from app.store.database import ReadConnection, Transaction
from app.store.filters import Tags
from app.store.pages import Order, Page, PageRequest, count_up_to, read_page
from app.store.words import matches_words

NEWEST_FIRST = Order(None, descending=True)


async def read_job(connection: ReadConnection, project_id: UUID, job_id: UUID) -> Job | None:
    """Return one job of the project, archived or not."""
    query = select(Job).where(col(Job.project_id) == project_id, col(Job.id) == job_id)
    return (await connection.exec(query)).first()


async def read_job_by_key(connection: ReadConnection, project_id: UUID, key: str) -> Job | None:
    """Return the job that has the key now."""
    query = select(Job).where(
        col(Job.project_id) == project_id, col(Job.key) == key, col(Job.archived_at).is_(None)
    )
    return (await connection.exec(query)).first()


async def read_jobs(
    connection: ReadConnection, project_id: UUID, job_ids: Iterable[UUID]
) -> dict[UUID, Job]:
    """Return jobs by id."""
    query = select(Job).where(col(Job.project_id) == project_id, col(Job.id).in_(set(job_ids)))
    return {job.id: job for job in (await connection.exec(query)).all()}


async def lock_job(transaction: Transaction, project_id: UUID, job_id: UUID) -> Job | None:
    """Return one job and keep others from changing it; its schedules may still be inserted."""
    query = (
        select(Job)
        .where(col(Job.project_id) == project_id, col(Job.id) == job_id)
        .with_for_update(key_share=True)
    )
    return (await transaction.exec(query)).first()


def select_jobs(project_id: UUID, *, search: str | None, tags: Tags) -> Select[Any]:
    """Return the query for the project's jobs that are not archived."""
    query: Select[Any] = select(Job).where(
        col(Job.project_id) == project_id, col(Job.archived_at).is_(None)
    )
    if tags:
        query = query.where(col(Job.tags).contains(dict(tags)))
    words = matches_words(search, func.words_in(Job.key, Job.name, Job.description, Job.tags))
    return query if words is None else query.where(words)


async def page_jobs(connection: ReadConnection, query: Select[Any], page: PageRequest) -> Page[Job]:
    """Return one page of jobs, the newest first."""
    found = await read_page(connection, query, id_column=col(Job.id), order=NEWEST_FIRST, page=page)
    return Page([row[0] for row in found.items], found.has_previous, found.has_next)


async def count_jobs(connection: ReadConnection, query: Select[Any], cap: int) -> tuple[int, bool]:
    """Count jobs, up to a cap."""
    return await count_up_to(connection, query, id_column=col(Job.id), cap=cap)


async def insert_job(transaction: Transaction, job: Job) -> None:
    """Write a new job, or raise `AlreadyExists` when its key is taken."""
    written = await transaction.execute(
        insert(Job)
        .values(job.model_dump())
        .on_conflict_do_nothing(
            index_elements=["project_id", "key"], index_where=col(Job.archived_at).is_(None)
        )
        .returning(col(Job.id))
    )
    if written.first() is None:
        raise AlreadyExists(f"There is already a job with the key {job.key!r}.", path=("key",))


async def update_job(transaction: Transaction, job_id: UUID, changes: Mapping[str, Any]) -> Job:
    """Write columns of a job the caller holds, and count the revision."""
    result = await transaction.execute(
        update(Job)
        .where(col(Job.id) == job_id)
        .values(**changes, revision=col(Job.revision) + 1, updated_at=func.now())
        .returning(Job)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def read_schedule_keys_of_job(
    connection: ReadConnection, job_id: UUID, *, limit: int
) -> Sequence[str]:
    """Return keys of the job's schedules that are not archived."""
    query = (
        select(Schedule.key)
        .where(col(Schedule.job_id) == job_id, col(Schedule.archived_at).is_(None))
        .limit(limit)
    )
    return (await connection.exec(query)).all()
