"""When a schedule is due: its timings, zone, window and calendars as one sequence of instants.

A `Timetable` is immutable and cheap to make again: everything it computes is remembered by value,
never by schedule, so ten thousand schedules that share an expression and a zone share the work.
A schedule's own key enters only where its expression says `H`, and in the jitter, which is added
outside the memo.

Searches compare *nominal* instants; jitter moves `at` only, and never as far as the next
occurrence, so `at` increases along with `nominal`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from app.core.time.calendar_walk import ExcludingWalk, MovingWalk
from app.core.time.calendars import Calendar
from app.core.time.cron_syntax import parse_cron
from app.core.time.instants import (
    EARLIEST,
    LATEST,
    SECOND,
    from_microseconds,
    local_from_microseconds,
    to_microseconds,
)
from app.core.time.jitter import jitter_delay
from app.core.time.local_walk import DstPolicy, Hit
from app.core.time.sources import Source, Union, source_of
from app.core.time.timings import CronTiming, Timing
from app.core.time.zones import ZoneRules, offset_text, zone_rules
from app.core.vocabulary import Adjustment, CalendarMode, DstFoldPolicy, DstGapPolicy


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One instant at which a schedule is due, and why it is what it is."""

    at: datetime
    """When it is due, after jitter; aware, UTC."""
    nominal: datetime
    """Its key, before jitter; aware, UTC."""
    local: datetime
    """The first nominal local time in the schedule's zone; naive."""
    offset: str
    """The zone's offset at `nominal`, such as "+02:00"."""
    nominal_locals: tuple[datetime, ...]
    """Every nominal local time that coalesced into it, at most a hundred."""
    adjustments: tuple[Adjustment, ...] = ()
    will_run: bool = True
    note: str | None = None
    """Which calendar excluded or moved it."""


