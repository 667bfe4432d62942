"""Days from iCalendar texts; recurrences agree with dateutil's."""

from datetime import UTC, date, datetime
from itertools import islice

import pytest
from dateutil.rrule import rrulestr  # type: ignore[import-untyped] # The other opinion.
from hypothesis import given
from hypothesis import strategies as st
from icalendar import vRecur

from app.core.errors import Invalid
from app.core.time import parse_ics
from app.core.time.recurrence import days_of, parse_recurrence


def ics(*lines: str) -> str:
    """Return a calendar with one event of these lines."""
    body = ["BEGIN:VCALENDAR", "VERSION:2.0", "BEGIN:VEVENT", "SUMMARY:Feast", *lines]
    return "\r\n".join([*body, "END:VEVENT", "END:VCALENDAR"])


@pytest.mark.parametrize(
    ("lines", "days"),
    [
        (["DTSTART;VALUE=DATE:20261225"], ["2026-12-25"]),
        (
            ["DTSTART;VALUE=DATE:20261225", "DTEND;VALUE=DATE:20261227"],
            ["2026-12-25", "2026-12-26"],
        ),
        (["DTSTART;VALUE=DATE:20261225", "DURATION:P2D"], ["2026-12-25", "2026-12-26"]),
        (["DTSTART:20261225T220000Z", "DTEND:20261226T000000Z"], ["2026-12-25"]),
        (["DTSTART:20261225T220000Z", "DTEND:20261226T010000Z"], ["2026-12-25", "2026-12-26"]),
        (
            ["DTSTART;TZID=Europe/Berlin:20261225T003000", "DURATION:PT1H"],
            ["2026-12-25"],
        ),
        (
            ["DTSTART;VALUE=DATE:20261225", "RRULE:FREQ=YEARLY;COUNT=3"],
            ["2026-12-25", "2027-12-25", "2028-12-25"],
        ),
        (
            [
                "DTSTART;VALUE=DATE:20261225",
                "RRULE:FREQ=YEARLY;UNTIL=20281231",
                "EXDATE;VALUE=DATE:20271225",
                "RDATE;VALUE=DATE:20270101",
            ],
            ["2026-12-25", "2027-01-01", "2028-12-25"],
        ),
    ],
)
def test_an_event_names_the_days_it_touches(lines: list[str], days: list[str]) -> None:
    assert parse_ics(ics(*lines)) == days


def test_an_endless_recurrence_ends_with_its_window() -> None:
    text = ics("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=YEARLY")
    assert parse_ics(text, last=date(2029, 6, 1)) == [f"{year}-01-01" for year in range(2026, 2030)]
    assert len(parse_ics(text)) == 21


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYDAY=9MO",
    ],
)
def test_a_rule_that_never_comes_true_ends_at_once(rule: str) -> None:
    assert parse_ics(ics("DTSTART;VALUE=DATE:20260101", f"RRULE:{rule}")) == ["2026-01-01"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not an iCalendar text"),
        ("hello", "not an iCalendar text"),
        ("x" * 1_000_001, "1000000"),
        (ics("SUMMARY:no start"), "no usable dates"),
        (ics("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=SECONDLY"), "SECONDLY"),
        (ics("DTSTART;VALUE=DATE:20260101", "RRULE:FREQ=YEARLY;BYWEEKNO=1"), "BYWEEKNO"),
        (ics("DTSTART;VALUE=DATE:20260101", "DURATION:P999D"), "at most 366"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_ics(text)


weekdays = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
nth_weekdays = st.tuples(st.sampled_from(["1", "2", "-1"]), weekdays).map("".join)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules of whole days that dateutil finishes in reasonable time."""
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 4))}"]
    # dateutil takes MO,1MO for "both" where RFC 5545 says "either": never mixed here.
    plain = frequency in ("DAILY", "WEEKLY") or draw(st.booleans())
    days = weekdays if plain else nth_weekdays
    if draw(st.booleans()):
        parts.append("BYDAY=" + ",".join(draw(st.lists(days, min_size=1, max_size=3))))
    if draw(st.integers(0, 2)) == 0:
        parts.append("BYMONTH=" + ",".join(map(str, draw(st.sets(st.integers(1, 12), min_size=1)))))
    if frequency != "WEEKLY" and draw(st.integers(0, 2)) == 0:
        month_days = st.sets(st.sampled_from([1, 13, 28, -1, -5]), min_size=1)
        parts.append("BYMONTHDAY=" + ",".join(map(str, draw(month_days))))
    if draw(st.integers(0, 2)) == 0:
        parts.append(f"COUNT={draw(st.integers(1, 20))}")
    if frequency == "WEEKLY":
        parts.append(f"WKST={draw(weekdays)}")
    return ";".join(parts)


@given(rules(), st.dates(date(2024, 1, 1), date(2026, 12, 31)))
def test_recurrences_agree_with_dateutil(rule: str, start: date) -> None:
    last = date(start.year + 4, 1, 1)
    began = datetime(start.year, start.month, start.day, tzinfo=UTC)
    theirs = [
        at.date()
        for at in islice(rrulestr(rule, dtstart=began).xafter(began, inc=True), 2_000)
        if at.date() <= last
    ]
    assert list(days_of(parse_recurrence(vRecur.from_ical(rule)), start, last))[:2_000] == theirs
