"""Which occurrences a spacing lets start, as far as that can be told ahead: if each runs on time.

What really happens is judged in the claim, by what has really started; this is for those who look
at what lies ahead.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from app.core.time import Occurrence, Timetable

TOO_SOON = "It comes sooner after the run before it than spacing allows."

# The smallest step of PostgreSQL's clock.
_TICK = timedelta(microseconds=1)


def spaced_after(
    timetable: Timetable,
    after: datetime,
    spacing: timedelta,
    *,
    jitter: timedelta,
    last_start_at: datetime | None = None,
) -> Iterator[Occurrence]:
    """Yield the occurrences later than `after` that are far enough from the start before.

    What lies between two of them is passed over in one step, so that a spacing of a day costs
    nothing in a schedule of every second. `jitter` is the most by which any is delayed.
    """
    cursor, earliest_at = after, None if last_start_at is None else last_start_at + spacing
    while True:
        if earliest_at is not None:
            cursor = max(cursor, earliest_at - jitter - _TICK)
        occurrence = timetable.next_after(cursor)
        if occurrence is None:
            return
        cursor = occurrence.nominal
        if earliest_at is None or occurrence.at >= earliest_at:
            yield occurrence
            earliest_at = occurrence.at + spacing


def mark_too_soon(
    occurrences: Iterable[Occurrence], spacing: timedelta | None
) -> Iterator[Occurrence]:
    """Yield all of the occurrences, those marked that spacing lets not start."""
    earliest_at: datetime | None = None
    for occurrence in occurrences:
        is_too_soon = earliest_at is not None and occurrence.at < earliest_at
        if spacing is None or not occurrence.will_run:
            yield occurrence
        elif is_too_soon:
            yield replace(occurrence, will_run=False, note=TOO_SOON)
        else:
            yield occurrence
            earliest_at = occurrence.at + spacing
