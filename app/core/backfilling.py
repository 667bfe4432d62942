"""Decide what becomes of a backfill, and which of its runs are made next.

Pure functions. A backfill walks through its range a batch at a time; what a step does follows from
where the last one stood and from the instant it is given, so that a crash between two steps is
nothing but a pause.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core.errors import StateConflict
from app.core.overrides import Override, overridden
from app.core.time import Occurrence, Timetable
from app.core.vocabulary import BackfillState, OccurrenceAction, OverlapPolicy

TRANSITIONS: dict[BackfillState, frozenset[BackfillState]] = {
    BackfillState.RUNNING: frozenset(
        {BackfillState.PAUSED, BackfillState.COMPLETED, BackfillState.CANCELLED}
    ),
    BackfillState.PAUSED: frozenset({BackfillState.RUNNING, BackfillState.CANCELLED}),
}
"""What may follow; a state that is missing here is final."""

LOOK_AHEAD = timedelta(seconds=5)
"""How long before they are due the runs of a backfill with a rate are made."""

_MOST_AT_ONCE = {OverlapPolicy.ALLOW: 2_000}
_MOST_IN_TURN = 100


def is_over(state: BackfillState) -> bool:
    """Return whether nothing can follow."""
    return state not in TRANSITIONS


def check_change(state: BackfillState, wanted: BackfillState) -> None:
    """Raise `StateConflict` unless a backfill may go from one state to the other."""
    if wanted in TRANSITIONS.get(state, frozenset()):
        return
    raise StateConflict(
        f"The backfill is {state.lower()}.",
        current=state.value,
        allowed=[before.value for before, after in TRANSITIONS.items() if wanted in after],
        path=("id",),
    )


def most_unfinished(overlap: OverlapPolicy) -> int:
    """Return how many runs of one backfill may be under way: the others are not made yet.

    Those that go one after another must not fill what `QUEUE_ALL` lets wait.
    """
    return _MOST_AT_ONCE.get(overlap, _MOST_IN_TURN)


def overlap_of(schedule: OverlapPolicy) -> OverlapPolicy:
    """Return the policy of what was asked for as a whole: its runs wait, and are not skipped.

    So are the runs of a backfill that names none, and those of catch-up or a resume with `ALL`.
    """
    return schedule if schedule is OverlapPolicy.ALLOW else OverlapPolicy.QUEUE_ALL


@dataclass(frozen=True, slots=True)
class Slot:
    """An occurrence, and the one before it: the interval that incremental work covers."""

    occurrence: Occurrence
    previous_at: datetime | None

    @property
    def nominal(self) -> datetime:
        """Return the key of the occurrence."""
        return self.occurrence.nominal


@dataclass(frozen=True, slots=True)
class Stretch:
    """Occurrences, oldest first, that are all there are up to `reached_at`."""

    slots: tuple[Slot, ...]
    reached_at: datetime

    def without(self, known: Collection[datetime]) -> "Stretch":
        """Return the stretch without the occurrences of these nominal instants."""
        return Stretch(
            tuple(slot for slot in self.slots if slot.nominal not in known), self.reached_at
        )


def next_stretch(
    timetable: Timetable,
    overrides: Sequence[Override],
    *,
    after: datetime,
    until: datetime,
    limit: int,
) -> Stretch:
    """Return the next occurrences in (after, until] that a backfill runs, about `limit` of them.

    What somebody skipped stays skipped; what was added or moved counts with its nominal instant.
    """
    untouched = overridden(timetable, overrides)
    regular = untouched.between(after, until, limit)
    reached_at = regular[-1].nominal if len(regular) == limit else until
    by_hand = [
        override.occurrence(timetable)
        for override in overrides
        if after < override.at <= reached_at and override.action is not OccurrenceAction.SKIP
    ]
    found = [*regular, *(one for one in by_hand if one is not None)]
    found.sort(key=lambda one: one.nominal)
    if not found:
        return Stretch((), reached_at)
    before = untouched.previous_before(found[0].nominal)
    instants = [None if before is None else before.nominal, *(one.nominal for one in found)]
    return Stretch(tuple(map(Slot, found, instants)), reached_at)


@dataclass(frozen=True, slots=True)
class MadeRun:
    """An occurrence whose run is to be queued, and when it is due."""

    slot: Slot
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Step:
    """What to queue, how far the backfill then is, and when its next run would be due."""

    runs: tuple[MadeRun, ...]
    cursor_at: datetime
    next_due_at: datetime


def plan_step(
    stretch: Stretch,
    *,
    cursor_at: datetime,
    room: int,
    rate_per_minute: int | None,
    next_due_at: datetime,
    as_of: datetime,
) -> Step:
    """Choose which occurrences of the stretch, which begins at the cursor, become runs now.

    At most `room` of them; with a rate, only those due within the look-ahead. Time that was lost is
    not made up for: the rate is never exceeded.
    """
    due_at = max(next_due_at, as_of)
    apart = timedelta(minutes=1) / rate_per_minute if rate_per_minute else timedelta(0)
    runs: list[MadeRun] = []
    for slot in stretch.slots[: max(room, 0)]:
        if due_at > as_of + LOOK_AHEAD:
            break
        runs.append(MadeRun(slot, due_at))
        due_at += apart
    if len(runs) == len(stretch.slots):
        cursor_at = stretch.reached_at
    elif runs:
        cursor_at = runs[-1].slot.nominal
    return Step(tuple(runs), cursor_at, due_at)
