"""Account for the time in which the whole instance was halted.

While it is paused or stopped nothing fires, and no schedule is touched: a million of them cost
nothing. The first tick after the start plans each schedule that has something to account for, a
batch at a time, and never enumerates: what runs is chosen from the newest backwards, and every
stretch between is one record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.core.firing import (
    CatchUp,
    PlannedRecord,
    newest_occurrences,
    plan_due_overrides,
    plan_stretches,
    spread_out,
)
from app.core.overrides import Override, overridden
from app.core.time import Occurrence, Timetable
from app.core.vocabulary import CatchUpPolicy, ResumeChoice, RunCause, RunReason, RunState

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Halt:
    """A time in which nothing fired. `missed`: what was decided at its end; None: each policy."""

    reason: RunReason
    began_at: datetime
    ended_at: datetime
    missed: ResumeChoice | None


@dataclass(frozen=True, slots=True)
class HaltedPlan:
    """What to record, and up to where everything is then accounted for."""

    records: tuple[PlannedRecord, ...]
    cursor_at: datetime
    # Overrides whose record this plan holds, and those that have nothing to override any more.
    settled: tuple[UUID, ...] = ()
    orphaned: tuple[UUID, ...] = ()


def plan_halted(
    timetable: Timetable,
    *,
    after: datetime,
    halts: Sequence[Halt],
    as_of: datetime,
    catch_up: CatchUp,
    overrides: Sequence[Override] = (),
) -> HaltedPlan:
    """Account for the occurrences from `after` to the end of the last halt.

    `halts` are in the order of time. What was due before one, and no tick had fired yet, belongs
    to it: as with the pause of a schedule. What somebody moved or added by hand runs unless all is
    skipped; where each policy decides, it is left to the plan that follows.
    """
    unsettled = [halt for halt in halts if halt.ended_at > after]
    if not unsettled:
        return HaltedPlan((), after)
    until, choice = unsettled[-1].ended_at, unsettled[-1].missed
    regular = overridden(timetable, overrides)
    running = _choose(regular, after, until, as_of, choice, catch_up)
    per_minute = catch_up.per_minute if choice in (None, ResumeChoice.ALL) else None
    planned = _records(
        regular, after, unsettled, running, in_turn=_runs_all(choice, catch_up.policy)
    )
    records = tuple(spread_out(planned, as_of, per_minute))
    if choice is None:
        return HaltedPlan(records, until)
    missed = unsettled[-1].reason if choice is ResumeChoice.SKIP else None
    due = plan_due_overrides(timetable, overrides, until, missed)
    return HaltedPlan((*records, *due.records), until, due.settled, due.orphaned)


def _choose(
    timetable: Timetable,
    after: datetime,
    until: datetime,
    as_of: datetime,
    missed: ResumeChoice | None,
    catch_up: CatchUp,
) -> list[Occurrence]:
    """Return the occurrences that still run, oldest first. A choice made by hand has no window."""
    if missed is None:
        window_start = min(until, max(after, as_of - catch_up.window - _TICK))
        limits = {CatchUpPolicy.NONE: 0, CatchUpPolicy.LATEST: 1}
        limit = limits.get(catch_up.policy, catch_up.limit)
        return newest_occurrences(timetable, window_start, until, limit)
    limit = {ResumeChoice.SKIP: 0, ResumeChoice.LATEST: 1}.get(missed, catch_up.limit)
    return newest_occurrences(timetable, after, until, limit)


def _runs_all(choice: ResumeChoice | None, policy: CatchUpPolicy) -> bool:
    if choice is None:
        return policy is CatchUpPolicy.ALL
    return choice in (ResumeChoice.ALL, ResumeChoice.DRIP)


def _records(
    timetable: Timetable,
    after: datetime,
    halts: Sequence[Halt],
    running: Sequence[Occurrence],
    *,
    in_turn: bool,
) -> Iterator[PlannedRecord]:
    """Yield what runs, and each stretch between with the reason of the halt it lies in."""
    cursor = after
    for halt in halts:
        for occurrence in running:
            if cursor < occurrence.nominal <= halt.ended_at:
                yield from plan_stretches(
                    timetable, cursor, occurrence.nominal - _TICK, halt.reason
                )
                yield PlannedRecord(occurrence, RunState.QUEUED, RunCause.CATCH_UP, in_turn=in_turn)
                cursor = occurrence.nominal
        yield from plan_stretches(timetable, cursor, halt.ended_at, halt.reason)
        cursor = halt.ended_at
