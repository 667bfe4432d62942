"""Single occurrences that somebody skipped, moved or added.

The nominal instant stays the key of an occurrence, whatever becomes of it. While an override
stands, it alone accounts for its key: the regular occurrences are planned as if the key were not
there (`Overridden`), and the override becomes a record of its own when it fires (`plan_override`).
So every instant is accounted for once: by a run, by a range, or by an override that still waits.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID

from app.core.time import Occurrence, Timetable, local_time
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


class Overridden(Timetable):
    """The occurrences of a timetable, without those that overrides account for."""

    __slots__ = ("_instants", "_timetable")

    def __init__(self, timetable: Timetable, instants: Collection[datetime]) -> None:
        self._timetable = timetable
        self._instants = sorted(set(instants))

    def next_after(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """See `Timetable.next_after`."""
        while True:
            found = self._timetable.next_after(
                instant, include_skipped=include_skipped, include_excluded=include_excluded
            )
            if found is None or not self._is_overridden(found.nominal):
                return found
            instant = found.nominal

    def previous_before(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """See `Timetable.previous_before`."""
        while True:
            found = self._timetable.previous_before(
                instant, include_skipped=include_skipped, include_excluded=include_excluded
            )
            if found is None or not self._is_overridden(found.nominal):
                return found
            instant = found.nominal

    def between(
        self,
        after: datetime,
        until: datetime,
        limit: int,
        *,
        include_skipped: bool = False,
        include_excluded: bool = False,
    ) -> list[Occurrence]:
        """See `Timetable.between`."""
        found = self._timetable.between(
            after,
            until,
            limit + len(self.breaks_between(after, until)),
            include_skipped=include_skipped,
            include_excluded=include_excluded,
        )
        return [one for one in found if not self._is_overridden(one.nominal)][:limit]

    def matches(self, instant: datetime) -> bool:
        """See `Timetable.matches`."""
        return not self._is_overridden(instant) and self._timetable.matches(instant)

    def count_between(
        self, after: datetime, until: datetime, limit: int, *, include_excluded: bool = False
    ) -> tuple[int, bool]:
        """See `Timetable.count_between`."""
        bounds = (after, *self.breaks_between(after, until), until)
        count = 0
        for start, end in pairwise(bounds):
            stretch_end = end - _TICK if self._is_overridden(end) else end
            more, is_whole = self._timetable.count_between(
                start, stretch_end, limit - count, include_excluded=include_excluded
            )
            count += more
            if not is_whole:
                return count, False
        return count, True

    def breaks_between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        """See `Timetable.breaks_between`."""
        first = bisect_right(self._instants, after)
        return self._instants[first : bisect_right(self._instants, until)]

    def _is_overridden(self, instant: datetime) -> bool:
        position = bisect_left(self._instants, instant)
        return position < len(self._instants) and self._instants[position] == instant
