"""Every timing as a source of due instants, and the union of several.

Sources speak microseconds, because an interval's anchor may fall between two seconds.
"""

from typing import Protocol

from app.core.time.calendar_interval import calendar_pattern
from app.core.time.cron import compile_cron
from app.core.time.cron_syntax import parse_cron
from app.core.time.instants import HORIZON, NEVER, SECOND, local_to_microseconds, to_microseconds
from app.core.time.local_walk import ELAPSED, DstPolicy, Hit, LocalWalk, merge
from app.core.time.timings import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
)
from app.core.time.zones import ZoneRules
from app.core.vocabulary import Adjustment, DstFoldPolicy, TimeMode

_HORIZON = HORIZON.days * 86_400 * SECOND


class Source(Protocol):
    """Yields hits in order; instants and local times are in microseconds."""

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the first hit at or after an instant, within the horizon."""

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the last hit at or before an instant, within the horizon."""


def source_of(timing: Timing, zone: ZoneRules, policy: DstPolicy, hash_key: str) -> Source:
    """Compile one timing."""
    match timing:
        case CronTiming(expression, day_match, time_mode):
            pattern = compile_cron(expression, day_match, hash_key)
            policy = ELAPSED if follows_elapsed_time(expression, time_mode) else policy
            return LocalSource(LocalWalk(pattern, zone, policy))
        case IntervalTiming():
            return IntervalSource(timing, zone)
        case CalendarIntervalTiming(every, unit, anchor):
            return LocalSource(LocalWalk(calendar_pattern(every, unit, anchor), zone, policy))
        case OnceTiming(at, local):
            if at is not None:
                return InstantSource(to_microseconds(at), zone)
            assert local is not None
            # Once is once: the first pass will do.
            fold = DstFoldPolicy.LAST if policy.fold is DstFoldPolicy.LAST else DstFoldPolicy.FIRST
            once = OncePattern(local_to_microseconds(local) // SECOND)
            return LocalSource(LocalWalk(once, zone, DstPolicy(policy.gap, fold)))


def follows_elapsed_time(expression: str, time_mode: TimeMode) -> bool:
    """Return whether a cron timing counts elapsed time rather than follow the wall clock."""
    if time_mode is TimeMode.AUTO:
        return parse_cron(expression).follows_elapsed_time
    return time_mode is TimeMode.ELAPSED


class OncePattern:
    """A single local time."""

    __slots__ = ("_local",)

    def __init__(self, local: int) -> None:
        self._local = local

    def first_from(self, local: int) -> int:
        """Return the local time if it lies at or after `local`."""
        return self._local if local <= self._local else NEVER

    def last_until(self, local: int) -> int:
        """Return the local time if it lies at or before `local`."""
        return self._local if local >= self._local else -NEVER


class LocalSource:
    """A walk over local times, in microseconds."""

    __slots__ = ("walk",)

    def __init__(self, walk: LocalWalk) -> None:
        self.walk = walk

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the first hit at or after an instant, within the horizon."""
        return _scaled(self.walk.first_from(-(-instant // SECOND), skipped=skipped))

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the last hit at or before an instant, within the horizon."""
        return _scaled(self.walk.last_until(instant // SECOND, skipped=skipped))


def _scaled(hit: Hit | None) -> Hit | None:
    if hit is None:
        return None
    at, locals_, adjustments, runs, _ = hit
    if len(locals_) == 1:
        return Hit(at * SECOND, (locals_[0] * SECOND,), adjustments, runs)
    return Hit(at * SECOND, tuple(local * SECOND for local in locals_), adjustments, runs)


def hit_at(instant: int, zone: ZoneRules) -> Hit:
    """Return a hit whose nominal local time is simply what the wall clock shows."""
    seconds = instant // SECOND
    segment = zone.segment_at(seconds)
    local = seconds + segment.offset
    adjustments: tuple[Adjustment, ...] = ()
    if local < segment.unique_from:
        adjustments = (Adjustment.FOLD_SECOND,)
    elif local >= segment.unique_until:
        adjustments = (Adjustment.FOLD_FIRST,)
    return Hit(instant, (instant + segment.offset * SECOND,), adjustments)


class IntervalSource:
    """Elapsed time: the anchor plus any whole number of intervals."""

    __slots__ = ("_anchor", "_zone", "every")

    def __init__(self, timing: IntervalTiming, zone: ZoneRules) -> None:
        self.every = (timing.every.days * 86_400 + timing.every.seconds) * SECOND
        self.every += timing.every.microseconds
        self._anchor = to_microseconds(timing.anchor)
        self._zone = zone

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the first hit at or after an instant."""
        return hit_at(instant + (self._anchor - instant) % self.every, self._zone)

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the last hit at or before an instant."""
        return hit_at(instant - (instant - self._anchor) % self.every, self._zone)


class InstantSource:
    """One instant."""

    __slots__ = ("_at", "_zone")

    def __init__(self, at: int, zone: ZoneRules) -> None:
        self._at = at
        self._zone = zone

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the instant if it lies at or after `instant`, within the horizon."""
        due = instant <= self._at <= instant + _HORIZON
        return hit_at(self._at, self._zone) if due else None

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the instant if it lies at or before `instant`, within the horizon."""
        due = instant - _HORIZON <= self._at <= instant
        return hit_at(self._at, self._zone) if due else None


class Union:
    """Several sources as one; hits at the same instant are one hit."""

    __slots__ = ("_sources",)

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the earliest hit of any source."""
        best: Hit | None = None
        for source in self._sources:
            hit = source.first_from(instant, skipped=skipped)
            if hit is None or (best is not None and hit.at > best.at):
                continue
            best = merge(best, hit) if best is not None and hit.at == best.at else hit
        return best

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the latest hit of any source."""
        best: Hit | None = None
        for source in self._sources:
            hit = source.last_until(instant, skipped=skipped)
            if hit is None or (best is not None and hit.at < best.at):
                continue
            best = merge(best, hit) if best is not None and hit.at == best.at else hit
        return best
