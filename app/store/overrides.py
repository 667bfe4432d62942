"""Overrides of single occurrences: what ticks plan with, what people decided.

Whoever writes here holds the schedule. `schedule.has_overrides` says whether a tick has to look at
all; it may say so once too often, never too seldom.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, func, not_, or_, update
from sqlmodel import col, select

from app.core.overrides import Override
from app.models import OccurrenceOverride, Schedule
from app.models.columns import ActorRecord
from app.store.database import ReadConnection, Transaction

# One that fired early still accounts for its occurrence, until the cursor has passed that, too.
_STANDS = and_(
    col(OccurrenceOverride.undone_at).is_(None),
    not_(col(OccurrenceOverride.orphaned)),
    or_(
        col(OccurrenceOverride.settled_at).is_(None),
        col(OccurrenceOverride.at) > col(Schedule.cursor_at),
    ),
)


async def read_overrides_to_plan(
    connection: ReadConnection, schedule_ids: Collection[UUID]
) -> Mapping[UUID, Sequence[Override]]:
    """Return what planning needs: the overrides that stand, of each schedule that has any."""
    if not schedule_ids:
        return {}
    query = (
        select(OccurrenceOverride, Schedule.timezone)
        .join(Schedule, col(Schedule.id) == col(OccurrenceOverride.schedule_id))
        .where(col(OccurrenceOverride.schedule_id).in_(schedule_ids), _STANDS)
    )
    found: defaultdict[UUID, list[Override]] = defaultdict(list)
    for row, timezone in (await connection.exec(query)).all():
        found[row.schedule_id].append(override_of(row, timezone))
    # A schedule without any is among them: its flag is to be taken back.
    return {schedule_id: found[schedule_id] for schedule_id in schedule_ids}


async def read_standing_overrides(
    connection: ReadConnection, schedule_id: UUID
) -> Sequence[Override]:
    """Return the overrides that stand of one schedule, whatever its flag says."""
    return (await read_overrides_to_plan(connection, [schedule_id]))[schedule_id]


async def read_overrides_between(
    connection: ReadConnection, schedule_id: UUID, *, after: datetime, until: datetime
) -> Sequence[Override]:
    """Return what was decided about the occurrences in (after, until], settled or not."""
    query = (
        select(OccurrenceOverride, Schedule.timezone)
        .join(Schedule, col(Schedule.id) == col(OccurrenceOverride.schedule_id))
        .where(
            col(OccurrenceOverride.schedule_id) == schedule_id,
            col(OccurrenceOverride.at) > after,
            col(OccurrenceOverride.at) <= until,
            col(OccurrenceOverride.undone_at).is_(None),
            not_(col(OccurrenceOverride.orphaned)),
        )
    )
    return [override_of(row, timezone) for row, timezone in (await connection.exec(query)).all()]


async def read_override(
    connection: ReadConnection, schedule_id: UUID, at: datetime
) -> OccurrenceOverride | None:
    """Return what was decided about an occurrence, unless it was undone."""
    query = select(OccurrenceOverride).where(
        col(OccurrenceOverride.schedule_id) == schedule_id,
        col(OccurrenceOverride.at) == at,
        col(OccurrenceOverride.undone_at).is_(None),
    )
    return (await connection.exec(query)).first()


async def read_unsettled_overrides(
    connection: ReadConnection, schedule_id: UUID, *, later_than: datetime
) -> list[OccurrenceOverride]:
    """Return what is still to fire, orphaned or not."""
    query = select(OccurrenceOverride).where(
        col(OccurrenceOverride.schedule_id) == schedule_id,
        col(OccurrenceOverride.undone_at).is_(None),
        col(OccurrenceOverride.settled_at).is_(None),
        col(OccurrenceOverride.fires_at) > later_than,
    )
    return list((await connection.exec(query)).all())


async def read_overrides(
    connection: ReadConnection, schedule_ids: Iterable[UUID], *, most: int
) -> dict[UUID, list[OccurrenceOverride]]:
    """Return what people decided and did not undo: the newest of each schedule, oldest first."""
    ids = set(schedule_ids)
    rank = func.row_number().over(
        partition_by=col(OccurrenceOverride.schedule_id), order_by=col(OccurrenceOverride.at).desc()
    )
    ranked = (
        select(col(OccurrenceOverride.id), rank.label("rank"))
        .where(
            col(OccurrenceOverride.schedule_id).in_(ids),
            col(OccurrenceOverride.undone_at).is_(None),
        )
        .subquery()
    )
    query = (
        select(OccurrenceOverride)
        .join(ranked, ranked.c.id == col(OccurrenceOverride.id))
        .where(ranked.c.rank <= most)
        .order_by(col(OccurrenceOverride.at))
    )
    found: dict[UUID, list[OccurrenceOverride]] = {id_: [] for id_ in ids}
    for row in (await connection.exec(query)).all():
        found[row.schedule_id].append(row)
    return found


async def insert_override(transaction: Transaction, override: OccurrenceOverride) -> None:
    """Write a decision."""
    transaction.add(override)
    await transaction.flush()


async def undo_override(
    transaction: Transaction, override_id: UUID, *, by: ActorRecord, as_of: datetime
) -> None:
    """Take a decision back."""
    await _set(transaction, [override_id], undone_at=as_of, undone_by=by)


async def mark_orphaned(
    transaction: Transaction, orphaned: Collection[UUID], standing: Collection[UUID]
) -> None:
    """Note which overrides have nothing to override, and which have something again."""
    await _set(transaction, orphaned, orphaned=True)
    await _set(transaction, standing, orphaned=False)


async def settle_overrides(
    transaction: Transaction,
    settled: Collection[UUID],
    orphaned: Collection[UUID],
    *,
    schedule_ids: Collection[UUID],
) -> None:
    """Note which overrides have their records; take back the flag where none is left."""
    await _set(transaction, settled, settled_at=func.now())
    await _set(transaction, orphaned, orphaned=True)
    stands = exists().where(col(OccurrenceOverride.schedule_id) == col(Schedule.id), _STANDS)
    await transaction.execute(
        update(Schedule)
        .where(col(Schedule.id).in_(schedule_ids), not_(stands))
        .values(has_overrides=False)
        .execution_options(synchronize_session=False)
    )


async def settle_due_overrides(
    transaction: Transaction, schedule_id: UUID, as_of: datetime, *, recorded: bool = True
) -> None:
    """Settle what is due by now; `recorded` says whether the caller has written the records."""
    values: dict[str, Any] = {"settled_at": as_of} if recorded else {"orphaned": True}
    await transaction.execute(
        update(OccurrenceOverride)
        .where(
            col(OccurrenceOverride.schedule_id) == schedule_id,
            col(OccurrenceOverride.undone_at).is_(None),
            col(OccurrenceOverride.settled_at).is_(None),
            not_(col(OccurrenceOverride.orphaned)),
            col(OccurrenceOverride.fires_at) <= as_of,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )


def override_of(row: OccurrenceOverride, timezone: str) -> Override:
    """Return a stored override as the core knows it."""
    return Override(
        id=row.id,
        at=row.at,
        action=row.action,
        fires_at=row.fires_at,
        reason=row.reason,
        timezone=timezone,
        is_settled=row.settled_at is not None,
    )


async def _set(transaction: Transaction, ids: Collection[UUID], **values: Any) -> None:
    if ids:
        await transaction.execute(
            update(OccurrenceOverride)
            .where(col(OccurrenceOverride.id).in_(ids))
            .values(**values)
            .execution_options(synchronize_session=False)
        )
