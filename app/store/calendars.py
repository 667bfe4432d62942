"""Calendars, and the schedules that follow them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select

from app.core.errors import AlreadyExists
from app.models import Calendar, Schedule
from app.store.database import ReadConnection, Transaction

# As the partial index says it, or PostgreSQL does not use it.
_FOLLOWS_ANY = text("schedule.calendar_ids <> '{}'")


async def read_calendars(
    connection: ReadConnection, calendar_ids: Iterable[UUID]
) -> dict[UUID, Calendar]:
    """Return calendars by id; without a query when none is asked for."""
    wanted = set(calendar_ids)
    if not wanted:
        return {}
    query = select(Calendar).where(col(Calendar.id).in_(wanted))
    return {calendar.id: calendar for calendar in (await connection.exec(query)).all()}


async def read_calendars_of_project(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[Calendar]:
    """Return the project's calendars by key."""
    query = (
        select(Calendar)
        .where(col(Calendar.project_id) == project_id)
        .order_by(col(Calendar.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def count_calendars(connection: ReadConnection, project_id: UUID) -> int:
    """Return how many calendars a project has."""
    query = select(func.count()).where(col(Calendar.project_id) == project_id)
    return (await connection.exec(query)).one()


async def share_calendars(
    transaction: Transaction, project_id: UUID, calendar_ids: Iterable[UUID]
) -> dict[UUID, Calendar]:
    """Return calendars of the project and keep them as they are until the transaction ends.

    Whoever makes a schedule follow a calendar calls this before it holds the schedule: an edit of
    the calendar holds the calendar first and its schedules next.
    """
    wanted = set(calendar_ids)
    if not wanted:
        return {}
    query = (
        select(Calendar)
        .where(col(Calendar.project_id) == project_id, col(Calendar.id).in_(wanted))
        .order_by(col(Calendar.id))
        .with_for_update(read=True)
    )
    return {calendar.id: calendar for calendar in (await transaction.exec(query)).all()}


async def lock_calendar(transaction: Transaction, project_id: UUID, key: str) -> Calendar | None:
    """Return the calendar of that key, held against other edits and against new followers."""
    query = (
        select(Calendar)
        .where(col(Calendar.project_id) == project_id, col(Calendar.key) == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await transaction.exec(query)).first()


async def insert_calendar(transaction: Transaction, calendar: Calendar) -> None:
    """Write a new calendar, or raise `AlreadyExists` when somebody has just taken its key."""
    written = await transaction.execute(
        insert(Calendar)
        .values(calendar.model_dump())
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(col(Calendar.id))
    )
    if written.first() is None:
        raise AlreadyExists(
            f"Somebody has just created the calendar {calendar.key!r}: look at it, then repeat.",
            path=("key",),
        )


async def update_calendar(
    transaction: Transaction, calendar_id: UUID, changes: Mapping[str, Any]
) -> Calendar:
    """Write columns of a calendar the caller holds, and count the version."""
    result = await transaction.execute(
        update(Calendar)
        .where(col(Calendar.id) == calendar_id)
        .values(**changes, version=col(Calendar.version) + 1, updated_at=func.now())
        .returning(Calendar)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def delete_calendar(transaction: Transaction, calendar_id: UUID) -> None:
    """Remove a calendar the caller holds."""
    await transaction.exec(delete(Calendar).where(col(Calendar.id) == calendar_id))


async def read_keys_of_followers(
    connection: ReadConnection, calendar_id: UUID, *, limit: int
) -> Sequence[str]:
    """Return keys of the schedules that follow a calendar and are not archived."""
    query = (
        select(Schedule.key)
        .where(
            _follows(calendar_id),
            col(Schedule.archived_at).is_(None),
        )
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def lock_followers(
    transaction: Transaction, calendar_id: UUID, *, after: UUID | None, limit: int
) -> Sequence[Schedule]:
    """Hold the next schedules that follow a calendar, in the order of their ids.

    Also those that do not fire: one that is being resumed at this moment must be waited for.
    """
    query = (
        select(Schedule)
        .where(
            _follows(calendar_id),
            col(Schedule.archived_at).is_(None),
        )
        .order_by(col(Schedule.id))
        .limit(limit)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if after is not None:
        query = query.where(col(Schedule.id) > after)
    return (await transaction.exec(query)).all()


def _follows(calendar_id: UUID) -> ColumnElement[bool]:
    """Return whether a schedule follows a calendar, now or until its last edit takes effect."""
    before = col(Schedule.timing_before)["calendar_ids"]
    return or_(
        and_(_FOLLOWS_ANY, col(Schedule.calendar_ids).contains([calendar_id])),
        and_(col(Schedule.effective_from) > func.now(), before.contains([str(calendar_id)])),
    )
