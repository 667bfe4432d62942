"""Filters and orders of lists and streams."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

import strawberry
from sqlmodel import col

from app.core.errors import Invalid, LimitExceeded
from app.core.ids import Kind
from app.core.vocabulary import JobKind, RunCause, RunReason, RunState, ScheduleState
from app.models import Run, Schedule, ScheduleCounters, ScheduleSearch
from app.schema.enums import Direction, RunOrderField, ScheduleOrderField
from app.schema.ids import from_id
from app.schema.scalars import TimeZone
from app.store import filters as store
from app.store.filters import TimingKind
from app.store.pages import Order

_MOST_VALUES = 1_000
_DEEPEST = 5
_MOST_PARTS = 50
_AND = "All of these must hold, too."
_OR = "One of these must hold, too."
_NOT = "This must not hold."
Value = TypeVar("Value")


@strawberry.input(description="A label.")
class TagInput:
    """A tag."""

    key: str = strawberry.field(description="What it is about.")
    value: str = strawberry.field(description="What it says.")


@strawberry.input(description="A stretch of time.")
class TimeFilter:
    """A range."""

    gte: datetime | None = strawberry.field(default=None, description="At this instant or later.")
    lt: datetime | None = strawberry.field(default=None, description="Before this instant.")

    def read(self) -> store.TimeRange:
        """Return the store's form."""
        return store.TimeRange(self.gte, self.lt)


@strawberry.input(description="Which schedules. Every part that is given must hold.")
class ScheduleFilter:
    """A filter."""

    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="One of these.")
    state: list[ScheduleState] | None = strawberry.field(
        default=None,
        description="In one of these states; without it, archived ones are left out.",
    )
    job_id: strawberry.ID | None = strawberry.field(default=None, description="Of this job.")
    job_kind: list[JobKind] | None = strawberry.field(
        default=None, description="Of jobs of these kinds."
    )
    frequency: list[TimingKind] | None = strawberry.field(
        default=None, description="With a timing of one of these kinds."
    )
    timezone: list[TimeZone] | None = strawberry.field(
        default=None, description="In one of these zones."
    )
    tags: list[TagInput] | None = strawberry.field(default=None, description="With all these tags.")
    next_run_at: TimeFilter | None = strawberry.field(
        default=None, description="Due next in this stretch."
    )
    due: bool | None = strawberry.field(
        default=None, description="Whether the next instant has come."
    )
    failing: bool | None = strawberry.field(
        default=None, description="Whether the last run failed."
    )
    and_: "list[ScheduleFilter] | None" = strawberry.field(
        name="and", default=None, description=_AND
    )
    or_: "list[ScheduleFilter] | None" = strawberry.field(name="or", default=None, description=_OR)
    not_: "ScheduleFilter | None" = strawberry.field(name="not", default=None, description=_NOT)

    def read(self) -> store.ScheduleFilter:
        """Return the store's form."""
        _check_size(self)
        return self._read()

    def _read(self) -> store.ScheduleFilter:
        return store.ScheduleFilter(
            ids=_ids(Kind.SCHEDULE, self.ids),
            states=_values(self.state),
            job_id=_id(Kind.JOB, self.job_id, "jobId"),
            job_kinds=_values(self.job_kind),
            timing_kinds=_values(self.frequency),
            timezones=_values(self.timezone),
            tags=read_tag_pairs(self.tags),
            next_run_at=None if self.next_run_at is None else self.next_run_at.read(),
            due=self.due,
            failing=self.failing,
            all_of=tuple(part._read() for part in self.and_ or ()),
            any_of=tuple(part._read() for part in self.or_ or ()),
            none_of=() if self.not_ is None else (self.not_._read(),),
        )


@strawberry.input(description="Which runs. Every part that is given must hold.")
class RunFilter:
    """A filter."""

    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="One of these.")
    state: list[RunState] | None = strawberry.field(
        default=None, description="In one of these states."
    )
    reason: list[RunReason] | None = strawberry.field(
        default=None, description="For one of these reasons."
    )
    cause: list[RunCause] | None = strawberry.field(
        default=None, description="Brought about by one of these."
    )
    job_id: strawberry.ID | None = strawberry.field(default=None, description="Of this job.")
    schedule_id: strawberry.ID | None = strawberry.field(
        default=None, description="Of this schedule."
    )
    backfill_id: strawberry.ID | None = strawberry.field(
        default=None, description="Of this backfill."
    )
    queue: list[str] | None = strawberry.field(default=None, description="In one of these queues.")
    tags: list[TagInput] | None = strawberry.field(default=None, description="With all these tags.")
    scheduled_for: TimeFilter | None = strawberry.field(
        default=None, description="With a nominal occurrence in this stretch."
    )
    finished_at: TimeFilter | None = strawberry.field(
        default=None, description="Ended in this stretch."
    )
    and_: "list[RunFilter] | None" = strawberry.field(name="and", default=None, description=_AND)
    or_: "list[RunFilter] | None" = strawberry.field(name="or", default=None, description=_OR)
    not_: "RunFilter | None" = strawberry.field(name="not", default=None, description=_NOT)

    def read(self) -> store.RunFilter:
        """Return the store's form."""
        _check_size(self)
        return self._read()

    def _read(self) -> store.RunFilter:
        return store.RunFilter(
            ids=_ids(Kind.RUN, self.ids),
            states=_values(self.state),
            reasons=_values(self.reason),
            causes=_values(self.cause),
            job_id=_id(Kind.JOB, self.job_id, "jobId"),
            schedule_id=_id(Kind.SCHEDULE, self.schedule_id, "scheduleId"),
            backfill_id=_id(Kind.BACKFILL, self.backfill_id, "backfillId"),
            queues=_values(self.queue),
            tags=read_tag_pairs(self.tags),
            scheduled_for=None if self.scheduled_for is None else self.scheduled_for.read(),
            finished_at=None if self.finished_at is None else self.finished_at.read(),
            all_of=tuple(part._read() for part in self.and_ or ()),
            any_of=tuple(part._read() for part in self.or_ or ()),
            none_of=() if self.not_ is None else (self.not_._read(),),
        )