class _Walk(Protocol):
    def first_from(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None: ...

    def last_until(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None: ...


class Timetable:
    """The occurrences of one schedule."""

    __slots__ = ("_core", "_hash_key", "_jitter")

    def __init__(self, core: "_Core", hash_key: str, jitter: timedelta) -> None:
        self._core = core
        self._hash_key = hash_key
        self._jitter = jitter

    @classmethod
    def of(
        cls,
        timings: Iterable[Timing],
        *,
        timezone: str,
        dst_gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END,
        dst_fold: DstFoldPolicy = DstFoldPolicy.FIRST,
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        calendars: Iterable[Calendar] = (),
        calendar_mode: CalendarMode = CalendarMode.EXCLUDE,
        hash_key: str = "",
        jitter: timedelta = timedelta(0),
    ) -> "Timetable":
        """Return the timetable of these values; raise `Invalid` for timings that make no sense.

        The window from `start_at` to `end_at` includes both ends. `hash_key` is whatever names
        the schedule for good: it picks the slots of `H` and the jitter.
        """
        definition = (
            tuple(timings),
            timezone,
            dst_gap,
            dst_fold,
            start_at,
            end_at,
            tuple(calendars),
            calendar_mode,
        )
        core = _shared_core(definition) or _core(definition, hash_key)
        return cls(core, hash_key, jitter)

    def next_after(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """Return the first occurrence strictly after an instant, or None within 50 years.

        Only those that will run are returned, unless asked for: `include_excluded` adds what a
        calendar excludes, `include_skipped` that and what a gap swallows.
        """
        if instant.tzinfo is not UTC:
            # Two passes of a fold are equal as keys of the memo, unless they are in UTC.
            instant = from_microseconds(to_microseconds(instant))
        found = _next(self._core, instant, include_skipped, include_excluded)
        return found if found is None or not self._jitter else self._jittered(found)

    def previous_before(
        self, instant: datetime, *, include_skipped: bool = False, include_excluded: bool = False
    ) -> Occurrence | None:
        """Return the last occurrence strictly before an instant, or None within 50 years."""
        hit = self._core.last_until(to_microseconds(instant) - 1, include_skipped, include_excluded)
        return None if hit is None else self._jittered(self._core.occurrence(hit))

    def between(
        self,
        after: datetime,
        until: datetime,
        limit: int,
        *,
        include_skipped: bool = False,
        include_excluded: bool = False,
    ) -> list[Occurrence]:
        """Return the occurrences in (after, until], at most `limit`, in order."""
        found: list[Occurrence] = []
        for hit in self._hits(after, until, include_skipped, include_excluded):
            if len(found) >= limit:
                break
            found.append(self._jittered(self._core.occurrence(hit)))
        return found

    def matches(self, instant: datetime) -> bool:
        """Return whether an occurrence that runs has exactly this nominal instant."""
        at = to_microseconds(instant)
        hit = self._core.first_from(at, False, False)
        return hit is not None and hit.at == at

    def count_between(
        self, after: datetime, until: datetime, limit: int, *, include_excluded: bool = False
    ) -> tuple[int, bool]:
        """Count the occurrences in (after, until] up to `limit`; False: there are more."""
        count = 0
        for _ in self._hits(after, until, False, include_excluded):
            if count >= limit:
                return count, False
            count += 1
        return count, True

    def breaks_between(self, after: datetime, until: datetime) -> Sequence[datetime]:
        """Return where in (after, until] a stretch of occurrences is interrupted by others."""
        return ()

    def _hits(
        self, after: datetime, until: datetime, skipped: bool, excluded: bool
    ) -> Iterator[Hit]:
        last = to_microseconds(until)
        hit = self._core.first_from(to_microseconds(after) + 1, skipped, excluded)
        while hit is not None and hit.at <= last:
            yield hit
            hit = self._core.first_from(hit.at + 1, skipped, excluded)

    def _jittered(self, occurrence: Occurrence) -> Occurrence:
        if not self._jitter or not occurrence.will_run:
            return occurrence
        following = _next(self._core, occurrence.nominal, False, False)
        most = self._jitter
        if following is not None:
            most = min(most, following.nominal - occurrence.nominal)
        delay = jitter_delay(self._hash_key, to_microseconds(occurrence.nominal), most)
        if not delay:
            return occurrence
        return replace(
            occurrence,
            at=occurrence.nominal + delay,
            adjustments=(*occurrence.adjustments, Adjustment.JITTERED),
        )


class _Core:
    """What equal schedules share. Instants are microseconds."""

    __slots__ = ("_end", "_start", "_walk", "_zone")

    def __init__(self, walk: _Walk, zone: ZoneRules, start: int, end: int) -> None:
        self._walk = walk
        self._zone = zone
        self._start = start
        self._end = end

    def first_from(self, instant: int, skipped: bool, excluded: bool) -> Hit | None:
        hit = self._walk.first_from(
            max(instant, self._start), skipped=skipped, excluded=excluded or skipped
        )
        return hit if hit is not None and hit.at <= self._end else None

    def last_until(self, instant: int, skipped: bool, excluded: bool) -> Hit | None:
        hit = self._walk.last_until(
            min(instant, self._end), skipped=skipped, excluded=excluded or skipped
        )
        return hit if hit is not None and hit.at >= self._start else None

    def occurrence(self, hit: Hit) -> Occurrence:
        at = from_microseconds(hit.at)
        locals_ = tuple(map(local_from_microseconds, hit.locals))
        offset = self._zone.segment_at(hit.at // SECOND).offset
        return Occurrence(
            at, at, locals_[0], offset_text(offset), locals_, hit.adjustments, hit.runs, hit.note
        )


class _Plain:
    """A source without calendars."""

    __slots__ = ("_source",)

    def __init__(self, source: Source) -> None:
        self._source = source

    def first_from(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        return self._source.first_from(instant, skipped=skipped)

    def last_until(
        self, instant: int, *, skipped: bool = False, excluded: bool = False
    ) -> Hit | None:
        return self._source.last_until(instant, skipped=skipped)


# Decides a core, but for the slots of H. A plain tuple: one is made and hashed for every schedule
# of a tick.
_Definition: TypeAlias = tuple[
    tuple[Timing, ...],
    str,
    DstGapPolicy,
    DstFoldPolicy,
    datetime | None,
    datetime | None,
    tuple[Calendar, ...],
    CalendarMode,
]


@lru_cache(maxsize=8192)
def _shared_core(definition: _Definition) -> _Core | None:
    """Return the core that schedules of a definition share; None if each has its own slots."""
    timings, *_ = definition
    return None if any(map(_uses_hash, timings)) else _core(definition, "")


@lru_cache(maxsize=8192)
def _core(definition: _Definition, hash_key: str) -> _Core:
    timings, timezone, dst_gap, dst_fold, start_at, end_at, calendars, calendar_mode = definition
    zone = zone_rules(timezone)
    policy = DstPolicy(dst_gap, dst_fold)
    sources = tuple(source_of(timing, zone, policy, hash_key) for timing in timings)
    source = sources[0] if len(sources) == 1 else Union(sources)
    return _Core(
        _walk(source, zone, calendars, calendar_mode),
        zone,
        EARLIEST if start_at is None else max(EARLIEST, to_microseconds(start_at)),
        LATEST if end_at is None else min(LATEST, to_microseconds(end_at)),
    )


def _walk(
    source: Source, zone: ZoneRules, calendars: tuple[Calendar, ...], mode: CalendarMode
) -> _Walk:
    if not calendars:
        return _Plain(source)
    if mode is CalendarMode.EXCLUDE:
        return ExcludingWalk(source, zone, calendars)
    return MovingWalk(source, zone, calendars, forward=mode is CalendarMode.MOVE_NEXT)


# A herd asks the same question for every schedule of one expression. The key holds a core, not a
# schedule: equal values share one core for as long as the cache above holds it.
_MEMO: Final = 16_384


@lru_cache(maxsize=_MEMO)
def _next(core: _Core, instant: datetime, skipped: bool, excluded: bool) -> Occurrence | None:
    hit = core.first_from(to_microseconds(instant) + 1, skipped, excluded)
    return None if hit is None else core.occurrence(hit)


def _uses_hash(timing: Timing) -> bool:
    return (
        isinstance(timing, CronTiming)
        and "H" in timing.expression.upper()
        and parse_cron(timing.expression).uses_hash
    )
