"""The history of schedules: written with every change, read to tell what was in force when."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Enum, Select, Uuid
from sqlalchemy.types import TypeEngine
from sqlmodel import col, select

from app.core.vocabulary import ChangeKind
from app.models import Schedule, ScheduleVersion
from app.models.columns import ActorRecord, new_id
from app.store.database import ReadConnection, Transaction
from app.store.firing import to_json
from app.store.pages import Order, Page, PageRequest, read_page

# What is no part of a definition or a state, or stands in columns of the version itself.
_BESIDES = [
    "id",
    "project_id",
    "version",
    "revision",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "definition_hash",
    "has_overrides",
    "passed_over",
    "cursor_at",
    "next_run_at",
    "runs_made",
    "last_start_at",
    "probe_at",
    "probe_run_id",
]
_NEWEST_FIRST = Order(col(ScheduleVersion.sequence), descending=True)


async def record_versions(
    transaction: Transaction,
    schedule_ids: Collection[UUID],
    change: ChangeKind,
    *,
    by: ActorRecord | None,
    comment: str | None = None,
) -> None:
    """Write what schedules have just become, in one statement whatever their number."""
    if not schedule_ids:
        return
    await transaction.run_file(
        "record_versions",
        {
            "id": [new_id() for _ in schedule_ids],
            "schedule_id": list(schedule_ids),
            "change": change.value,
            "by": None if by is None else to_json(by),
            "comment": comment,
            "besides": _BESIDES,
        },
    )


async def record_ended_schedules(
    transaction: Transaction, schedule_ids: Collection[UUID], change: ChangeKind, *, by: ActorRecord
) -> None:
    """Write what schedules have become by a tick that has ended them, and nothing else of them."""
    if not schedule_ids:
        return
    await transaction.run_file(
        "record_ended_schedules",
        {
            "id": [new_id() for _ in schedule_ids],
            "schedule_id": list(schedule_ids),
            "change": change.value,
            "by": to_json(by),
            "besides": _BESIDES,
        },
    )


async def read_definition(
    connection: ReadConnection, schedule_id: UUID, version: int
) -> ScheduleVersion | None:
    """Return the row that brought a definition into being."""
    query = (
        select(ScheduleVersion)
        .where(
            col(ScheduleVersion.schedule_id) == schedule_id,
            col(ScheduleVersion.version) == version,
        )
        .order_by(col(ScheduleVersion.sequence))
        .limit(1)
    )
    return (await connection.exec(query)).first()


async def read_version_in_force(
    connection: ReadConnection, schedule_id: UUID, at: datetime
) -> ScheduleVersion | None:
    """Return what the schedule was at an instant; its first version for one before them all."""
    query = (
        select(ScheduleVersion)
        .where(col(ScheduleVersion.schedule_id) == schedule_id, col(ScheduleVersion.at) <= at)
        .order_by(col(ScheduleVersion.sequence).desc())
        .limit(1)
    )
    found = (await connection.exec(query)).first()
    return found or await _read_first(connection, schedule_id)


async def read_next_version(
    connection: ReadConnection, schedule_id: UUID, sequence: int
) -> ScheduleVersion | None:
    """Return the version that ended the one of this sequence."""
    query = select(ScheduleVersion).where(
        col(ScheduleVersion.schedule_id) == schedule_id,
        col(ScheduleVersion.sequence) == sequence + 1,
    )
    return (await connection.exec(query)).first()


def select_versions(schedule_id: UUID) -> Select[Any]:
    """Return the query for a schedule's history."""
    return select(ScheduleVersion).where(col(ScheduleVersion.schedule_id) == schedule_id)


async def page_versions(
    connection: ReadConnection, query: Select[Any], page: PageRequest
) -> Page[ScheduleVersion]:
    """Return one page of a history, the newest first."""
    found = await read_page(
        connection, query, id_column=col(ScheduleVersion.id), order=_NEWEST_FIRST, page=page
    )
    return Page([row[0] for row in found.items], found.has_previous, found.has_next)


def columns_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a snapshot as the schedule's row had them."""
    types = {column.name: column.type for column in Schedule.metadata.tables["schedule"].columns}
    return {name: _value(types[name], value) for name, value in snapshot.items() if name in types}


async def _read_first(connection: ReadConnection, schedule_id: UUID) -> ScheduleVersion | None:
    query = (
        select(ScheduleVersion)
        .where(col(ScheduleVersion.schedule_id) == schedule_id)
        .order_by(col(ScheduleVersion.sequence))
        .limit(1)
    )
    return (await connection.exec(query)).first()


def _value(type_: TypeEngine[Any], value: Any) -> Any:
    """Read back what `to_jsonb` wrote."""
    if value is None:
        return None
    match type_:
        case DateTime():
            return datetime.fromisoformat(value)
        case Enum(enum_class=words) if words is not None:
            return words(value)
        case Uuid():
            return UUID(value)
        case ARRAY(item_type=item):
            return [_value(item, each) for each in value]
    return value
