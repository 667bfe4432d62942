"""Decide which occurrences become runs.

Pure functions. The caller supplies the schedule's timetable, the last occurrence it handled and
the present instant; nothing here reads a clock, a table or a setting. Whatever the length of an
outage, a plan costs a bounded number of steps: a long stretch is one range, never enumerated.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

from app.core.overrides import Override, overridden, waiting
from app.core.time import Occurrence, Timetable
from app.core.vocabulary import CatchUpPolicy, OccurrenceAction, RunCause, RunReason, RunState

GRACE = timedelta(seconds=10)
"""An occurrence up to this old is not missed, just late."""

MOST_PER_MINUTE = 6_000
"""How many missed occurrences start a minute at most, where they start one after the other."""

MOST_A_SECOND = 32
"""How many occurrences a second are plausible: twice what sixteen timings of every second make."""

CIRCUIT_BREAKER = "CircuitBreaker"
"""The type of the error of a schedule that was stopped because it fired implausibly often."""

_MOST_IN_A_PLAN = 1_000
_MOST_COUNTED = 1_000


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What becomes of occurrences that nobody fired in time."""

    policy: CatchUpPolicy = CatchUpPolicy.LATEST
    window: timedelta = timedelta(minutes=15)
    limit: int = 100
    # With ALL: how many start a minute; None: all at once.
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """One run to queue, or one occurrence or stretch of them to record as missed or skipped.

    `range_end` is the last occurrence of a stretch, inclusive; `range_count` is None where
    counting it would take too long. `due_at` is when it may start, if not at its occurrence.
    `in_turn`: it was asked for with all the others, so it waits for them and is not skipped.
    """

    occurrence: Occurrence
    state: RunState
    cause: RunCause
    reason: RunReason | None = None
    range_end: datetime | None = None
    range_count: int | None = None
    message: str | None = None
    due_at: datetime | None = None
    in_turn: bool = False


@dataclass(frozen=True, slots=True)
class FiringPlan:
    """What to record, up to where everything is then accounted for, and when to look again."""

    records: tuple[PlannedRecord, ...]
    cursor_at: datetime
    next_run_at: datetime | None
    # Overrides whose record this plan holds, and those that have nothing to override any more.
    settled: tuple[UUID, ...] = ()
    orphaned: tuple[UUID, ...] = ()
    # It would fire implausibly often, and must be stopped: nothing runs.
    is_implausible: bool = False


def plan_firing(
    timetable: Timetable,
    *,
    after: datetime,
    as_of: datetime,
    catch_up: CatchUp,
    look_ahead: timedelta = timedelta(0),
    overrides: Sequence[Override] = (),
) -> FiringPlan:
    """Choose what becomes of each occurrence in (after, as_of + look_ahead].

    Those within the look-ahead are prepared: queued now, and startable when they are due. At
    most a thousand records are planned at once; the rest is left for the next tick. `overrides`
    are those that wait, and those settled ones whose occurrence is still to come.
    """
    if overrides:
        regular = plan_firing(
            overridden(timetable, overrides),
            after=after,
            as_of=as_of,
            catch_up=catch_up,
            look_ahead=look_ahead,
        )
        if regular.is_implausible:
            return regular
        return _lay_over(regular, timetable, overrides, as_of, look_ahead, catch_up)
    records: list[PlannedRecord] = []
    missed_until = as_of - GRACE - _TICK
    cursor = max(after, missed_until)
    occurrence = timetable.next_after(after, include_excluded=True)
    # Usually nothing was missed, and the next one is all there is to know.
    if occurrence is not None and occurrence.nominal <= missed_until:
        missed = _plan_missed(timetable, after, missed_until, as_of, catch_up)
        records.extend(spread_out(missed, as_of, catch_up.per_minute))
        occurrence = timetable.next_after(missed_until, include_excluded=True)
    first_live = len(records)
    horizon = as_of + look_ahead
    while (
        occurrence is not None and occurrence.nominal <= horizon and len(records) < _MOST_IN_A_PLAN
    ):
        records.append(_plan_one(occurrence, RunCause.SCHEDULE))
        cursor = occurrence.nominal
        occurrence = timetable.next_after(cursor, include_excluded=True)
    if _is_implausible(records[first_live:]):
        stopped = plan_stretches(timetable, after, as_of, RunReason.CIRCUIT_BREAKER)
        return FiringPlan(tuple(stopped), as_of, next_run_at=None, is_implausible=True)
    return FiringPlan(
        tuple(records),
        cursor_at=cursor,
        next_run_at=None if occurrence is None else occurrence.nominal,
    )


