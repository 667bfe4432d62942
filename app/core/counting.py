"""Count the occurrences of a long range, a slice at a time.

What is too long to be counted while a tick holds locks is recorded without a count, and counted
later, by whoever has the time. The result is exact.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.core.firing import MOST_A_SECOND
from app.core.time import Timetable

_SLICE = timedelta(hours=1)
_MOST_IN_A_SLICE = MOST_A_SECOND * 3_600
_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class RangeCount:
    """How far the counting of a range has come. `last` is its last occurrence, inclusive."""

    timetable: Timetable
    # Everything up to here is counted.
    cursor_at: datetime
    last: datetime
    count: int = 0

    @classmethod
    def of(cls, timetable: Timetable, first: datetime, last: datetime) -> "RangeCount":
        """Begin with a range from its first to its last occurrence, both inclusive."""
        return cls(timetable, first - _TICK, last)

    @property
    def is_done(self) -> bool:
        """Return whether all of it is counted."""
        return self.cursor_at >= self.last

    def advance(self) -> None:
        """Count one slice, at most an hour of the range.

        Raises `ValueError` for timings so dense that no schedule can have them.
        """
        until = min(self.cursor_at + _SLICE, self.last)
        count, exact = self.timetable.count_between(
            self.cursor_at, until, _MOST_IN_A_SLICE, include_excluded=True
        )
        if not exact:
            raise ValueError(f"more than {_MOST_IN_A_SLICE:,} occurrences within an hour")
        self.count += count
        self.cursor_at = until
