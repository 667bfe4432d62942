"""Which occurrences still to come have been recorded already.

When a calendar, the zone rules or the definition change, an occurrence that has had its record may
come to lie in the future: the same local time at another instant, or the same day's occurrence on
another day. It is recognised by its nominal local time, and by nothing else, for its instant is
what has changed. What it repeats may lie between others that have not been, so each is told by
itself.

Timings that count elapsed time repeat local times by right, and so does BOTH in a fold, except
where a calendar moved them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from app.core.time.instants import SECOND, from_microseconds, local_to_microseconds
from app.core.time.sources import follows_elapsed_time
from app.core.time.timetable import Occurrence, Timetable
from app.core.time.timings import CronTiming, IntervalTiming, OnceTiming, Timing
from app.core.time.zones import local_time, zone_rules
from app.core.vocabulary import Adjustment, CalendarMode, DstFoldPolicy

MOST_AHEAD: Final = 2_000
"""How many occurrences to come are compared with what is recorded: more than a day of minutes."""

_TICK: Final = timedelta(microseconds=1)
# A calendar moves by whole days; no change of the rules of a zone has ever come near to half a day
# but those that left out or repeated a day.
_MOVED_BY_A_CALENDAR: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Record:
    """An occurrence that has its row: local times, instant, and the last instant of a stretch."""

    locals: tuple[datetime, ...]
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a schedule has recorded, and how its local times compare with those to come.

    `timezone` is the zone in which they were recorded. `is_same_zone` says that it is the zone
    still: then a local time means what it did. `turn` is when a definition takes effect before
    which another one holds: what that one fires until then will have been recorded.
    """

    records: Sequence[Record]
    timezone: str
    is_same_zone: bool = True
    turn: datetime | None = None


def ahead(
    timetable: Timetable, timezone: str, after: datetime, through: date
) -> Iterator[Occurrence]:
    """Yield what comes after an instant, through the first day from `through` on that has any.

    A calendar that moves a day's occurrences moves all of them to one day, so what it moved from
    `through` or earlier is among them. At most `MOST_AHEAD`.
    """
    last_day: date | None = None
    for _ in range(MOST_AHEAD):
        occurrence = timetable.next_after(after, include_excluded=True)
        if occurrence is None:
            return
        after = occurrence.nominal
        day = local_time(after, timezone)[0].date()
        if last_day is not None and day > last_day:
            return
        if day >= through and last_day is None:
            last_day = day
        yield occurrence


def moved_locals(occurrences: Iterable[Occurrence]) -> set[datetime]:
    """Return the local times of those that a calendar has moved."""
    moved = (one for one in occurrences if Adjustment.CALENDAR_MOVED in one.adjustments)
    return {local for occurrence in moved for local in occurrence.nominal_locals}


def repeats_among(
    occurrences: Iterable[Occurrence],
    recorded: Recorded,
    timetable: Timetable,
    timings: Sequence[Timing],
    dst_fold: DstFoldPolicy,
    hash_key: str,
) -> list[datetime]:
    """Return the nominal instants of those whose every local time has been recorded."""
    rule = _Rule(recorded, timetable, timings, dst_fold, hash_key)
    return [occurrence.nominal for occurrence in occurrences if rule.is_repeat(occurrence)]


def has_wall_clock_times(timings: Iterable[Timing]) -> bool:
    """Return whether any of them names local times, which a zone's rules may move."""
    return not all(map(_counts_elapsed_time, timings))


def moves(calendar_ids: Sequence[object], mode: CalendarMode) -> bool:
    """Return whether a schedule's calendars move what they exclude."""
    return bool(calendar_ids) and mode is not CalendarMode.EXCLUDE


class _Rule:
    """Tells an occurrence whose local times were recorded from one that merely looks like it."""

    def __init__(
        self,
        recorded: Recorded,
        timetable: Timetable,
        timings: Sequence[Timing],
        dst_fold: DstFoldPolicy,
        hash_key: str,
    ) -> None:
        self._recorded = recorded
        self._timetable = timetable
        self._zone = zone_rules(recorded.timezone)
        self._runs_in_both_passes = dst_fold is DstFoldPolicy.BOTH
        self._by_local: dict[datetime, list[Record]] = {}
        for record in recorded.records:
            for local in record.locals:
                self._by_local.setdefault(local, []).append(record)
        self._stretches = [
            (record.at, record.until) for record in recorded.records if record.until is not None
        ]
        elapsed = [timing for timing in timings if _counts_elapsed_time(timing)]
        self._elapsed = (
            Timetable.of(elapsed, timezone=recorded.timezone, hash_key=hash_key)
            if elapsed
            else None
        )

    def is_repeat(self, occurrence: Occurrence) -> bool:
        """Return whether every local time that the occurrence stands for was recorded."""
        return all(self._repeats(occurrence, local) for local in occurrence.nominal_locals)

    def _repeats(self, occurrence: Occurrence, local: datetime) -> bool:
        # A row at this very instant is the occurrence's own.
        records = [
            record for record in self._by_local.get(local, ()) if record.at != occurrence.nominal
        ]
        if Adjustment.CALENDAR_MOVED in occurrence.adjustments:
            return bool(records) or self._is_accounted_for(local)
        if any(self._was_moved(local, record) for record in records):
            return True
        if not records or not self._recorded.is_same_zone:
            return False
        if Adjustment.FOLD_SECOND in occurrence.adjustments and self._runs_in_both_passes:
            return False
        return self._elapsed is None or not self._elapsed.matches(occurrence.nominal)

    def _is_accounted_for(self, local: datetime) -> bool:
        """Return whether a stretch holds it, or what comes before the turn will fire it."""
        instant = self._instant(local)
        if any(first <= instant <= last for first, last in self._stretches):
            return True
        turn = self._recorded.turn
        if turn is None or instant > turn:
            return False
        on_its_day = self._timetable.next_after(instant - _TICK, include_excluded=True)
        return (
            on_its_day is not None
            and on_its_day.nominal <= turn
            and local in on_its_day.nominal_locals
        )

    def _was_moved(self, local: datetime, record: Record) -> bool:
        """Return whether a calendar had moved it when it was recorded."""
        shown, _ = local_time(record.at, self._recorded.timezone)
        return abs(local - shown) > _MOVED_BY_A_CALENDAR

    def _instant(self, local: datetime) -> datetime:
        seconds, fraction = divmod(local_to_microseconds(local), SECOND)
        return from_microseconds(self._zone.resolve(seconds) * SECOND + fraction)


def _counts_elapsed_time(timing: Timing) -> bool:
    if isinstance(timing, CronTiming):
        return follows_elapsed_time(timing.expression, timing.time_mode)
    return isinstance(timing, IntervalTiming) or (
        isinstance(timing, OnceTiming) and timing.at is not None
    )
