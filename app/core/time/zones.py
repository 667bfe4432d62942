"""Time zones from the pinned `tzdata` wheel, and their changes as segments of constant offset.

Importing this module empties zoneinfo's search path: zoneinfo would otherwise read the operating
system's files first, and two machines with different files would disagree about the future. It
must be imported before the process makes its first `ZoneInfo`; those made earlier are forgotten
by the cache, not mended.

zoneinfo hides its table of changes, so `ZoneRules` finds them: it samples the offset every day,
which is enough because no zone has had two changes within three days since 1900 (a test checks
this against the installed tzdata), and halves the interval where it differs. Blocks of eight and
a half years are sampled when first needed and kept for the life of the process.
"""

import zoneinfo
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

import tzdata  # type: ignore[import-untyped] # It is data; one constant is read.

from app.core.errors import Invalid
from app.core.time.instants import (
    DAY_SECONDS,
    SECOND,
    local_from_microseconds,
    to_microseconds,
)

zoneinfo.reset_tzpath(())
zoneinfo.ZoneInfo.clear_cache()

_NOT_PLACES: Final = frozenset({"Factory", "localtime", "posixrules"})
_MAX_NAME = 64


def tzdata_version() -> str:
    """Return the version of the zone rules in use, such as "2026f"."""
    return str(tzdata.IANA_VERSION)


@lru_cache(maxsize=1)
def known_timezones() -> tuple[str, ...]:
    """Return every accepted zone name, sorted."""
    return tuple(sorted(zoneinfo.available_timezones() - _NOT_PLACES))


@lru_cache(maxsize=1)
def _names_by_folded() -> dict[str, str]:
    return {name.casefold(): name for name in known_timezones()}


def parse_timezone(name: str, path: Sequence[str] = ("timezone",)) -> zoneinfo.ZoneInfo:
    """Return the zone of this name; refuse an unknown one with the nearest names as a hint."""
    if _names_by_folded().get(name.casefold()) == name:
        return zoneinfo.ZoneInfo(name)
    shown = name if len(name) <= _MAX_NAME else name[:_MAX_NAME] + "…"
    raise Invalid(
        f"{shown!r} is not a known time zone; give an IANA name such as 'Europe/Berlin'.",
        path=path,
        hint=_suggestion(name[:_MAX_NAME].strip()),
    )


