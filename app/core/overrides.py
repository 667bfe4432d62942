"""Single occurrences that somebody skipped, moved or added.

The nominal instant stays the key of an occurrence, whatever becomes of it. While an override
stands, it alone accounts for its key: the regular occurrences are planned as if the key were not
there (`Overridden`), and the override becomes a record of its own when it fires (`plan_override`).
So every instant is accounted for once: by a run, by a range, or by an override that still waits.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.core.time import Occurrence, Timetable, local_time
from app.core.time.omitting import Omitting
from app.core.vocabulary import OccurrenceAction

_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Override:
    """What was decided about the occurrence at `at`, and when its record is due."""

    id: UUID
    at: datetime
    action: OccurrenceAction
    fires_at: datetime
    reason: str = ""
    # The zone in which an added occurrence has its local time.
    timezone: str = "UTC"
    # Its record is written; the key stays its own.
    is_settled: bool = False

    def occurrence(self, timetable: Timetable) -> Occurrence | None:
        """Return the occurrence as it will fire, or None: the timetable has none to override."""
        if self.action is OccurrenceAction.ADD:
            local, offset = local_time(self.at, self.timezone)
            return Occurrence(self.fires_at, self.at, local, offset, (local,))
        found = occurrence_at(timetable, self.at)
        if found is None or self.action is OccurrenceAction.SKIP:
            return found
        return replace(found, at=self.fires_at, will_run=True, adjustments=(), note=None)


def occurrence_at(timetable: Timetable, instant: datetime) -> Occurrence | None:
    """Return the occurrence of exactly this nominal instant, also one that a calendar excludes."""
    found = timetable.next_after(instant - _TICK, include_excluded=True)
    return found if found is not None and found.nominal == instant else None


def waiting(overrides: Iterable[Override]) -> list[Override]:
    """Return those whose record is still to be written, the earliest first."""
    return sorted((one for one in overrides if not one.is_settled), key=lambda one: one.fires_at)


def by_hand(timetable: Timetable, overrides: Iterable[Override]) -> list[Occurrence]:
    """Return the occurrences that overrides have still to account for, the earliest first.

    What was moved or added stands where it runs, `at`; what is skipped will not run and says why.
    """
    found = []
    for override in waiting(overrides):
        occurrence = override.occurrence(timetable)
        if occurrence is not None and override.action is OccurrenceAction.SKIP:
            note = f"Skipped by hand: {override.reason}"
            occurrence = replace(occurrence, at=override.fires_at, will_run=False, note=note)
        if occurrence is not None:
            found.append(occurrence)
    return found


def still_waiting(overrides: Iterable[Override], as_of: datetime) -> list[Override]:
    """Return those that account for something to come: they fire later, or have fired early."""
    return [one for one in overrides if one.is_settled or one.fires_at > as_of]


def mark_settled(overrides: Iterable[Override], settled: Collection[UUID]) -> list[Override]:
    """Return the overrides as they are once the records of some are written."""
    return [replace(one, is_settled=True) if one.id in settled else one for one in overrides]


def overridden(timetable: Timetable, overrides: Collection[Override]) -> Timetable:
    """Return the timetable of the occurrences that no override accounts for."""
    if not overrides:
        return timetable
    return Overridden(timetable, [override.at for override in overrides])


class Overridden(Omitting):
    """The occurrences of a timetable, without those that overrides account for."""

    __slots__ = ()

    def breaks_between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        """See `Timetable.breaks_between`: what is overridden has a row of its own."""
        return self._omitted_between(after, until)
