"""A timetable without some of its occurrences, which are named by their nominal instants."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from app.core.time.timetable import Occurrence, Timetable

_TICK: Final = timedelta(microseconds=1)


class Omitting(Timetable):
    """The occurrences of a timetable, without those at certain instants."""

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
            if found is None or not self._omits(found.nominal):
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
            if found is None or not self._omits(found.nominal):
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
            limit + len(self._omitted_between(after, until)),
            include_skipped=include_skipped,
            include_excluded=include_excluded,
        )
        return [one for one in found if not self._omits(one.nominal)][:limit]

    def matches(self, instant: datetime) -> bool:
        """See `Timetable.matches`."""
        return not self._omits(instant) and self._timetable.matches(instant)

    def count_between(
        self, after: datetime, until: datetime, limit: int, *, include_excluded: bool = False
    ) -> tuple[int, bool]:
        """See `Timetable.count_between`."""
        bounds = (after, *self._omitted_between(after, until), until)
        count = 0
        for start, end in pairwise(bounds):
            stretch_end = end - _TICK if self._omits(end) else end
            more, is_whole = self._timetable.count_between(
                start, stretch_end, limit - count, include_excluded=include_excluded
            )
            count += more
            if not is_whole:
                return count, False
        return count, True

    def _omitted_between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        first = bisect_right(self._instants, after)
        return self._instants[first : bisect_right(self._instants, until)]

    def _omits(self, instant: datetime) -> bool:
        position = bisect_left(self._instants, instant)
        return position < len(self._instants) and self._instants[position] == instant
