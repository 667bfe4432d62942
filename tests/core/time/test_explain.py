"""What timings are said to mean, and what is warned about."""

import calendar
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given

from app.core.errors import Invalid
from app.core.time import (
    CRON_PRESETS,
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    LintContext,
    OnceTiming,
    Timetable,
    describe_timing,
    explain_cron,
    lint_duration,
    lint_timing,
    locales,
    validate_timings,
)
from app.core.vocabulary import (
    CalendarUnit,
    DayMatch,
    DstFoldPolicy,
    DstGapPolicy,
    LintCode,
    TimeMode,
)
from tests.core.time.oracle import Expected, expressions

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("30 2 * * *", "At 02:30, every day"),
        ("* * * * *", "Every minute"),
        ("0 * * * *", "Every hour"),
        ("*/15 9-17 * * 1-5", "Every 15 minutes, from 09:00 to 17:45, on Monday to Friday"),
        ("0 9-17 * * *", "On the hour, from 09:00 to 17:00"),
        ("0 */2 * * *", "On the hour, in every second hour"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("10 0 3 * * *", "At 03:00:10, every day"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 LW * *", "At 00:00, on the last weekday (Monday to Friday) of the month"),
        ("0 0 L-3 * *", "At 00:00, on the day 3 days before the last of the month"),
        ("0 0 * * 5L", "At 00:00, on the last Friday of the month"),
        (
            "0 0 * * 1#1,3#3",
            "At 00:00, on the first Monday of the month and the third Wednesday of the month",
        ),
        ("0 9 * JAN-MAR,DEC *", "At 09:00, every day, in January to March and December"),
        (
            "0 0 1 * MON",
            "At 00:00, on day 1 of the month, and also on Monday "
            "(a day that matches either is due)",
        ),
        (
            "0 0 */2 * MON",
            "At 00:00, on every second day from day 1 of the month if that is also Monday",
        ),
        ("0 22 * * SAT,SUN", "At 22:00, on Saturday and Sunday"),
        ("59/15 * * * *", "At minute 59 of every hour"),
        ("@yearly", "At 00:00, on day 1 of the month, in January"),
    ],
)
def test_an_expression_in_words(expression: str, words: str) -> None:
    assert describe_timing(CronTiming(expression)) == words


def test_other_languages_are_spoken_where_they_are_right_and_english_elsewhere() -> None:
    assert describe_timing(CronTiming("30 2 * * *"), "de") == "Um 02:30"
    assert describe_timing(CronTiming("*/5 * * * *"), "fr-FR") == "Toutes les 5 minutes"
    assert describe_timing(CronTiming("0 0 L-3 * *"), "de").startswith("At 00:00")
    assert describe_timing(CronTiming("30 2 * * *"), "tlh") == "At 02:30, every day"
    assert len(locales()) > 30


@pytest.mark.parametrize(
    ("expression", "locale", "words"),
    [
        ("0 9 * * MON-FRI", "de", "Um 09:00, Montag bis Freitag"),
        ("0 9 * * 1-5", "fr", "À 09:00, de lundi à vendredi"),
        ("0 9 * * MON,WED", "de", "Um 09:00, nur am Montag und Mittwoch"),
        ("0 9 * * SUN", "es", "A las 09:00, sólo el domingo"),
        ("0 9 * * 7", "es", "A las 09:00, sólo el domingo"),
        ("0 9 1 JAN *", "de", "Um 09:00, am 1 Tag des Monats, nur im Januar"),
        ("0 9 1 */6 *", "nl", "Om 09:00, op dag 1 van de maand, alleen in januari en juli"),
        ("0 9 * DEC FRIL", "de", "Um 09:00, am letzten Freitag des Monats, nur im Dezember"),
        ("0 9 * * TUE#2", "it", "Alle 09:00, il secondo martedì del mese"),
        ("0 9 * * SAT-SUN", "ja", None),
        ("0 9 ? 1-12 1-7", "de", "Um 09:00"),
    ],
)
def test_days_and_months_have_their_names_in_every_language(
    expression: str, locale: str, words: str | None
) -> None:
    described = describe_timing(CronTiming(expression), locale)
    if words is not None:
        assert described == words
    assert not ENGLISH & set(described.split())


ENGLISH = {*calendar.day_name, *calendar.month_name[1:]}


