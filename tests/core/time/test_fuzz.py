"""Whatever text comes in: an answer or a clear refusal, at once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.core.errors import Invalid, InvalidInput
from app.core.time import (
    CronTiming,
    Timetable,
    calendar_from_json,
    describe_timing,
    explain_cron,
    parse_ics,
    parse_timezone,
    timing_from_json,
    validate_timings,
)


def refused(action: Callable[[], object]) -> Invalid | InvalidInput | None:
    """Return the refusal, None if there is none. Anything else is a failure of the test."""
    try:
        action()
    except (Invalid, InvalidInput) as error:
        return error
    return None


NOW = datetime(2026, 1, 1, tzinfo=UTC)
cron_like = st.text(alphabet="0123456789*,-/?LWH#()@ MONJANSU", max_size=256)
WORDS = """
* 0 59 60 */5 */0 1-5 5-1 L LW L-3 15W 31W 5L FRI#5 H H(0-29) H/7 ? MON-FRI , - 0-59/61
31 30 2 FEB 29
"""
words = st.sampled_from(WORDS.split())
shaped = st.lists(words, min_size=4, max_size=7).map(" ".join)


@given(cron_like | shaped | st.text(max_size=256))
@example("0 0 31 2 *")
@example("0 0 30 FEB *")
@example("0 0 31 4,6,9,11 *")
@example("0 0 L-30 2 *")
@example("* " * 128)
@example("," * 256)
@example("9" * 256)
@example("٠ ٠ * * *")
@example("0 0 * * ſun")
@example("\x00 0 * * *")
@example("0 0 * * *")
@example("0\N{NO-BREAK SPACE}0 * * *")
def test_no_text_is_accepted_that_never_fires(text: str) -> None:
    timing = CronTiming(text)
    refusal = refused(lambda: validate_timings([timing], timezone="Europe/Berlin", as_of=NOW))
    if refusal is not None:
        assert isinstance(refusal, InvalidInput)
        (error,) = refusal.errors
        assert isinstance(error, Invalid)
        assert error.path == ("timings", "0", "cron", "expression")
        assert error.column is not None
        assert 1 <= error.column <= max(1, len(text)) + 1
        return
    timetable = Timetable.of([timing], timezone="Europe/Berlin")
    following = timetable.next_after(NOW)
    assert following is not None
    assert following.nominal > NOW
    assert timetable.previous_before(NOW) is not None
    assert describe_timing(timing)
    assert describe_timing(timing, "de")
    explained = explain_cron(text, timezone="Europe/Berlin", as_of=NOW)
    assert explained.shortest_interval <= explained.average_interval + timedelta(seconds=1)


@given(shaped)
def test_the_normalized_text_means_the_same(text: str) -> None:
    try:
        normalized = explain_cron(text, timezone="UTC", as_of=NOW).normalized
    except Invalid:
        return
    one, other = (Timetable.of([CronTiming(t)], timezone="UTC") for t in (text, normalized))
    assert one.between(NOW, NOW + timedelta(days=400), 20) == other.between(
        NOW, NOW + timedelta(days=400), 20
    )


@given(st.text(max_size=100))
def test_any_zone_name_is_a_zone_or_refused(name: str) -> None:
    refusal = refused(lambda: parse_timezone(name))
    if refusal is None:
        assert parse_timezone(name).key == name
    else:
        assert refusal.path == ("timezone",)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3)
    ),
    max_leaves=8,
)
kinds = st.sampled_from(["cron", "interval", "calendarInterval", "once"])
keys = st.sampled_from(
    ["expression", "dayMatch", "timeMode", "everySeconds", "every", "unit", "anchor", "at", "local"]
)


@given(json | st.dictionaries(kinds, st.dictionaries(keys, json, max_size=3) | json, max_size=2))
def test_any_stored_timing_is_read_or_refused(stored: object) -> None:
    refusal = refused(lambda: timing_from_json(stored))  # type: ignore[arg-type] # That is the point.
    assert refusal is None or refusal.message


@given(st.lists(st.text(max_size=30), max_size=5), st.dictionaries(st.text(max_size=10), json))
def test_any_calendar_is_read_or_refused(dates: list[str], rules: dict[str, object]) -> None:
    refusal = refused(lambda: calendar_from_json("key", "Name", dates, rules))
    assert refusal is None or (isinstance(refusal, InvalidInput) and refusal.errors)


ICS_LINES = st.sampled_from(
    [
        "BEGIN:VCALENDAR",
        "END:VCALENDAR",
        "BEGIN:VEVENT",
        "END:VEVENT",
        "DTSTART;VALUE=DATE:20260101",
        "DTSTART:20260101T100000Z",
        "DTEND;VALUE=DATE:20991231",
        "DURATION:P99999D",
        "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "RRULE:FREQ=SECONDLY",
        "RRULE:FREQ=YEARLY;BYDAY=-1MO;COUNT=99999999999",
        "RRULE:INTERVAL=0;FREQ=WEEKLY",
        "EXDATE:20260101",
        "SUMMARY:x",
        "nonsense",
    ]
)


@given(st.lists(ICS_LINES, max_size=12).map("\r\n".join) | st.text(max_size=200))
def test_any_calendar_text_is_read_or_refused(text: str) -> None:
    refusal = refused(lambda: parse_ics(text))
    assert refusal is None or refusal.message


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "expression",
    ["* * * * * *", "0 0 29 2 MON", "0 0 29 2 */7", "0 0 31 * FRI#5", "59 59 23 31 12 *"],
)
def test_the_most_laborious_expressions_are_bounded(expression: str) -> None:
    timetable = Timetable.of([CronTiming(expression)], timezone="America/New_York")
    for year in range(1950, 2300, 7):
        assert timetable.next_after(datetime(year, 1, 1, tzinfo=UTC)) is not None