def plan_stretch(
    timetable: Timetable, after: datetime, until: datetime, reason: RunReason
) -> PlannedRecord | None:
    """Record every occurrence in (after, until] in one row; None if there is none.

    They count as missed, unless a calendar excluded them: then they are skipped.
    """
    first = timetable.next_after(after, include_excluded=True)
    if first is None or first.nominal > until:
        return None
    last = timetable.previous_before(until + _TICK, include_excluded=True)
    assert last is not None
    state = RunState.SKIPPED if reason is RunReason.CALENDAR else RunState.MISSED
    if last.nominal <= first.nominal:
        return PlannedRecord(first, state, RunCause.SCHEDULE, reason)
    count, exact = timetable.count_between(after, until, _MOST_COUNTED, include_excluded=True)
    return PlannedRecord(
        first,
        state,
        RunCause.SCHEDULE,
        reason,
        range_end=last.nominal,
        range_count=count if exact else None,
    )


def plan_stretches(
    timetable: Timetable, after: datetime, until: datetime, reason: RunReason
) -> Iterator[PlannedRecord]:
    """Plan a stretch in as many rows as overrides divide it into: those have rows of their own."""
    bounds = (after, *timetable.breaks_between(after, until), until)
    for start, end in pairwise(bounds):
        stretch = plan_stretch(timetable, start, end, reason)
        if stretch is not None:
            yield stretch


def plan_choice(
    timetable: Timetable,
    after: datetime,
    until: datetime,
    running: Sequence[Occurrence],
    reason: RunReason,
    *,
    in_turn: bool,
) -> Iterator[PlannedRecord]:
    """Account for (after, until] where the newest, `running`, run and the others do not."""
    rest_until = running[0].nominal - _TICK if running else until
    yield from plan_stretches(timetable, after, rest_until, reason)
    for position, occurrence in enumerate(running):
        yield replace(_plan_one(occurrence, RunCause.CATCH_UP), in_turn=in_turn)
        # Only excluded occurrences can lie between two that run.
        following = running[position + 1 : position + 2]
        gap_end = following[0].nominal - _TICK if following else until
        yield from plan_stretches(timetable, occurrence.nominal, gap_end, RunReason.CALENDAR)


def spread_out(
    records: Iterable[PlannedRecord], since: datetime, per_minute: int | None
) -> Iterator[PlannedRecord]:
    """Let what runs start one after the other, so many a minute, the first at `since`.

    Without a rate everything stays as it is.
    """
    turn = 0
    for record in records:
        if per_minute is None or record.state is not RunState.QUEUED:
            yield record
        else:
            yield replace(record, due_at=since + timedelta(minutes=1) / per_minute * turn)
            turn += 1


def plan_override(
    override: Override, timetable: Timetable, missed: RunReason | None, cause: RunCause
) -> PlannedRecord | None:
    """Plan the record of an override that fires; None if it has nothing to override any more.

    `missed` is why it does not run, should it come too late. It is never coalesced with others, nor
    skipped because of what else is caught up: somebody asked for it by hand.
    """
    occurrence = override.occurrence(timetable)
    if occurrence is None:
        return None
    if override.action is OccurrenceAction.SKIP:
        reason, message = RunReason.OVERRIDDEN, override.reason
        return PlannedRecord(
            occurrence, RunState.SKIPPED, RunCause.SCHEDULE, reason, message=message
        )
    if missed is not None:
        return PlannedRecord(occurrence, RunState.MISSED, RunCause.SCHEDULE, missed)
    return PlannedRecord(occurrence, RunState.QUEUED, cause, in_turn=cause is RunCause.CATCH_UP)


@dataclass(frozen=True, slots=True)
class DueOverrides:
    """The records of overrides that are due, and those that have nothing to override any more."""

    records: tuple[PlannedRecord, ...] = ()
    settled: tuple[UUID, ...] = ()
    orphaned: tuple[UUID, ...] = ()


NO_OVERRIDES: Final = DueOverrides()