@pytest.mark.parametrize("locale", [code for code in locales() if not code.startswith("en")])
def test_a_language_never_mixes_with_english(locale: str) -> None:
    """Whatever is said in another language names no English day; else all of it is English."""
    for expression in ("0 9 * * MON-FRI", "30 2 * 2,3 6#1", "5 0-5 * MAY *", "* * * * *"):
        described = describe_timing(CronTiming(expression), locale)
        english = describe_timing(CronTiming(expression))
        assert described
        assert described == english or not ENGLISH & set(described.replace(",", " ").split())
        if locale not in INCOMPLETE:
            assert described != english


# cron-descriptor's Thai has no word for some of its sentences.
INCOMPLETE = ("th_TH",)


@pytest.mark.parametrize("locale", ["", "xx", "../../etc", "de_AT", "EN-us", "zh"])
def test_any_locale_gives_words(locale: str) -> None:
    assert describe_timing(CronTiming("30 2 * * *"), locale)


def test_other_timings_in_words() -> None:
    assert describe_timing(IntervalTiming(90 * MINUTE, NOW)) == (
        "Every 1 hour 30 minutes of elapsed time, counted from 2026-01-01 00:00:00 (UTC)"
    )
    anchor = datetime.fromisoformat("2026-01-05T09:30")
    assert describe_timing(CalendarIntervalTiming(2, CalendarUnit.WEEK, anchor)) == (
        "Every 2 weeks on Monday, at 09:30 local time, counted from 2026-01-05"
    )
    assert describe_timing(OnceTiming(at=NOW)) == "Once, at 2026-01-01 00:00:00 (UTC)"


def test_fields_are_expanded_one_by_one() -> None:
    explained = explain_cron("*/20 9-11 L * mon-wed", timezone="UTC", as_of=NOW)
    shown = {field.name: (field.source, field.values) for field in explained.fields}
    assert shown == {
        "minute": ("*/20", (0, 20, 40)),
        "hour": ("9-11", (9, 10, 11)),
        "day-of-month": ("L", ()),
        "month": ("*", tuple(range(1, 13))),
        "day-of-week": ("MON-WED", (1, 2, 3)),
    }
    assert explained.normalized == "*/20 9-11 L * MON-WED"
    assert explained.time_mode is TimeMode.ELAPSED
    assert all(field.description for field in explained.fields)


@pytest.mark.parametrize(
    ("expression", "shortest", "average"),
    [
        ("* * * * *", MINUTE, MINUTE),
        ("*/5 * * * * *", timedelta(seconds=5), timedelta(seconds=5)),
        ("0 9 * * *", DAY, DAY),
        ("0 9,17 * * *", 8 * HOUR, 12 * HOUR),
        ("0 9 * * MON", 7 * DAY, 7 * DAY),
        ("0 0 1,31 * *", DAY, None),
        ("*/7 * * * *", 4 * MINUTE, None),
        ("0 0 29 2 *", 1461 * DAY, 1461 * DAY),
        ("59 23 * * *", DAY, DAY),
        ("0,59 0,23 * * *", MINUTE, None),
    ],
)
def test_how_often_it_comes_up(
    expression: str, shortest: timedelta, average: timedelta | None
) -> None:
    explained = explain_cron(expression, timezone="UTC", as_of=NOW)
    assert explained.shortest_interval == shortest
    assert average is None or explained.average_interval == average


@given(expressions())
def test_no_two_occurrences_are_closer_than_the_shortest_interval(expected: Expected) -> None:
    try:
        explained = explain_cron(expected.text, timezone="UTC", as_of=NOW)
    except Invalid:
        assume(False)
        return
    timetable = Timetable.of([CronTiming(expected.text)], timezone="UTC")
    found = timetable.between(NOW, NOW + 800 * DAY, 300)
    distances = [b.nominal - a.nominal for a, b in itertools.pairwise(found)]
    assert min(distances, default=explained.shortest_interval) >= explained.shortest_interval


def codes(expression: str, zone: str = "UTC", **options: object) -> set[LintCode]:
    """Return the codes of the warnings about an expression."""
    explained = explain_cron(expression, timezone=zone, as_of=NOW, **options)  # type: ignore[arg-type]
    return {lint.code for lint in explained.lints}


