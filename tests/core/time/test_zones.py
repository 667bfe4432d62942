"""Zone rules come from the pinned wheel, and every change of the clocks is found."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import _zoneinfo  # type: ignore[attr-defined] # Knows its table of changes.

import pytest

from app.core.errors import Invalid
from app.core.time import known_timezones, parse_timezone, tzdata_version
from app.core.time.zones import Segment, offset_text, zone_rules

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = int((datetime(1900, 1, 2, tzinfo=UTC) - EPOCH).total_seconds())
END = int((datetime(2037, 1, 1, tzinfo=UTC) - EPOCH).total_seconds())


def test_the_operating_systems_zone_files_are_never_read() -> None:
    assert zoneinfo.TZPATH == ()
    assert tzdata_version() >= "2025b"


def test_recent_rules_are_those_of_the_wheel() -> None:
    # British Columbia stays on daylight saving time from 2026 on; Debian 12's own files disagree.
    winter = datetime(2027, 1, 15, tzinfo=UTC).astimezone(zoneinfo.ZoneInfo("America/Vancouver"))
    assert winter.utcoffset() == timedelta(hours=-7)


def changes_in_table(name: str) -> list[tuple[int, int]]:
    """Return (instant, offset after) of each real change that zoneinfo's own table lists."""
    zone: Any = _zoneinfo.ZoneInfo(name)
    found = []
    offset = zone._tti_before.utcoff if zone._tti_before else None
    for instant, kind in zip(zone._trans_utc, zone._ttinfos, strict=True):
        if kind.utcoff != offset and START < instant < END:
            found.append((instant, int(kind.utcoff.total_seconds())))
        offset = kind.utcoff
    return found


@pytest.mark.parametrize("name", known_timezones()[::7])
def test_sampling_finds_every_change_since_1900(name: str) -> None:
    listed = changes_in_table(name)
    # Behind the table comes a rule without end; the days of both changes are tested elsewhere.
    last = listed[-1][0] if listed else START
    segments = zone_rules(name).changes_between(START, last)
    assert [(s.start, s.offset) for s in segments] == listed


def test_no_two_changes_of_any_zone_are_within_three_days() -> None:
    for name in known_timezones():
        instants = [instant for instant, _ in changes_in_table(name)]
        distances = [b - a for a, b in pairwise(instants)]
        assert min(distances, default=10**9) > 3 * 86_400, name


def test_segments_meet_without_hole_or_overlap() -> None:
    rules = zone_rules("Africa/Casablanca")
    segment: Segment = rules.segment_at(START)
    while segment.end < END:
        following = rules.segment_at(segment.end)
        assert following.start == segment.end
        assert rules.segment_at(segment.end - 1) is segment
        segment = following


def test_a_local_time_resolves_to_its_first_pass_or_to_the_end_of_its_gap() -> None:
    rules = zone_rules("America/New_York")
    repeated = int((datetime(2025, 11, 2, 1, 30, tzinfo=UTC) - EPOCH).total_seconds())
    assert rules.resolve(repeated) == repeated + 4 * 3600
    missing = int((datetime(2025, 3, 9, 2, 30, tzinfo=UTC) - EPOCH).total_seconds())
    assert rules.resolve(missing) == missing - 1800 + 5 * 3600


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("Berlin", "Europe/Berlin"),
        ("Kolkatta", "Asia/Kolkata"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_names(name: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_timezone(name)
    assert refused.value.path == ("timezone",)
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "Factory", "x" * 10_000, "\x00", "UTC "])
def test_what_is_no_zone_name_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_timezone(name)
    assert len(refused.value.message) < 300


def test_offsets_are_written_with_their_sign() -> None:
    assert offset_text(0) == "+00:00"
    assert offset_text(-4 * 3600) == "-04:00"
    assert offset_text(20_700) == "+05:45"
    assert offset_text(-17_762) == "-04:56:02"
