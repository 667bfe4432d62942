"""Occurrences on excluded days: left out, or moved to the nearest allowed day.

Moving keeps the time of day and changes the day. The timeline falls into groups: an allowed day
together with the excluded days that move to it. All occurrences of a group come out on its
allowed day and groups follow one another, so a search asks once for each day of a group, however
many occurrences it holds. A moved local time that does not exist runs at the end of the gap, one
that comes twice in the first pass; the schedule's own policy has already had its say. It never
leaves the day it moved to: where the day itself ends in the gap, it runs in the day's last second.
A day that a zone left out (Apia, 30 December 2011) is no day to move to.

Where more than a year in a row is excluded there is no day to move to, and occurrences are left
out as if the mode were EXCLUDE.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from app.core.time.calendars import Calendar, Exclusions
from app.core.time.instants import (
    DAY_SECONDS,
    EARLIEST,
    HORIZON,
    LATEST,
    SECOND,
    local_from_microseconds,
)
from app.core.time.local_walk import Hit, earlier, later
from app.core.time.sources import Source
from app.core.time.zones import Segment, ZoneRules
from app.core.vocabulary import Adjustment

_DAY: Final = DAY_SECONDS * SECOND
_HORIZON: Final = HORIZON.days * _DAY


class _Days:
    """The days of one zone as a source's calendars see them; counted since 1970."""

    def __init__(self, zone: ZoneRules, calendars: Iterable[Calendar]) -> None:
        self.zone = zone
        self.exclusions = Exclusions(calendars, exists=self.exists)

    def exists(self, day: int) -> bool:
        """Return whether the zone has this day at all."""
        return self.day_of(self.start_of(day)) == day

    def day_of(self, instant: int) -> int:
        seconds = instant // SECOND
        return (seconds + self.zone.segment_at(seconds).offset) // DAY_SECONDS

    def start_of(self, day: int) -> int:
        return self.zone.resolve(day * DAY_SECONDS) * SECOND

    def last_before_gap(self, day: int) -> int | None:
        """Return the last whole second of a day that ends in a gap; None for other days."""
        following = self.start_of(day + 1)
        if self.zone.resolve((day + 1) * DAY_SECONDS - 1) * SECOND < following:
            return None
        return following - SECOND

    def marked(self, hit: Hit) -> Hit:
        """Return the hit flagged as excluded if its day is."""
        calendar = self.exclusions.excluding(self.day_of(hit.at))
        if calendar is None:
            return hit
        return hit._replace(
            adjustments=(*hit.adjustments, Adjustment.CALENDAR_EXCLUDED),
            runs=False,
            note=f"Excluded by the calendar {calendar.name}.",
        )


@lru_cache(maxsize=64)
def _days_of(zone: ZoneRules, calendars: tuple[Calendar, ...]) -> _Days:
    """Return the days as whoever follows these calendars sees them; looked up once for all."""
    return _Days(zone, calendars)


