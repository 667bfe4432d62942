"""Whether two timings mean the same, however they are written."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.core.errors import Invalid
from app.core.time import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timetable,
    frequency_timing,
    meaning_of,
)
from app.core.time.cron import expand
from app.core.time.cron_syntax import MAX_EXPRESSION, Span, parse_cron
from app.core.vocabulary import CalendarUnit, DayMatch, Frequency, TimeMode
from tests.core.time.oracle import Expected, expressions

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "spellings",
    [
        ["0 9 * * 1", "0 9 * * MON", "0 9 * * mon", "00 09 * * 1-1", "0 9 ? * 1", "0 0 9 * * 1"],
        ["0 9 * * 0", "0 9 * * 7", "0 9 * * SUN", "0 9 * * 7-7", "0 9 * * 0,7"],
        [
            "0 9 * * *",
            "0 9 */1 * *",
            "0 9 1-31 * *",
            "0 9 ? JAN-DEC ?",
            "0 9 * * 0-6",
            "0 9 * * 1-7",
        ],
        ["*/1 * * * *", "* * * * *", "* */1 * * *"],
        ["0 0 * * *", "@daily", "@midnight", " @DAILY "],
        ["0 0 * * 0", "@weekly"],
        ["0 0 1 1 *", "@yearly", "@annually", "0 0 1 JAN *"],
        ["0,15,30,45 9 * * *", "45,30,15,0 9 * * *", "0-59/15 9 * * *", "0/15 9 * * *"],
        ["0 9 28 2 *", "0 9 28 FEB *"],
        ["0 9 * * MON#1", "0 9 * * 1#1"],
        ["0 9 * * FRIL", "0 9 * * 5L", "0 9 * * L5"],
        ["0 9 L * *", "0 9 L-0 * *"],
        ["0 9 15 4 *", "0 9 15 APR *"],
        ["H 9 * * 1", "H 9 * * MON", "H 09 ? * 1-1", "H(0-59) 9 * * 1"],
    ],
)
def test_spellings_of_one_thing_mean_the_same(spellings: list[str]) -> None:
    assert len({meaning_of(CronTiming(text)) for text in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 9 * * 1", "0 9 * * 2"),
        ("0 9 1 * 1", "0 9 1 * *"),
        ("0 9 L * *", "0 9 31 * *"),
        ("H 9 * * *", "0 9 * * *"),
        ("H 9 * * *", "H(0-29) 9 * * *"),
        ("H 9 * * *", "H H * * *"),
        # They differ in the hour that comes twice: one counts elapsed time.
        ("0 * * * *", "0 0-23 * * *"),
        ("0 0 9 * * *", "30 0 9 * * *"),
    ],
)
def test_what_is_due_at_other_instants_means_something_else(one: str, other: str) -> None:
    assert meaning_of(CronTiming(one)) != meaning_of(CronTiming(other))


def test_the_rule_for_days_counts_only_where_it_makes_a_difference() -> None:
    def meaning(text: str, day_match: DayMatch) -> object:
        return meaning_of(CronTiming(text, day_match))

    assert meaning("0 9 * * 1", DayMatch.ALL) == meaning("0 9 * * 1", DayMatch.ANY)
    assert meaning("0 9 13 * 5", DayMatch.ALL) != meaning("0 9 13 * 5", DayMatch.ANY)


def test_a_time_mode_that_says_what_the_expression_says_changes_nothing() -> None:
    def meaning(text: str, mode: TimeMode) -> object:
        return meaning_of(CronTiming(text, time_mode=mode))

    assert meaning("0 9 * * *", TimeMode.AUTO) == meaning("0 9 * * *", TimeMode.WALL_CLOCK)
    assert meaning("0 9 * * *", TimeMode.AUTO) != meaning("0 9 * * *", TimeMode.ELAPSED)


@pytest.mark.parametrize(
    ("frequency", "text"),
    [
        (Frequency.HOURLY, "0 * * * *"),
        (Frequency.DAILY, "@daily"),
        (Frequency.WEEKLY, "0 0 * * MON"),
        (Frequency.MONTHLY, "@monthly"),
    ],
)
def test_a_frequency_means_its_expression(frequency: Frequency, text: str) -> None:
    assert meaning_of(frequency_timing(frequency)) == meaning_of(CronTiming(text))


def test_an_interval_means_its_length_and_phase() -> None:
    every = timedelta(minutes=5)
    first = meaning_of(IntervalTiming(every, NOON))
    assert first == meaning_of(IntervalTiming(every, NOON + 100 * every))
    assert first != meaning_of(IntervalTiming(every, NOON + timedelta(minutes=1)))
    assert first != meaning_of(IntervalTiming(2 * every, NOON))


def test_once_means_its_instant() -> None:
    aware = OnceTiming(at=NOON)
    assert meaning_of(aware) == meaning_of(
        OnceTiming(at=datetime.fromisoformat("2026-11-24T13:00+01:00"))
    )
    assert meaning_of(aware) != meaning_of(OnceTiming(local=NOON.replace(tzinfo=None)))


@pytest.mark.parametrize(
    ("every", "unit", "text"),
    [
        (1, CalendarUnit.DAY, "0 12 * * *"),
        (7, CalendarUnit.DAY, "0 12 * * TUE"),
        (1, CalendarUnit.WEEK, "0 12 * * TUE"),
        (1, CalendarUnit.MONTH, "0 12 24 * *"),
        (3, CalendarUnit.MONTH, "0 12 24 2,5,8,11 *"),
        (1, CalendarUnit.YEAR, "0 12 24 11 *"),
        (12, CalendarUnit.MONTH, "0 12 24 11 *"),
    ],
)
def test_a_calendar_interval_means_the_expression_that_says_the_same(
    every: int, unit: CalendarUnit, text: str
) -> None:
    # 24 November 2026 is a Tuesday.
    interval = CalendarIntervalTiming(every, unit, NOON.replace(tzinfo=None))
    assert meaning_of(interval) == meaning_of(CronTiming(text))


def test_a_calendar_interval_without_such_an_expression_means_its_length_and_phase() -> None:
    def meaning(every: int, unit: CalendarUnit, anchor: str) -> object:
        return meaning_of(CalendarIntervalTiming(every, unit, datetime.fromisoformat(anchor)))

    fortnight = meaning(2, CalendarUnit.WEEK, "2026-11-24T12:00")
    assert fortnight == meaning(14, CalendarUnit.DAY, "2026-12-08T12:00")
    assert fortnight != meaning(2, CalendarUnit.WEEK, "2026-12-01T12:00")
    leap = meaning(4, CalendarUnit.YEAR, "2024-02-29T12:00")
    assert leap == meaning(48, CalendarUnit.MONTH, "2028-02-29T12:00")
    assert leap != meaning(48, CalendarUnit.MONTH, "2028-02-28T12:00")
    assert meaning(1, CalendarUnit.MONTH, "2026-01-31T12:00") == meaning_of(
        CronTiming("0 12 L * *")
    )


def respelt(text: str) -> str:
    """The expression with every plain field as the list of its values, the last one first."""
    syntax = parse_cron(text)
    columns = zip(syntax.fields[1:], expand(syntax, "")[1:], strict=True)
    return " ".join(
        ",".join(map(str, reversed(values)))
        if not part.starts_with_star and all(isinstance(item, Span) for item in part.items)
        else part.source.lower()
        for part, values in columns
    )


def ever_fires(timing: CronTiming) -> bool:
    """Whether it is a valid timing: random ones may ask for a 31 February."""
    try:
        return meaning_of(timing) is not None
    except Invalid:
        return False


@given(expressions(every_day=False), st.sampled_from(DayMatch))
def test_an_expression_spelt_out_means_the_same_and_is_due_at_the_same_instants(
    expected: Expected, day_match: DayMatch
) -> None:
    spelt_out = respelt(expected.text)
    assume(len(spelt_out) <= MAX_EXPRESSION)
    one, other = CronTiming(expected.text, day_match), CronTiming(spelt_out, day_match)
    if not ever_fires(one):
        return
    assert meaning_of(one) == meaning_of(other)
    start = datetime(2025, 10, 20, tzinfo=UTC)
    found, again = (
        Timetable.of([timing], timezone="Europe/Berlin").between(
            start, start + timedelta(days=28 * 366), 300
        )
        for timing in (one, other)
    )
    assert found == again