@strawberry.input(description="The order of a list of runs.")
class RunOrder:
    """An order."""

    field: RunOrderField = strawberry.field(description="By what.")
    direction: Direction = strawberry.field(description="Which way.")


@strawberry.input(description="The order of a list of schedules.")
class ScheduleOrder:
    """An order."""

    field: ScheduleOrderField = strawberry.field(description="By what.")
    direction: Direction = strawberry.field(description="Which way.")


_RUN_COLUMNS: dict[RunOrderField, Any] = {
    RunOrderField.SCHEDULED_FOR: Run.scheduled_for,
    RunOrderField.STARTED_AT: Run.started_at,
    RunOrderField.FINISHED_AT: Run.finished_at,
}
_SCHEDULE_COLUMNS: dict[ScheduleOrderField, Any] = {
    ScheduleOrderField.NAME: ScheduleSearch.name,
    ScheduleOrderField.NEXT_RUN_AT: Schedule.next_run_at,
    ScheduleOrderField.LAST_RUN_AT: ScheduleCounters.last_run_at,
    ScheduleOrderField.FAILURE_COUNT: ScheduleCounters.failure_count,
}
_UNFINISHED = store.RunFilter(states=(RunState.QUEUED, RunState.RUNNING))
_NULLABLE = {
    RunOrderField.STARTED_AT,
    RunOrderField.FINISHED_AT,
    ScheduleOrderField.NEXT_RUN_AT,
    ScheduleOrderField.LAST_RUN_AT,
}


def run_order(given: RunOrder | None) -> tuple[str, Order]:
    """Return the name and the store's form of an order; ids are in the order of creation."""
    given = given or RunOrder(field=RunOrderField.CREATED_AT, direction=Direction.DESC)
    return _order(given.field, given.direction, _RUN_COLUMNS.get(given.field))


def schedule_order(given: ScheduleOrder | None) -> tuple[str, Order]:
    """Return the name and the store's form of an order; ids are in the order of creation."""
    given = given or ScheduleOrder(field=ScheduleOrderField.CREATED_AT, direction=Direction.DESC)
    return _order(given.field, given.direction, _SCHEDULE_COLUMNS.get(given.field))


def _order(
    field: RunOrderField | ScheduleOrderField, direction: Direction, column: Any
) -> tuple[str, Order]:
    descending = direction is Direction.DESC
    order = Order(
        None if column is None else col(column),
        descending,
        field in _NULLABLE,
        _UNFINISHED.condition() if field is RunOrderField.FINISHED_AT else None,
    )
    return f"{field.value} {direction.value}", order


def read_tag_pairs(tags: Sequence[TagInput] | None) -> store.Tags:
    """Return tags as the store's filters take them."""
    return tuple(sorted({tag.key: tag.value for tag in tags or ()}.items()))


def read_tags(tags: Sequence[TagInput]) -> dict[str, str]:
    """Return tags as a definition has them."""
    given = {tag.key: tag.value for tag in tags}
    if len(given) < len(tags):
        raise Invalid("Each tag has its own key.", path=("tags",))
    return given


def _values(values: Sequence[Value] | None) -> tuple[Value, ...] | None:
    if values is None:
        return None
    if len(values) > _MOST_VALUES:
        raise LimitExceeded(f"A filter lists at most {_MOST_VALUES:,} values.", path=("filter",))
    return tuple(sorted(set(values)))  # type: ignore[type-var] # every value sorts


def _ids(kind: Kind, ids: Sequence[str] | None) -> Any:
    given = _values(ids)
    return None if given is None else tuple(from_id(kind, id_, "filter", "ids") for id_ in given)


def _id(kind: Kind, given: str | None, name: str) -> Any:
    return None if given is None else from_id(kind, given, "filter", name)


def _check_size(given: RunFilter | ScheduleFilter) -> None:
    """Refuse filters that nest too deep or have too many parts."""
    waiting: list[tuple[Any, int]] = [(given, 1)]
    for count, (part, depth) in enumerate(waiting, start=1):
        if depth > _DEEPEST or count > _MOST_PARTS:
            raise LimitExceeded(
                f"A filter nests at most {_DEEPEST} deep and has at most {_MOST_PARTS} parts.",
                path=("filter",),
            )
        nested = [*(part.and_ or ()), *(part.or_ or ()), *([part.not_] if part.not_ else ())]
        waiting.extend((each, depth + 1) for each in nested)
