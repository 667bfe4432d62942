"""What lists and subscriptions may be narrowed by.

Filters are plain values, so that equal ones are equal and subscribers can share a feed. Every
part that is given must hold; `any_of` and `none_of` nest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from app.core.run_states import is_final
from app.core.vocabulary import JobKind, RunCause, RunReason, RunState, ScheduleState
from app.models import Job, Run, Schedule, ScheduleCounters, ScheduleSearch

Tags = tuple[tuple[str, str], ...]


class TimingKind(StrEnum):
    """Kinds of timing, and the frequencies that are sugar for some."""

    CRON = "CRON"
    INTERVAL = "INTERVAL"
    CALENDAR_INTERVAL = "CALENDAR_INTERVAL"
    ONCE = "ONCE"
    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


# The key of each kind in a stored timing; the other kinds are frequencies of a cron timing.
_STORED_KIND = {
    TimingKind.CRON: "cron",
    TimingKind.INTERVAL: "interval",
    TimingKind.CALENDAR_INTERVAL: "calendarInterval",
    TimingKind.ONCE: "once",
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From an instant on, before another."""

    gte: datetime | None = None
    lt: datetime | None = None

    def holds(self, column: Any) -> ColumnElement[bool]:
        """Return the condition on an instant's column."""
        bounds: list[ColumnElement[bool]] = []
        if self.gte is not None:
            bounds.append(column >= self.gte)
        if self.lt is not None:
            bounds.append(column < self.lt)
        return and_(true(), *bounds)

    def is_apart(self, as_of: datetime) -> bool:
        """Return whether less time lies in the stretch than between it and `as_of`."""
        if self.gte is None or self.lt is None:
            return False
        return self.lt - self.gte < as_of - self.lt


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs."""

    ids: tuple[UUID, ...] | None = None
    states: tuple[RunState, ...] | None = None
    reasons: tuple[RunReason, ...] | None = None
    causes: tuple[RunCause, ...] | None = None
    job_id: UUID | None = None
    schedule_id: UUID | None = None
    backfill_id: UUID | None = None
    chained_from_id: UUID | None = None
    queues: tuple[str, ...] | None = None
    tags: Tags = ()
    scheduled_for: TimeRange | None = None
    finished_at: TimeRange | None = None
    all_of: "tuple[RunFilter, ...]" = ()
    any_of: "tuple[RunFilter, ...]" = ()
    none_of: "tuple[RunFilter, ...]" = ()

    def condition(self) -> ColumnElement[bool]:
        """Return the filter as SQL over the run table."""
        return and_(
            true(),
            *_one_of(
                (Run.id, self.ids),
                (Run.reason, self.reasons),
                (Run.cause, self.causes),
                (Run.queue, self.queues),
            ),
            *_in_states(self.states),
            *_equal(
                (Run.job_id, self.job_id),
                (Run.schedule_id, self.schedule_id),
                (Run.backfill_id, self.backfill_id),
                (Run.chained_from_id, self.chained_from_id),
            ),
            *_tagged(Run.tags, self.tags),
            *_within((Run.scheduled_for, self.scheduled_for), (Run.finished_at, self.finished_at)),
            *_nested(self),
        )

    def is_apart(self, as_of: datetime) -> bool:
        """Return whether it leaves a stretch of time to which it is further than it is long."""
        stretches = (self.scheduled_for, self.finished_at)
        parts = any(part.is_apart(as_of) for part in self.all_of)
        return parts or any(
            stretch is not None and stretch.is_apart(as_of) for stretch in stretches
        )


@dataclass(frozen=True, slots=True)
class ScheduleFilter:
    """Which schedules. `due` and `failing` look at the clock and the counters of the reading."""

    ids: tuple[UUID, ...] | None = None
    states: tuple[ScheduleState, ...] | None = None
    job_id: UUID | None = None
    job_kinds: tuple[JobKind, ...] | None = None
    timing_kinds: tuple[TimingKind, ...] | None = None
    timezones: tuple[str, ...] | None = None
    tags: Tags = ()
    next_run_at: TimeRange | None = None
    due: bool | None = None
    failing: bool | None = None
    all_of: "tuple[ScheduleFilter, ...]" = ()
    any_of: "tuple[ScheduleFilter, ...]" = ()
    none_of: "tuple[ScheduleFilter, ...]" = ()

    def condition(self) -> ColumnElement[bool]:
        """Return the filter as SQL over the schedule table."""
        return and_(
            true(),
            *_one_of((Schedule.id, self.ids)),
            *_in_schedule_states(self.states),
            *_equal((Schedule.job_id, self.job_id)),
            *_within((Schedule.next_run_at, self.next_run_at)),
            *self._defined(),
            *self._derived(),
            *_nested(self),
        )

    def standing(self) -> ColumnElement[bool]:
        """Return the filter; archived schedules pass only where it names that state."""
        if self.names_states():
            return self.condition()
        return and_(self.condition(), col(Schedule.archived_at).is_(None))

    def names_states(self) -> bool:
        """Return whether this filter, or a part of it, says which states are meant."""
        parts = (*self.all_of, *self.any_of, *self.none_of)
        return self.states is not None or any(part.names_states() for part in parts)

    def found_by(self) -> list[ColumnElement[bool]]:
        """Return what the schedules must be found by, as SQL over what stands beside them."""
        return [*self._facets(), *(each for part in self.all_of for each in part.found_by())]

    def _facets(self) -> list[ColumnElement[bool]]:
        facets, parts = col(ScheduleSearch.facets), list[ColumnElement[bool]]()
        if self.tags:
            parts.append(
                facets.op("@>")(_texts(f"tag:{key}\x1f{value}" for key, value in self.tags))
            )
        if self.timezones is not None:
            parts.append(facets.op("&&")(_texts(f"zone:{zone}" for zone in self.timezones)))
        if self.timing_kinds is not None:
            kinds = [_STORED_KIND.get(kind, kind.value) for kind in self.timing_kinds]
            parts.append(facets.op("&&")(_texts(f"timing:{kind}" for kind in kinds)))
        return parts

    def _defined(self) -> list[ColumnElement[bool]]:
        facets = self._facets()
        conditions: list[ColumnElement[bool]] = [is_found_by(*facets)] if facets else []
        if self.job_kinds is not None:
            is_its_job = col(Job.id) == col(Schedule.job_id)
            conditions.append(_beside(is_its_job, col(Job.kind).in_(self.job_kinds)))
        return conditions

    def _derived(self) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if self.due is not None:
            next_run_at = col(Schedule.next_run_at)
            is_due = and_(next_run_at.is_not(None), next_run_at <= func.now())
            conditions.append(is_due if self.due else not_(is_due))
        if self.failing is not None:
            is_failing = _beside(
                col(ScheduleCounters.schedule_id) == col(Schedule.id),
                col(ScheduleCounters.consecutive_failures) > 0,
            )
            conditions.append(is_failing if self.failing else not_(is_failing))
        return conditions


def is_found_by(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the condition that a schedule is found by what stands beside it."""
    return _beside(col(ScheduleSearch.schedule_id) == col(Schedule.id), *conditions)


