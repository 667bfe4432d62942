"""The durations people may write, and the ones they may not."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.durations import format_duration, parse_duration
from app.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("PT15M", timedelta(minutes=15)),
        ("PT1H", timedelta(hours=1)),
        ("P1D", timedelta(hours=24)),
        ("P2W", timedelta(days=14)),
        ("P1DT2H3M4S", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("PT0.25S", timedelta(milliseconds=250)),
        ("PT1,5S", timedelta(milliseconds=1500)),
        ("PT0.000001S", timedelta(microseconds=1)),
        ("PT90M", timedelta(minutes=90)),
        ("PT0S", timedelta(0)),
        ("P999999999D", timedelta(days=999_999_999)),
    ],
)
def test_duration_is_read(text: str, length: timedelta) -> None:
    assert parse_duration(text) == length


_NOT_DURATIONS = """
    P PT P1 15M PT1.5H P1W2D -PT1S PT-1S PT1H1H P1DT PT1M1H PT0.1234567S PT1234567890S P1S PT1D PT١S
"""


@pytest.mark.parametrize("text", [*_NOT_DURATIONS.split(), "", "PT1S ", "P T1S", "\x00", "P9" * 99])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["P1Y", "P1M", "P1Y2M3D", "P2YT1H"])
def test_years_and_months_are_refused_with_the_reason(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_duration(text)
    assert "differ in length" in (refused.value.hint or "")


def test_lower_case_is_refused_with_the_right_spelling() -> None:
    with pytest.raises(Invalid) as refused:
        parse_duration(" pt15m")
    assert refused.value.hint == "Write it in capitals and without spaces: PT15M."


def test_longer_than_any_duration_is_refused() -> None:
    with pytest.raises(Invalid, match="longer than any"):
        parse_duration("P999999999W")


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(0), "PT0S"),
        (timedelta(minutes=90), "PT1H30M"),
        (timedelta(weeks=1), "P7D"),
        (timedelta(days=1, seconds=1), "P1DT1S"),
        (timedelta(milliseconds=1500), "PT1.5S"),
        (timedelta(microseconds=10), "PT0.00001S"),
    ],
)
def test_duration_is_written_in_one_way(length: timedelta, text: str) -> None:
    assert format_duration(length) == text


@given(st.timedeltas(min_value=timedelta(0)))
def test_what_is_written_reads_back(length: timedelta) -> None:
    assert parse_duration(format_duration(length)) == length


@given(st.text(alphabet="PTWDHMSY0123456789.,- ", max_size=30))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        length = parse_duration(text)
    except Invalid:
        return
    assert parse_duration(format_duration(length)) == length