def message(expression: str, code: LintCode, zone: str = "UTC", **options: object) -> str:
    """Return the one warning of this code."""
    explained = explain_cron(expression, timezone=zone, as_of=NOW, **options)  # type: ignore[arg-type]
    (found,) = [lint.message for lint in explained.lints if lint.code is code]
    return found


def test_the_rule_between_the_day_fields_is_said_in_words() -> None:
    either = message("7 3 1 * MON", LintCode.DAY_MATCH_ANY)
    assert "a day that matches either is due" in either
    assert "dayMatch to ALL" in either
    assert "must match both" in message("7 3 */2 * MON", LintCode.DAY_MATCH_ANY)
    assert not codes("7 3 1 * *") & {LintCode.DAY_MATCH_ANY}
    assert not codes("7 3 1 * MON", day_match=DayMatch.ALL) & {LintCode.DAY_MATCH_ANY}


def test_changes_of_the_clocks_ahead_are_named_with_their_effect() -> None:
    gap = message("30 2 * * *", LintCode.DST_GAP, "Europe/Berlin")
    assert gap == (
        "On 2026-03-29 the local time 02:30 does not exist in Europe/Berlin, because the clocks "
        "go from 02:00 to 03:00: it runs once, at 03:00."
    )
    shift = message("30 2 * * *", LintCode.DST_GAP, "Europe/Berlin", dst_gap=DstGapPolicy.SHIFT)
    assert shift.endswith("it runs at 03:30.")
    fold = message("30 2 * * *", LintCode.DST_FOLD, "Europe/Berlin", dst_fold=DstFoldPolicy.LAST)
    assert "2026-10-25" in fold
    assert fold.endswith("it runs the second time only.")
    assert not codes("30 12 * * *", "Europe/Berlin")
    assert not codes("*/15 * * * *", "Europe/Berlin")
    assert not codes("30 2 * * *", "Asia/Kolkata")


@pytest.mark.parametrize(
    ("expression", "code", "words"),
    [
        ("*/10 * * * * *", LintCode.VERY_FREQUENT, "10 seconds"),
        ("7 3 31 * *", LintCode.SHORT_MONTH, "February, April, June, September, November"),
        ("7 3 29 2 *", LintCode.SHORT_MONTH, "leap years"),
        ("7 3 30 * *", LintCode.SHORT_MONTH, "February"),
        ("*/7 * * * *", LintCode.UNEVEN_STEP, "last distance is 4 minutes instead of 7"),
        ("7 */5 * * *", LintCode.UNEVEN_STEP, "last distance is 4 hours instead of 5"),
        ("7 3 */2 * *", LintCode.UNEVEN_STEP, "end of a month"),
        ("0 9 * * *", LintCode.HERD_MINUTE, "'H 9 * * *'"),
        ("0 0 9 * * *", LintCode.HERD_MINUTE, "'0 H 9 * * *'"),
    ],
)
def test_a_surprise_is_warned_about(expression: str, code: LintCode, words: str) -> None:
    assert words in message(expression, code)


@pytest.mark.parametrize("expression", ["7 3 * * *", "*/15 * * * *", "7 */6 * * *", "7 3 L * *"])
def test_what_holds_no_surprise_is_not_warned_about(expression: str) -> None:
    assert not codes(expression)


def test_other_timings_are_warned_about_too() -> None:
    context = LintContext("Europe/Berlin", NOW)
    (frequent,) = lint_timing(IntervalTiming(timedelta(seconds=5), NOW), context)
    assert frequent.code is LintCode.VERY_FREQUENT
    monthly = CalendarIntervalTiming(
        1, CalendarUnit.MONTH, datetime.fromisoformat("2026-01-31T09:00")
    )
    assert [lint.code for lint in lint_timing(monthly, context)] == [LintCode.SHORT_MONTH]


def test_runs_that_take_longer_than_the_interval_are_warned_about() -> None:
    assert lint_duration(4 * MINUTE, 5 * MINUTE) is None
    lint = lint_duration(6 * MINUTE, 5 * MINUTE)
    assert lint is not None
    assert lint.code is LintCode.LONGER_THAN_INTERVAL


def test_every_preset_is_valid() -> None:
    validate_timings([CronTiming(CRON_PRESETS[0].expression)], timezone="UTC")
    for preset in CRON_PRESETS:
        explained = explain_cron(preset.expression, timezone="Europe/Berlin", as_of=NOW)
        assert explained.summary
