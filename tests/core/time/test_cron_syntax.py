"""What an expression may say, and how precisely a mistake in it is named."""

from itertools import pairwise

import pytest

from app.core.errors import Invalid
from app.core.time.cron import compile_cron, expand, hash_slot
from app.core.time.cron_fields import MINUTE_FIELD
from app.core.time.cron_syntax import parse_cron
from app.core.vocabulary import DayMatch


@pytest.mark.parametrize(
    ("expression", "column", "found", "allowed"),
    [
        ("60 * * * *", 1, "minute", "0 to 59"),
        ("0 25 * * *", 3, "hour", "0 to 23"),
        ("0 0 0 * *", 5, "day-of-month", "1 to 31"),
        ("0 0 32 * *", 5, "day-of-month", "1 to 31"),
        ("0 0 1 13 *", 7, "month", "1 to 12 or JAN to DEC"),
        ("0 0 * * 8", 9, "day-of-week", "0 to 7 or SUN to SAT"),
        ("60 0 0 * * *", 1, "second", "0 to 59"),
        ("*/0 * * * *", 3, "minute", "a step is at least 1"),
        ("0 8-x * * *", 5, "hour", "0 to 23"),
        ("0 1,2,99 * * *", 7, "hour", "0 to 23"),
        ("0 0 * * MON,FOO", 13, "day-of-week", "SUN to SAT"),
        ("0 0 * * 5#6", 11, "day-of-week", "1 to 5"),
        ("0 0 L-31 * *", 7, "day-of-month", "0 to 30"),
        ("0 0 40W * *", 5, "day-of-month", "1 to 31"),
        ("0 0 * * L", 9, "day-of-week", "L"),
        ("1,,2 * * * *", 3, "minute", "empty"),
        ("? * * * *", 1, "minute", "0 to 59"),
        ("0 0 1,? * *", 7, "day-of-month", "stands alone"),
        ("0 0 * *", 7, "4 fields", "day-of-week"),
        ("* * * * * * *", 13, "7 fields", "no field for the year"),
        ("", 1, "no fields", "minute hour"),
        ("@never", 1, "@never", "@hourly"),
        ("  @reboot", 3, "@reboot", "machine"),
        ("@every 5m", 1, "@every", "interval"),
        ("0 0 * * Ｍ", 9, "Ｍ", "plain letters"),
        ("1 " * 200, 257, "400 characters", "256"),
        ("H(30-70) * * * *", 6, "minute", "0 to 59"),
        ("30-10 * * * *", 1, "minute", "ends before it begins"),
    ],
)
def test_a_mistake_is_named_with_field_value_position_and_what_is_allowed(
    expression: str, column: int, found: str, allowed: str
) -> None:
    with pytest.raises(Invalid) as refused:
        compile_cron(expression, DayMatch.ANY, "")
    error = refused.value
    assert error.column == column
    assert found in error.message
    assert allowed in error.message


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("0 22-2 * * *", "22-23,0-2"),
        ("0 0 * * FRI-MON", "5-7,0-1"),
        ("0 0 * * MONDAY", "MON"),
        ("@dayli", "@daily"),
        ("0 0 * * L", "5L"),
        ("0 0 31 2 *", "L"),
    ],
)
def test_a_mistake_comes_with_a_hint(expression: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        compile_cron(expression, DayMatch.ANY, "")
    assert hint in (refused.value.hint or "")


@pytest.mark.parametrize(
    "expression",
    [
        "0 0 31 2 *",
        "0 0 30 2 *",
        "0 0 31 4,6,9,11 *",
        "0 0 31W 2 *",
        "0 0 L-30 2 *",
        "0 0 L-29 FEB *",
    ],
)
def test_a_day_that_no_month_has_is_refused(expression: str) -> None:
    with pytest.raises(Invalid, match="never fires"):
        compile_cron(expression, DayMatch.ANY, "")


def test_day_fields_that_never_agree_are_refused_only_when_both_must_match() -> None:
    assert compile_cron("0 0 1-7 * MON#2", DayMatch.ANY, "").ever_fires
    with pytest.raises(Invalid, match="never fires"):
        compile_cron("0 0 1-7 * MON#2", DayMatch.ALL, "")


@pytest.mark.parametrize(
    ("nickname", "expression"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@Annually", "0 0 1 1 *"),
    ],
)
def test_a_nickname_stands_for_its_expression(nickname: str, expression: str) -> None:
    assert parse_cron(nickname).normalized == expression


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 0 * jan-mar mon-fri", "0 0 * 1-3 1-5"),
        ("0 0 * * 0", "0 0 * * 7"),
        ("0 0 * * SAT-SUN", "0 0 * * 0,6"),
        ("0 0 * * 5-7", "0 0 * * 5,6,0"),
        ("0 0 ? * MON", "0 0 * * MON"),
        ("  0\t0  *   *  * ", "0 0 * * *"),
        ("05 08 * * *", "5 8 * * *"),
        ("10/20 * * * *", "10-59/20 * * * *"),
        ("0 0 5 3 *", "0 0 0 5 3 *"),
    ],
)
def test_two_spellings_select_the_same(one: str, other: str) -> None:
    assert expand(parse_cron(one), "") == expand(parse_cron(other), "")


@pytest.mark.parametrize(
    ("expression", "both"),
    [
        ("0 0 1 * 1", False),
        ("0 0 * * 1", True),
        ("0 0 1 * *", True),
        ("0 0 */2 * 1", True),
        ("0 0 1 * */2", True),
        ("0 0 ? * 1", True),
        ("0 0 1-31 * 1", False),
        ("0 0 1,* * 1", False),
    ],
)
def test_both_day_fields_must_match_when_one_literally_begins_with_a_star(
    expression: str, both: bool
) -> None:
    assert parse_cron(expression).days_need_both is both


@pytest.mark.parametrize(
    ("expression", "elapsed"),
    [
        ("* * * * *", True),
        ("*/15 9-17 * * *", True),
        ("0 * * * *", True),
        ("0 */2 * * *", True),
        ("0 9 * * *", False),
        ("0-59 0-23 * * *", False),
        ("H 9 * * *", False),
        ("*/10 0 9 * * *", False),
        ("0 */5 9 * * *", True),
        ("@hourly", True),
        ("@daily", False),
    ],
)
def test_elapsed_time_is_followed_when_minute_or_hour_begins_with_a_star(
    expression: str, elapsed: bool
) -> None:
    assert parse_cron(expression).follows_elapsed_time is elapsed


def test_hash_slots_are_stable_spread_and_within_their_bounds() -> None:
    slots = [hash_slot(f"schedule {n}", MINUTE_FIELD, 0, 59) for n in range(6_000)]
    assert slots == [hash_slot(f"schedule {n}", MINUTE_FIELD, 0, 59) for n in range(6_000)]
    counts = [slots.count(minute) for minute in range(60)]
    assert min(counts) > 60
    assert max(counts) < 140
    for number in range(200):
        values = expand(parse_cron("H(10-19) H(1-4) H H H"), str(number))
        assert 10 <= values[1][0] <= 19
        assert 1 <= values[2][0] <= 4
        assert 1 <= values[3][0] <= 28
        (every,) = [expand(parse_cron("H/15 * * * *"), str(number))[1]]
        assert len(every) == 4
        assert {b - a for a, b in pairwise(every)} == {15}
