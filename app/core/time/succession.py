"""One timetable up to an instant, another one after it: an edit that takes effect later.

It answers every question a `Timetable` answers, so nobody who asks needs to know that there are
two. An occurrence belongs to the earlier one if its nominal instant lies at or before the turn.
"""

from datetime import datetime, timedelta
from typing import Final

from app.core.time.timetable import Occurrence, Timetable

_TICK: Final = timedelta(microseconds=1)


class Succession(Timetable):
    """The occurrences of `before` up to and including the turn, and those of `after` behind it."""

    __slots__ = ("_after", "_before", "_turn")

    def __init__(self, before: Timetable, turn: datetime, after: Timetable) -> None:
        self._before = before
        self._turn = turn
        self._after = after

    def next_after(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """See `Timetable.next_after`."""
        if instant < self._turn:
            found = self._before.next_after(
                instant, include_skipped=include_skipped, include_excluded=include_excluded
            )
            if found is not None and found.nominal <= self._turn:
                return found
        return self._after.next_after(
            max(instant, self._turn),
            include_skipped=include_skipped,
            include_excluded=include_excluded,
        )

    def previous_before(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """See `Timetable.previous_before`."""
        found = None
        if instant > self._turn:
            found = self._after.previous_before(
                instant, include_skipped=include_skipped, include_excluded=include_excluded
            )
        if found is not None and found.nominal > self._turn:
            return found
        return self._before.previous_before(
            min(instant, self._turn + _TICK),
            include_skipped=include_skipped,
            include_excluded=include_excluded,
        )

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
        found = self._before.between(
            after,
            min(until, self._turn),
            limit,
            include_skipped=include_skipped,
            include_excluded=include_excluded,
        )
        if until > self._turn:
            found += self._after.between(
                max(after, self._turn),
                until,
                limit - len(found),
                include_skipped=include_skipped,
                include_excluded=include_excluded,
            )
        return found

    def matches(self, instant: datetime) -> bool:
        """See `Timetable.matches`."""
        side = self._before if instant <= self._turn else self._after
        return side.matches(instant)

    def count_between(
        self, after: datetime, until: datetime, limit: int, *, include_excluded: bool = False
    ) -> tuple[int, bool]:
        """See `Timetable.count_between`."""
        count, is_whole = self._before.count_between(
            after, min(until, self._turn), limit, include_excluded=include_excluded
        )
        if not is_whole or until <= self._turn:
            return count, is_whole
        rest, is_whole = self._after.count_between(
            max(after, self._turn), until, limit - count, include_excluded=include_excluded
        )
        return count + rest, is_whole