def _suggestion(name: str) -> str | None:
    folded = name.casefold().replace(" ", "_")
    names = _names_by_folded()
    near = [folded] if folded in names else get_close_matches(folded, names, n=3, cutoff=0.6)
    cities = {key.rpartition("/")[2]: key for key in names}
    near = near or [cities[city] for city in get_close_matches(folded, cities, n=3, cutoff=0.75)]
    if not near:
        return None
    return "Did you mean " + " or ".join(names[key] for key in near) + "?"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with one offset. All in seconds; ends are exclusive.

    A local time in [gap_from, local_start) never existed: the clocks jumped over it. One in
    [local_start, unique_from) is the second pass of a fold, one in [unique_until, local_end)
    the first pass of the next.
    """

    start: int
    end: int
    offset: int
    local_start: int
    local_end: int
    gap_from: int
    unique_from: int
    unique_until: int
    gap_until: int
    """The instant at which local times shifted out of the gap end; `start` without a gap."""
    previous_offset: int
    """The offset before the change that began this segment, if it was near."""
    is_change: bool
    """Whether the clocks changed at `start`; if not, it is only the edge of a block."""


@dataclass(frozen=True, slots=True)
class _Change:
    at: int
    before: int
    after: int


_BLOCK: Final = 1 << 28
# A fold or gap reaches up to a day across the edge of a block.
_MARGIN: Final = 3 * DAY_SECONDS


class ZoneRules:
    """The segments of one zone. Safe to share between threads: a block is replaced whole."""

    __slots__ = ("_blocks", "_zone", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._zone = parse_timezone(name)
        self._blocks: dict[int, tuple[list[int], list[Segment]]] = {}

    def segment_at(self, instant: int) -> Segment:
        """Return the segment that contains an instant, given in seconds."""
        block = self._blocks.get(instant >> 28)
        if block is None:
            block = self._load(instant >> 28)
        starts, segments = block
        return segments[bisect_right(starts, instant) - 1]

    def resolve(self, local: int) -> int:
        """Return the instant of a local time: the first pass of a fold, the end of a gap."""
        segment = self.segment_at(local - 2 * DAY_SECONDS)
        while local >= segment.local_end:
            segment = self.segment_at(segment.end)
        return max(local, segment.local_start) - segment.offset

    def changes_between(self, after: int, until: int) -> Iterator[Segment]:
        """Yield the segments that begin with a change of the clocks in (after, until]."""
        segment = self.segment_at(after)
        while segment.end <= until:
            segment = self.segment_at(segment.end)
            if segment.is_change and segment.start <= until:
                yield segment

    def _load(self, index: int) -> tuple[list[int], list[Segment]]:
        low, high = index * _BLOCK, (index + 1) * _BLOCK
        changes = list(self._changes(low - _MARGIN, high + _MARGIN))
        edges = [low, *(change.at for change in changes if low < change.at < high), high]
        segments = [self._segment(start, end, changes) for start, end in pairwise(edges)]
        self._blocks[index] = (edges[:-1], segments)
        return self._blocks[index]

    def _segment(self, start: int, end: int, changes: list[_Change]) -> Segment:
        offset = self._offset(start)
        before = max((c for c in changes if c.at <= start), key=lambda c: c.at, default=None)
        after = min((c for c in changes if c.at >= end), key=lambda c: c.at, default=None)
        local_start, local_end = start + offset, end + offset
        gap_from = unique_from = local_start
        gap_until = start
        if before is not None:
            unique_from = max(local_start, before.at + before.before)
            if before.at == start:
                gap_from = min(local_start, start + before.before)
            gap_until = max(start, before.at + before.after - before.before)
        unique_until = local_end if after is None else min(local_end, after.at + after.after)
        return Segment(
            start=start,
            end=end,
            offset=offset,
            local_start=local_start,
            local_end=local_end,
            gap_from=gap_from,
            unique_from=unique_from,
            unique_until=unique_until,
            gap_until=gap_until,
            previous_offset=offset if before is None else before.before,
            is_change=before is not None and before.at == start,
        )

    def _changes(self, low: int, high: int) -> Iterator[_Change]:
        instant, offset = low, self._offset(low)
        while instant < high:
            following = instant + DAY_SECONDS
            after = self._offset(following)
            if after != offset:
                yield _Change(self._first_with(after, instant, following), offset, after)
            instant, offset = following, after

    def _first_with(self, offset: int, low: int, high: int) -> int:
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                high = middle
            else:
                low = middle
        return high

    def _offset(self, instant: int) -> int:
        local = (_EPOCH + timedelta(seconds=instant)).astimezone(self._zone)
        offset = local.utcoffset()
        assert offset is not None
        return offset.days * DAY_SECONDS + offset.seconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def zone_rules(name: str) -> ZoneRules:
    """Return the shared rules of a zone; there are as many as there are zone names."""
    return ZoneRules(name)


def local_time(instant: datetime, timezone: str) -> tuple[datetime, str]:
    """Return the local time of an instant in a zone, and the zone's offset then."""
    microseconds = to_microseconds(instant)
    offset = zone_rules(timezone).segment_at(microseconds // SECOND).offset
    return local_from_microseconds(microseconds + offset * SECOND), offset_text(offset)


def offset_text(offset: int) -> str:
    """Return an offset in seconds as "+02:00" (with seconds where a zone had them)."""
    sign = "-" if offset < 0 else "+"
    hours, rest = divmod(abs(offset), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{sign}{hours:02}:{minutes:02}" + (f":{seconds:02}" if seconds else "")
