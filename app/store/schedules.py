"""Schedules with their counters, and what an edit must lock, withdraw and recount."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Select, String, any_, cast, func, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from app.core.errors import AlreadyExists
from app.core.vocabulary import ScheduleState
from app.models import Schedule, ScheduleCounters, ScheduleSearch
from app.store.database import ReadConnection, Transaction
from app.store.filters import ScheduleFilter, is_found_by
from app.store.many import insert_many
from app.store.pages import (
    Order,
    Page,
    PageRequest,
    count_up_to,
    plan_for_values,
    read_page,
)
from app.store.words import matches_words

# So many rows are quickly read and sorted, whatever they are sorted by.
_FEW = 2_000
_RECORD: tuple[Any, ...] = (Schedule, ScheduleCounters)
_NO_COUNTS = ScheduleCounters(schedule_id=UUID(int=0)).model_dump()


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule and what came of its runs."""

    schedule: Schedule
    counters: ScheduleCounters

    @property
    def revision(self) -> int:
        """Count every change of either row."""
        return self.schedule.revision + self.counters.revision


class SameDefinition(NamedTuple):
    """A schedule that does the same as another."""

    definition_hash: str
    id: UUID
    key: str


def select_records(project_id: UUID) -> Select[Any]:
    """Return the query for the project's schedules, each with its counters."""
    both: Select[Any] = select(*_RECORD).where(col(Schedule.project_id) == project_id)
    return both.join(ScheduleCounters, col(ScheduleCounters.schedule_id) == col(Schedule.id))


async def read_schedule(
    connection: ReadConnection, project_id: UUID, schedule_id: UUID
) -> ScheduleRecord | None:
    """Return one schedule, archived or not."""
    return await _one(connection, select_records(project_id).where(col(Schedule.id) == schedule_id))


async def read_schedule_by_key(
    connection: ReadConnection, project_id: UUID, key: str
) -> ScheduleRecord | None:
    """Return the schedule that has the key now."""
    query = select_records(project_id).where(
        col(Schedule.key) == key, col(Schedule.archived_at).is_(None)
    )
    return await _one(connection, query)


async def read_schedules(
    connection: ReadConnection, project_id: UUID, schedule_ids: Iterable[UUID]
) -> dict[UUID, ScheduleRecord]:
    """Return schedules by id."""
    query = select_records(project_id).where(col(Schedule.id).in_(set(schedule_ids)))
    records = [ScheduleRecord(*row) for row in (await connection.execute(query)).all()]
    return {record.schedule.id: record for record in records}


@dataclass(frozen=True, slots=True)
class ScheduleList:
    """Which of a project's schedules; archived ones only if the filter names that state."""

    project_id: UUID
    narrowed: ScheduleFilter = field(default_factory=ScheduleFilter)
    search: str | None = None

    async def select_ids(self, connection: ReadConnection) -> Select[Any]:
        """Return the query for their ids.

        What hardly any schedule has is looked for first. PostgreSQL cannot know of a word or a tag
        that it is so rare, and would walk along the order of the list to find all of them.
        """
        await plan_for_values(connection)
        query: Select[Any] = select(Schedule.id).where(
            col(Schedule.project_id) == self.project_id, self.narrowed.standing()
        )
        words = matches_words(self.search, col(ScheduleSearch.words))
        if words is not None:
            query = query.where(is_found_by(words))
        found_by = [*self.narrowed.found_by(), *([] if words is None else [words])]
        if not found_by:
            return query
        few = select(ScheduleSearch.schedule_id).where(
            col(ScheduleSearch.project_id) == self.project_id, *found_by
        )
        ids = (await connection.execute(few.limit(_FEW + 1))).scalars().all()
        return query if len(ids) > _FEW else query.where(col(Schedule.id).in_(ids))


async def read_newest_schedule_ids(
    connection: ReadConnection, project_id: UUID, narrowed: ScheduleFilter, *, limit: int
) -> list[UUID]:
    """Return the ids of the newest schedules that pass a filter."""
    query = await ScheduleList(project_id, narrowed).select_ids(connection)
    ids = await connection.execute(query.order_by(col(Schedule.id).desc()).limit(limit))
    return list(ids.scalars())


async def read_newest_schedules(
    connection: ReadConnection, project_id: UUID, narrowed: ScheduleFilter, limit: int
) -> list[ScheduleRecord]:
    """Return the newest schedules that pass a filter."""
    ids = await read_newest_schedule_ids(connection, project_id, narrowed, limit=limit)
    return await _in_order(connection, project_id, ids)


async def page_schedules(
    connection: ReadConnection, listed: ScheduleList, order: Order, page: PageRequest
) -> Page[ScheduleRecord]:
    """Return one page of schedules. What they are is read only of those that are on it."""
    query, id_column = await listed.select_ids(connection), col(Schedule.id)
    for beside in (ScheduleSearch, ScheduleCounters):
        if order.column is not None and order.column.class_ is beside:
            # One index has the column and the id.
            id_column = col(beside.schedule_id)
            query = query.join(beside, id_column == col(Schedule.id))
            if beside is ScheduleSearch:
                query = query.where(col(ScheduleSearch.project_id) == listed.project_id)
    found = await read_page(connection, query, id_column=id_column, order=order, page=page)
    ids = [row[0] for row in found.items]
    records = await _in_order(connection, listed.project_id, ids)
    return Page(records, found.has_previous, found.has_next)