def plan_due_overrides(
    timetable: Timetable,
    overrides: Sequence[Override],
    until: datetime,
    missed: RunReason | None,
) -> DueOverrides:
    """Plan the overrides that fire at `until` or before; they run, unless `missed` says why not."""
    due = [override for override in waiting(overrides) if override.fires_at <= until]
    planned = [(one.id, plan_override(one, timetable, missed, RunCause.CATCH_UP)) for one in due]
    return DueOverrides(
        tuple(record for _, record in planned if record is not None),
        tuple(id_ for id_, record in planned if record is not None),
        tuple(id_ for id_, record in planned if record is None),
    )


def _lay_over(
    regular: FiringPlan,
    timetable: Timetable,
    overrides: Sequence[Override],
    as_of: datetime,
    look_ahead: timedelta,
    catch_up: CatchUp,
) -> FiringPlan:
    """Add the overrides that fire to the plan of the regular occurrences."""
    records, settled, orphaned = list(regular.records), [], []
    instants = [] if regular.next_run_at is None else [regular.next_run_at]
    for override in waiting(overrides):
        if override.fires_at > as_of + look_ahead:
            instants.append(override.fires_at)
            break
        late_by = as_of - override.fires_at
        cause = RunCause.SCHEDULE if late_by <= GRACE else RunCause.CATCH_UP
        record = plan_override(override, timetable, _too_late(late_by, catch_up), cause)
        if record is None:
            orphaned.append(override.id)
        else:
            settled.append(override.id)
            records.append(record)
    return FiringPlan(
        tuple(records),
        regular.cursor_at,
        min(instants, default=None),
        tuple(settled),
        tuple(orphaned),
    )


def _is_implausible(live: Sequence[PlannedRecord]) -> bool:
    """Return whether occurrences lie closer together than any timings that may be saved make.

    That takes a damaged row or a fault of ours; it must not flood the queue.
    """
    if len(live) <= MOST_A_SECOND:
        return False
    span = live[-1].occurrence.nominal - live[0].occurrence.nominal
    return len(live) > MOST_A_SECOND * (span.total_seconds() + 1)


def _too_late(late_by: timedelta, catch_up: CatchUp) -> RunReason | None:
    """Return why something that comes so late does not run; None if it does."""
    if late_by <= GRACE:
        return None
    if late_by > catch_up.window:
        return RunReason.TOO_LATE
    return RunReason.CATCH_UP_NONE if catch_up.policy is CatchUpPolicy.NONE else None


# The smallest step of PostgreSQL's clock: turns "strictly before" into "at or before".
_TICK = timedelta(microseconds=1)


def _plan_missed(
    timetable: Timetable, after: datetime, until: datetime, as_of: datetime, catch_up: CatchUp
) -> Iterator[PlannedRecord]:
    """Account for the occurrences in (after, until] that are too late to be just late."""
    window_start = max(after, min(until, as_of - catch_up.window - _TICK))
    yield from plan_stretches(timetable, after, window_start, RunReason.TOO_LATE)
    caught_up, reason = _choose_caught_up(timetable, window_start, until, catch_up)
    in_turn = catch_up.policy is CatchUpPolicy.ALL
    yield from plan_choice(timetable, window_start, until, caught_up, reason, in_turn=in_turn)


def _choose_caught_up(
    timetable: Timetable, after: datetime, until: datetime, catch_up: CatchUp
) -> tuple[list[Occurrence], RunReason]:
    """Return the newest occurrences that still run, oldest first, and why the others do not."""
    match catch_up.policy:
        case CatchUpPolicy.NONE:
            return [], RunReason.CATCH_UP_NONE
        case CatchUpPolicy.LATEST:
            return newest_occurrences(timetable, after, until, 1), RunReason.COALESCED
        case CatchUpPolicy.ALL:
            return newest_occurrences(timetable, after, until, catch_up.limit), RunReason.LIMIT


def newest_occurrences(
    timetable: Timetable, after: datetime, until: datetime, limit: int
) -> list[Occurrence]:
    """Return up to `limit` of the newest occurrences in (after, until], oldest first."""
    newest: list[Occurrence] = []
    before = until + _TICK
    while len(newest) < limit:
        occurrence = timetable.previous_before(before)
        if occurrence is None or occurrence.nominal <= after:
            break
        newest.append(occurrence)
        before = occurrence.nominal
    return newest[::-1]


def _plan_one(occurrence: Occurrence, cause: RunCause) -> PlannedRecord:
    if occurrence.will_run:
        return PlannedRecord(occurrence, RunState.QUEUED, cause)
    return PlannedRecord(
        occurrence, RunState.SKIPPED, RunCause.SCHEDULE, RunReason.CALENDAR, message=occurrence.note
    )