class ExcludingWalk:
    """A source without the hits on excluded days."""

    __slots__ = ("_days", "_source")

    def __init__(self, source: Source, zone: ZoneRules, calendars: Iterable[Calendar]) -> None:
        self._source = source
        self._days = _days_of(zone, tuple(calendars))

    def first_from(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        """Return the first hit at or after an instant; `excluded` ones too when asked."""
        limit = min(instant + _HORIZON, LATEST)
        hit = self._source.first_from(instant, skipped=skipped)
        while hit is not None and hit.at <= limit:
            marked = self._days.marked(hit)
            if excluded or marked is hit:
                return marked
            _, last = self._days.exclusions.run_around(self._days.day_of(hit.at))
            # Where a fold reached back over midnight, a day begins before the one before has ended.
            start = max(self._days.start_of(last + 1), hit.at + 1)
            hit = self._source.first_from(start, skipped=skipped)
        return None

    def last_until(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        """Return the last hit at or before an instant; `excluded` ones too when asked."""
        limit = max(instant - _HORIZON, EARLIEST)
        hit = self._source.last_until(instant, skipped=skipped)
        while hit is not None and hit.at >= limit:
            marked = self._days.marked(hit)
            if excluded or marked is hit:
                return marked
            first, _ = self._days.exclusions.run_around(self._days.day_of(hit.at))
            end = min(self._days.start_of(first), hit.at) - 1
            hit = self._source.last_until(end, skipped=skipped)
        return None


class _Group(NamedTuple):
    """Days from `first` to `last` whose occurrences come out on `target`; None: left out."""

    first: int
    last: int
    target: int | None


class _Piece(NamedTuple):
    """The part of a local day that lies in one segment; instants, the end exclusive."""

    start: int
    end: int
    offset: int


class MovingWalk:
    """A source whose hits on excluded days move to the next allowed day, or the previous one."""

    __slots__ = ("_days", "_forward", "_source")

    def __init__(
        self, source: Source, zone: ZoneRules, calendars: Iterable[Calendar], *, forward: bool
    ) -> None:
        self._source = source
        self._days = _days_of(zone, tuple(calendars))
        self._forward = forward

    def first_from(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        """Return the first hit at or after an instant, as moved."""
        limit = min(instant + _HORIZON, LATEST)
        reached = instant
        while reached <= limit:
            group = self._group_of(self._days.day_of(reached))
            hit = self._first_in(group, instant, skipped=skipped, excluded=excluded)
            if hit is not None:
                return hit
            start = max(self._days.start_of(group.last + 1), reached + 1)
            following = self._source.first_from(start, skipped=skipped)
            if following is None:
                return None
            reached = following.at
        return None

    def last_until(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        """Return the last hit at or before an instant, as moved."""
        limit = max(instant - _HORIZON, EARLIEST)
        reached = instant
        while reached >= limit:
            group = self._group_of(self._days.day_of(reached))
            hit = self._last_in(group, instant, skipped=skipped, excluded=excluded)
            if hit is not None:
                return hit
            end = min(self._days.start_of(group.first), reached) - 1
            preceding = self._source.last_until(end, skipped=skipped)
            if preceding is None:
                return None
            reached = preceding.at
        return None

    def _group_of(self, day: int) -> _Group:
        exclusions = self._days.exclusions
        target = day
        if not exclusions.is_open(day):
            first, last = exclusions.run_around(day)
            if not exclusions.can_leave(first, last):
                return _Group(first, last, None)
            target = last + 1 if self._forward else first - 1
        neighbour = target - 1 if self._forward else target + 1
        if exclusions.is_open(neighbour):
            return _Group(target, target, target)
        first, last = exclusions.run_around(neighbour)
        if not exclusions.can_leave(first, last):
            return _Group(target, target, target)
        return _Group(first, target, target) if self._forward else _Group(target, last, target)

    def _first_in(
        self, group: _Group, instant: int, *, skipped: bool, excluded: bool
    ) -> Hit | None:
        if group.target is None:
            if not excluded:
                return None
            start = max(instant, self._days.start_of(group.first))
            return self._excluded(self._source.first_from(start, skipped=skipped), group)
        if self._days.day_of(instant) > group.target:
            return None
        best: Hit | None = None
        for day in range(group.first, group.last + 1):
            if day == group.target:
                start = max(instant, self._days.start_of(day))
                hit = self._source.first_from(start, skipped=skipped)
                if hit is not None and self._days.day_of(hit.at) == day:
                    best = earlier(best, hit)
                continue
            for piece in self._pieces(day):
                after = self._first_local(group.target, instant) - (group.target - day) * _DAY
                start = max(piece.start, after - piece.offset)
                hit = self._source.first_from(start, skipped=skipped)
                if hit is not None and hit.at < piece.end:
                    best = earlier(best, self._moved(hit, piece, group.target - day))
        return best

    def _last_in(self, group: _Group, instant: int, *, skipped: bool, excluded: bool) -> Hit | None:
        if group.target is None:
            if not excluded:
                return None
            end = min(instant, self._days.start_of(group.last + 1) - 1)
            return self._excluded(self._source.last_until(end, skipped=skipped), group)
        if self._days.day_of(instant) < group.target:
            return None
        best: Hit | None = None
        for day in range(group.first, group.last + 1):
            if day == group.target:
                end = min(instant, self._days.start_of(day + 1) - 1)
                hit = self._source.last_until(end, skipped=skipped)
                if hit is not None and self._days.day_of(hit.at) == day:
                    best = later(best, hit)
                continue
            for piece in self._pieces(day):
                until = self._last_local(group.target, instant) - (group.target - day) * _DAY
                end = min(piece.end - 1, until - piece.offset)
                hit = self._source.last_until(end, skipped=skipped)
                if hit is not None and hit.at >= piece.start:
                    best = later(best, self._moved(hit, piece, group.target - day))
        return best

    def _excluded(self, hit: Hit | None, group: _Group) -> Hit | None:
        if hit is None or not group.first <= self._days.day_of(hit.at) <= group.last:
            return None
        return self._days.marked(hit)

    def _pieces(self, day: int) -> Iterator[_Piece]:
        segment = self._days.zone.segment_at(self._days.zone.resolve(day * DAY_SECONDS))
        while segment.local_start < (day + 1) * DAY_SECONDS:
            start = max(segment.local_start, day * DAY_SECONDS)
            end = min(segment.local_end, (day + 1) * DAY_SECONDS)
            if start < end:
                offset = segment.offset
                yield _Piece((start - offset) * SECOND, (end - offset) * SECOND, offset * SECOND)
            segment = self._days.zone.segment_at(segment.end)

    def _first_local(self, target: int, instant: int) -> int:
        """Return the first local time that comes out on the target day, not before `instant`."""
        if self._days.day_of(instant) < target:
            return target * _DAY
        last = self._days.last_before_gap(target)
        if last is not None and instant > last:
            return (target + 1) * _DAY
        segment = self._segment_at(instant)
        if instant == segment.start * SECOND and segment.gap_from < segment.local_start:
            # At the end of a gap the local times inside it are due, too.
            return segment.gap_from * SECOND
        local = instant + segment.offset * SECOND
        return max(local, segment.unique_from * SECOND)

    def _last_local(self, target: int, instant: int) -> int:
        """Return the last local time that comes out on the target day, not after `instant`."""
        last = self._days.last_before_gap(target)
        if self._days.day_of(instant) > target or (last is not None and instant >= last):
            return (target + 1) * _DAY - 1
        segment = self._segment_at(instant)
        local = instant + segment.offset * SECOND
        return local if local >= segment.unique_from * SECOND else segment.unique_from * SECOND - 1

    def _segment_at(self, instant: int) -> Segment:
        return self._days.zone.segment_at(instant // SECOND)

    def _moved(self, hit: Hit, piece: _Piece, days: int) -> Hit:
        local = hit.at + piece.offset + days * _DAY
        seconds, fraction = divmod(local, SECOND)
        at = self._days.zone.resolve(seconds) * SECOND
        if at // SECOND + self._segment_at(at).offset == seconds:
            # Out of a gap all come at its very end, whatever their fractions of a second.
            at += fraction
        last = self._days.last_before_gap(local // _DAY)
        if last is not None:
            at = min(at, last)
        calendar = self._days.exclusions.excluding(self._days.day_of(hit.at))
        assert calendar is not None
        day = local_from_microseconds(hit.at + piece.offset).date()
        return hit._replace(
            at=at,
            adjustments=(*hit.adjustments, Adjustment.CALENDAR_MOVED),
            note=f"Moved from {day} by the calendar {calendar.name}.",
        )