async def _in_order(
    connection: ReadConnection, project_id: UUID, ids: Sequence[UUID]
) -> list[ScheduleRecord]:
    """Return schedules in the order of these ids, but for one removed for good at this moment."""
    records = await read_schedules(connection, project_id, ids)
    return [records[id_] for id_ in ids if id_ in records]


async def count_schedules(
    connection: ReadConnection, listed: ScheduleList, cap: int
) -> tuple[int, bool]:
    """Count schedules, up to a cap."""
    query = await listed.select_ids(connection)
    return await count_up_to(connection, query, id_column=col(Schedule.id), cap=cap)


async def lock_schedule(
    transaction: Transaction, project_id: UUID, schedule_id: UUID
) -> Schedule | None:
    """Hold one schedule against ticks and edits; inserts that reference it still pass."""
    query = (
        select(Schedule)
        .where(col(Schedule.project_id) == project_id, col(Schedule.id) == schedule_id)
        .with_for_update(key_share=True)
    )
    return (await transaction.exec(query)).first()


async def read_taken_keys(
    connection: ReadConnection, project_id: UUID, keys: Iterable[str]
) -> set[str]:
    """Return those of the keys that schedules have now."""
    query = select(Schedule.key).where(
        col(Schedule.project_id) == project_id,
        col(Schedule.key) == _any_of(keys),
        col(Schedule.archived_at).is_(None),
    )
    return set((await connection.exec(query)).all())


def _any_of(words: Iterable[str]) -> Any:
    """Compare with all of them as one array: in a list each would be compared by itself."""
    return any_(cast(list(set(words)), ARRAY(String)))


async def hold_definitions(
    transaction: Transaction, project_id: UUID, hashes: Iterable[str]
) -> None:
    """Keep others from saving schedules of these definitions until the transaction ends."""
    await transaction.run_file(
        "hold_definitions", {"project_id": str(project_id), "definition_hashes": list(hashes)}
    )


async def find_same_definitions(
    connection: ReadConnection,
    project_id: UUID,
    hashes: Iterable[str],
    *,
    besides: UUID | None = None,
) -> dict[str, SameDefinition]:
    """Return schedules that do the same as these definitions would, by hash."""
    query = select(Schedule.definition_hash, Schedule.id, Schedule.key).where(
        col(Schedule.project_id) == project_id,
        col(Schedule.definition_hash) == _any_of(hashes),
        col(Schedule.archived_at).is_(None),
        # One that is over does nothing twice.
        col(Schedule.state).not_in((ScheduleState.COMPLETED, ScheduleState.EXPIRED)),
    )
    if besides is not None:
        query = query.where(col(Schedule.id) != besides)
    found = (await connection.exec(query)).all()
    return {row[0]: SameDefinition(*row) for row in found}


async def find_schedules_with_definition(
    connection: ReadConnection, project_id: UUID, definition_hash: str, *, limit: int
) -> Sequence[UUID]:
    """Return schedules that do the same at the same times."""
    query = (
        select(Schedule.id)
        .where(
            col(Schedule.project_id) == project_id,
            col(Schedule.definition_hash) == definition_hash,
            col(Schedule.archived_at).is_(None),
        )
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def insert_schedules(transaction: Transaction, schedules: Sequence[Schedule]) -> None:
    """Write new schedules and their counters, in two statements whatever their number."""
    try:
        await insert_many(transaction, Schedule, [_columns(row) for row in schedules])
    except IntegrityError as error:
        if "schedule_key" not in str(error.orig):
            raise
        # Somebody else took the key after we had looked.
        raise AlreadyExists("A schedule with that key already exists.", path=("key",)) from error
    counters = [{**_NO_COUNTS, "schedule_id": row.id} for row in schedules]
    await insert_many(transaction, ScheduleCounters, counters)


def _columns(row: Schedule) -> dict[str, Any]:
    # Past the instrumentation of the attributes, which takes longer than the insert.
    values = row.__dict__
    return {name: values[name] for name in Schedule.model_fields}


async def update_schedule(
    transaction: Transaction, schedule_id: UUID, changes: Mapping[str, Any]
) -> Schedule:
    """Write columns of a schedule the caller holds, and count the revision."""
    result = await transaction.execute(
        update(Schedule)
        .where(col(Schedule.id) == schedule_id)
        .values(**changes, revision=col(Schedule.revision) + 1, updated_at=func.now())
        .returning(Schedule)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def forget_failures(transaction: Transaction, schedule_id: UUID) -> ScheduleCounters:
    """Start counting consecutive failures anew."""
    result = await transaction.execute(
        update(ScheduleCounters)
        .where(col(ScheduleCounters.schedule_id) == schedule_id)
        .values(consecutive_failures=0, revision=col(ScheduleCounters.revision) + 1)
        .returning(ScheduleCounters)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def read_counters(connection: ReadConnection, schedule_id: UUID) -> ScheduleCounters:
    """Return the counters of one schedule."""
    query = select(ScheduleCounters).where(col(ScheduleCounters.schedule_id) == schedule_id)
    return (await connection.exec(query)).one()


async def _one(connection: ReadConnection, query: Select[Any]) -> ScheduleRecord | None:
    row = (await connection.execute(query)).first()
    return None if row is None else ScheduleRecord(*row)
