"""Timings that make no sense are refused, all at once, each where it stands."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.errors import Invalid, InvalidInput
from app.core.time import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
    validate_timings,
    validate_window,
)
from app.core.vocabulary import CalendarUnit, DstGapPolicy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def local(text: str) -> datetime:
    """Return a naive local time."""
    return datetime.fromisoformat(text)


def problems(
    *timings: Timing,
    timezone: str = "Europe/Berlin",
    gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END,
    may_be_past: tuple[int, ...] = (),
) -> dict[tuple[str, ...], str]:
    """Return what is refused, by path."""
    try:
        validate_timings(
            timings, timezone=timezone, dst_gap=gap, as_of=NOW, may_be_past=may_be_past
        )
    except InvalidInput as refused:
        return {error.path: error.message for error in refused.errors}
    return {}


def test_good_timings_pass() -> None:
    assert not problems(
        CronTiming("0 9 * * MON-FRI"),
        CronTiming("H H * * *"),
        IntervalTiming(SECOND, NOW),
        CalendarIntervalTiming(1, CalendarUnit.MONTH, local("2025-01-31T09:00")),
        OnceTiming(at=NOW + SECOND),
        OnceTiming(local=local("2026-03-29T02:30")),
    )


@pytest.mark.parametrize(
    ("timing", "path", "message"),
    [
        (CronTiming("0 0 31 2 *"), ("cron", "expression"), "never fires"),
        (CronTiming("0 25 * * *"), ("cron", "expression"), "0 to 23"),
        (CronTiming("*/0 * * * *"), ("cron", "expression"), "at least 1"),
        (IntervalTiming(SECOND / 2, NOW), ("interval", "every"), "at least 1 second"),
        (IntervalTiming(timedelta.max, NOW), ("interval", "every"), "50 years"),
        (IntervalTiming(SECOND, local("2025-01-01")), ("interval", "anchor"), "offset"),
        (
            CalendarIntervalTiming(0, CalendarUnit.DAY, local("2025-01-01")),
            ("calendarInterval", "every"),
            "1 to",
        ),
        (
            CalendarIntervalTiming(51, CalendarUnit.YEAR, local("2025-01-01")),
            ("calendarInterval", "every"),
            "50 years",
        ),
        (
            CalendarIntervalTiming(1, CalendarUnit.DAY, NOW),
            ("calendarInterval", "anchor"),
            "no offset",
        ),
        (
            CalendarIntervalTiming(1, CalendarUnit.DAY, local("2025-01-01T00:00:00.5")),
            ("calendarInterval", "anchor"),
            "whole seconds",
        ),
        (OnceTiming(), ("once",), "exactly one"),
        (OnceTiming(NOW + SECOND, local("2027-01-01")), ("once",), "exactly one"),
        (OnceTiming(at=local("2027-01-01")), ("once", "at"), "offset"),
        (OnceTiming(local=NOW + SECOND), ("once", "local"), "no offset"),
        (OnceTiming(at=NOW), ("once", "at"), "in the past"),
        (OnceTiming(local=local("2026-01-01T00:30")), ("once", "local"), "in the past"),
        (OnceTiming(local=local("2090-01-01")), ("once", "local"), "50 years"),
        (OnceTiming(local=local("0001-01-01")), ("once", "local"), "out of range"),
    ],
)
def test_a_timing_that_makes_no_sense_is_refused(
    timing: Timing, path: tuple[str, ...], message: str
) -> None:
    ((found, text),) = problems(timing).items()
    assert found == ("timings", "0", *path)
    assert message in text


def test_everything_wrong_is_named_in_one_pass() -> None:
    found = problems(
        CronTiming("61 * * * *"),
        CronTiming("0 9 * * *"),
        IntervalTiming(timedelta(0), NOW),
        timezone="Europe/Berln",
    )
    assert set(found) == {
        ("timezone",),
        ("timings", "0", "cron", "expression"),
        ("timings", "2", "interval", "every"),
    }


def test_there_are_one_to_sixteen_timings() -> None:
    assert ("timings",) in problems()
    assert not problems(*[CronTiming(f"{n} 9 * * *") for n in range(16)])
    assert "at most 16" in problems(*[CronTiming("0 9 * * *")] * 17)[("timings",)]


def test_once_may_lie_in_the_past_where_the_caller_says_so() -> None:
    past = OnceTiming(at=NOW - SECOND)
    assert problems(past)
    assert not problems(past, may_be_past=(0,))
    assert ("timings", "1", "once", "at") in problems(past, past, may_be_past=(0,))


def test_once_in_a_gap_that_is_skipped_would_never_run() -> None:
    # Berlin, 29 March 2026: 02:30 does not exist.
    missing = OnceTiming(local=local("2026-03-29T02:30"))
    assert not problems(missing)
    assert "does not exist" in next(iter(problems(missing, gap=DstGapPolicy.SKIP).values()))


def test_a_window_ends_after_it_begins() -> None:
    validate_window(NOW, NOW)
    validate_window(None, NOW)
    with pytest.raises(Invalid) as refused:
        validate_window(NOW, NOW - SECOND)
    assert refused.value.path == ("endAt",)
