"""From local times to instants: what the wall clock's gaps and folds do to a timing.

A pattern (a cron expression, a calendar interval, one local time) yields local times and knows
nothing of zones. A walk goes through the zone's segments of constant offset, asks the pattern for
the next local time in each, and applies the policies where two segments meet:

- In a **gap** local times that do not exist run once at the end of the gap, or shifted by its
  length (that is, as if the old offset had lasted that much longer), or not at all.
- In a **fold** local times that exist twice run in the first pass, the last, or both.

A timing that follows elapsed time is the same walk with the plainest policies: what does not
exist does not run, what comes twice runs twice. Real time then has no hole and no double.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from app.core.time.instants import EARLIEST, HORIZON, LATEST, SECOND
from app.core.time.zones import Segment, ZoneRules
from app.core.vocabulary import Adjustment, DstFoldPolicy, DstGapPolicy

MAX_COALESCED: Final = 100
"""How many local times one occurrence records when more coalesced into it."""

_HORIZON_SECONDS: Final = HORIZON.days * 86_400
_EARLIEST: Final = EARLIEST // SECOND
_LATEST: Final = LATEST // SECOND


class Pattern(Protocol):
    """Yields local times, in seconds."""

    def first_from(self, local: int) -> int:
        """Return the first local time at or after `local`, or NEVER."""

    def last_until(self, local: int) -> int:
        """Return the last local time at or before `local`, or -NEVER."""


class Hit(NamedTuple):
    """One due instant with the nominal local times behind it; in seconds inside this module."""

    at: int
    locals: tuple[int, ...]
    adjustments: tuple[Adjustment, ...] = ()
    runs: bool = True
    note: str | None = None
    """What a calendar did to it, in words."""


@dataclass(frozen=True, slots=True)
class DstPolicy:
    """What happens where the clocks change."""

    gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END
    fold: DstFoldPolicy = DstFoldPolicy.FIRST
    reports_skips: bool = True
    """Whether local times that a gap swallowed are shown as skipped."""


ELAPSED: Final = DstPolicy(DstGapPolicy.SKIP, DstFoldPolicy.BOTH, reports_skips=False)


class LocalWalk:
    """The instants of one pattern in one zone under one policy; immutable."""

    __slots__ = ("_first", "_last", "_pattern", "_policy", "_zone")

    def __init__(self, pattern: Pattern, zone: ZoneRules, policy: DstPolicy) -> None:
        self._pattern = pattern
        self._zone = zone
        self._policy = policy
        self._first = policy.fold is DstFoldPolicy.FIRST
        self._last = policy.fold is DstFoldPolicy.LAST

    def first_from(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the first hit at or after an instant, within the horizon."""
        instant = max(instant, _EARLIEST)
        limit = min(instant + _HORIZON_SECONDS, _LATEST)
        searched, found = 1, 0
        while instant <= limit:
            segment = self._zone.segment_at(instant)
            local = instant + segment.offset
            if self._first and local < segment.unique_from:
                local = segment.unique_from
            # Nothing lies between `searched` and `found`, so a later start needs no new search.
            if not searched <= local <= found:
                searched, found = local, self._pattern.first_from(local)
            end = segment.unique_until if self._last else segment.local_end
            hit = self._plain(segment, found) if found < end else None
            if instant < segment.gap_until or (instant == segment.start and segment.is_change):
                hit = earlier(hit, self._first_out_of_gap(segment, instant, skipped=skipped))
            if hit is not None:
                return hit if hit.at <= limit else None
            instant = segment.end
        return None

    def last_until(self, instant: int, *, skipped: bool = False) -> Hit | None:
        """Return the last hit at or before an instant, within the horizon."""
        instant = min(instant, _LATEST)
        limit = max(instant - _HORIZON_SECONDS, _EARLIEST)
        searched, found = 0, 1
        while instant >= limit:
            segment = self._zone.segment_at(instant)
            local = instant + segment.offset
            if self._last and local >= segment.unique_until:
                local = segment.unique_until - 1
            if not found <= local <= searched:
                searched, found = local, self._pattern.last_until(local)
            start = segment.unique_from if self._first else segment.local_start
            hit = self._plain(segment, found) if found >= start else None
            if hit is None or hit.at < segment.gap_until or hit.at == segment.start:
                hit = later(hit, self._last_out_of_gap(segment, instant, skipped=skipped))
            if hit is not None:
                return hit if hit.at >= limit else None
            instant = segment.start - 1
        return None

    def _plain(self, segment: Segment, local: int) -> Hit:
        at = local - segment.offset
        if local < segment.unique_from:
            return Hit(at, (local,), (Adjustment.FOLD_SECOND,))
        if local >= segment.unique_until:
            return Hit(at, (local,), (Adjustment.FOLD_FIRST,))
        return Hit(at, (local,))

    def _first_out_of_gap(self, segment: Segment, instant: int, *, skipped: bool) -> Hit | None:
        """Return the first hit at or after `instant` that the gap before this segment displaced."""
        if self._policy.gap is DstGapPolicy.SHIFT:
            local = self._pattern.first_from(instant + segment.previous_offset)
            return self._shifted(segment, local)
        return self._at_gap_end(segment, skipped=skipped) if instant == segment.start else None

    def _last_out_of_gap(self, segment: Segment, instant: int, *, skipped: bool) -> Hit | None:
        if self._policy.gap is DstGapPolicy.SHIFT:
            until = min(instant, segment.gap_until - 1)
            local = self._pattern.last_until(until + segment.previous_offset)
            return self._shifted(segment, local)
        return self._at_gap_end(segment, skipped=skipped)

    def _shifted(self, segment: Segment, local: int) -> Hit | None:
        at = local - segment.previous_offset
        if not segment.start <= at < segment.gap_until:
            return None
        return Hit(at, (local,), (Adjustment.GAP_MOVED,))

    def _at_gap_end(self, segment: Segment, *, skipped: bool) -> Hit | None:
        if segment.gap_from == segment.local_start:
            return None
        runs = self._policy.gap is DstGapPolicy.RUN_AT_GAP_END
        if not runs and not (skipped and self._policy.reports_skips):
            return None
        swallowed = self._within(segment.gap_from, segment.local_start)
        if not swallowed:
            return None
        adjustment = Adjustment.GAP_MOVED if runs else Adjustment.GAP_SKIPPED
        return Hit(segment.start, swallowed, (adjustment,), runs)

    def _within(self, start: int, end: int) -> tuple[int, ...]:
        found: list[int] = []
        local = self._pattern.first_from(start)
        while local < end and len(found) < MAX_COALESCED:
            found.append(local)
            local = self._pattern.first_from(local + 1)
        return tuple(found)


def merge(one: Hit, other: Hit) -> Hit:
    """Return the single occurrence that two hits at the same instant make.

    A skipped hit that meets one that runs keeps its flag, so that nothing vanishes.
    """
    return Hit(
        one.at,
        tuple(sorted({*one.locals, *other.locals}))[:MAX_COALESCED],
        tuple(dict.fromkeys((*one.adjustments, *other.adjustments))),
        one.runs or other.runs,
        one.note or other.note,
    )


def earlier(one: Hit | None, other: Hit | None) -> Hit | None:
    """Return whichever comes first, or both as one."""
    if one is None or other is None:
        return one or other
    if one.at == other.at:
        return merge(one, other)
    return one if one.at < other.at else other


def later(one: Hit | None, other: Hit | None) -> Hit | None:
    """Return whichever comes last, or both as one."""
    if one is None or other is None:
        return one or other
    if one.at == other.at:
        return merge(one, other)
    return one if one.at > other.at else other