def _beside(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return whether there is such a row; the order of a list may have joined the same table."""
    return exists().where(*conditions).correlate(Schedule)


def _texts(texts: Iterable[str]) -> ColumnElement[Any]:
    return literal(list(texts), ARRAY(Text))


def _in_schedule_states(states: Sequence[ScheduleState] | None) -> list[ColumnElement[bool]]:
    """Return the condition as the index of those that do not fire has it."""
    if states is None:
        return []
    state, others = col(Schedule.state), [one for one in states if one is not ScheduleState.ACTIVE]
    conditions = [state == ScheduleState.ACTIVE] if len(others) < len(states) else []
    if others:
        conditions.append(and_(state.in_(others), col(Schedule.next_run_at).is_(None)))
    return [or_(false(), *conditions)]


def _one_of(*pairs: tuple[Any, Sequence[Any] | None]) -> list[ColumnElement[bool]]:
    return [col(column).in_(values) for column, values in pairs if values is not None]


def _in_states(states: Sequence[RunState] | None) -> list[ColumnElement[bool]]:
    """Return the condition as the indexes by state have it, or PostgreSQL would not use them.

    Queued runs are in two of them: one for those that are set aside.
    """
    if states is None:
        return []
    state, blocked_at = col(Run.state), col(Run.blocked_at)
    ended = [one for one in states if is_final(one)]
    conditions = [state == RunState.RUNNING] if RunState.RUNNING in states else []
    if RunState.QUEUED in states:
        conditions.append(and_(state == RunState.QUEUED, blocked_at.is_(None)))
        conditions.append(and_(state == RunState.QUEUED, blocked_at.is_not(None)))
    if ended:
        conditions.append(state.in_(ended))
    return [or_(false(), *conditions)]


def _equal(*pairs: tuple[Any, Any]) -> list[ColumnElement[bool]]:
    return [col(column) == value for column, value in pairs if value is not None]


def _within(*pairs: tuple[Any, TimeRange | None]) -> list[ColumnElement[bool]]:
    return [within.holds(col(column)) for column, within in pairs if within is not None]


def _tagged(column: Any, tags: Tags) -> list[ColumnElement[bool]]:
    return [col(column).contains(dict(tags))] if tags else []


def _nested(given: RunFilter | ScheduleFilter) -> list[ColumnElement[bool]]:
    conditions = [part.condition() for part in given.all_of]
    if given.any_of:
        conditions.append(or_(*(part.condition() for part in given.any_of)))
    # What is not known to hold, of a column that is null, does not hold.
    conditions.extend(part.condition().is_not(true()) for part in given.none_of)
    return conditions


def is_unfiltered(given: RunFilter | ScheduleFilter) -> bool:
    """Return whether every row passes."""
    return all(getattr(given, field.name) == field.default for field in fields(given))
