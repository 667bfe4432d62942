"""Options that contradict one another: each rule breaks at its field, and nothing legal does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.core.contradictions import RULES, Options, contradictions
from app.core.time import CronTiming, OnceTiming
from app.core.vocabulary import CatchUpPolicy, OverlapPolicy

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
HOURLY = Options(timings=(CronTiming("0 * * * *"),))
ONCE = Options(timings=(OnceTiming(at=NOON),))
TWICE = Options(timings=(OnceTiming(at=NOON), OnceTiming(at=NOON + HOUR)))
ALL = replace(HOURLY, catch_up=CatchUpPolicy.ALL)
QUEUE_ALL = replace(HOURLY, overlap=OverlapPolicy.QUEUE_ALL)

BROKEN = [
    (replace(HOURLY, start_at=NOON, end_at=NOON), "endAt", "later than startAt"),
    (replace(HOURLY, end_at=NOON, as_of=NOON), "endAt", "in the past"),
    (replace(ONCE, jitter=SECOND), "jitter", "comes once"),
    (replace(TWICE, jitter=SECOND), "jitter", "comes once"),
    (replace(ONCE, spacing=SECOND), "spacing", "single instant"),
    (
        replace(HOURLY, start_at=NOON, end_at=NOON + HOUR, spacing=HOUR),
        "spacing",
        "only the first run",
    ),
    (replace(ALL, spacing=MINUTE), "spacing", "closer together"),
    (replace(ALL, spacing=MINUTE, catch_up_rate_per_minute=2), "spacing", "closer together"),
    (replace(HOURLY, overlap_limit=5), "overlapLimit", "QUEUE_ALL"),
    (replace(ALL, catch_up_window=timedelta(0)), "catchUpWindow", "window of zero"),
    (replace(HOURLY, catch_up_rate_per_minute=5), "catchUpRatePerMinute", "catchUp ALL"),
    (replace(HOURLY, probe_after=HOUR), "probeAfter", "pauseAfterFailures"),
]

LEGAL = [
    Options(),
    HOURLY,
    ONCE,
    replace(HOURLY, start_at=NOON, end_at=NOON + SECOND),
    # The window is not being changed: the schedule may still be edited when it is over.
    replace(HOURLY, end_at=NOON, as_of=None),
    replace(HOURLY, jitter=MINUTE, spacing=10 * HOUR),
    replace(TWICE, spacing=HOUR),
    replace(
        HOURLY, timings=(OnceTiming(at=NOON), CronTiming("0 * * * *")), jitter=SECOND, spacing=HOUR
    ),
    replace(HOURLY, start_at=NOON, end_at=NOON + HOUR, spacing=HOUR - SECOND),
    replace(ALL, spacing=MINUTE, catch_up_rate_per_minute=1),
    replace(HOURLY, catch_up=CatchUpPolicy.LATEST, catch_up_window=timedelta(0)),
    replace(QUEUE_ALL, overlap_limit=5),
    replace(HOURLY, pause_after_failures=1, probe_after=HOUR),
]


@pytest.mark.parametrize(("options", "field", "words"), BROKEN)
def test_a_contradiction_is_told_at_its_field(options: Options, field: str, words: str) -> None:
    [error] = contradictions(options)
    assert error.path == (field,)
    assert words in error.message


@pytest.mark.parametrize("options", LEGAL)
def test_what_makes_sense_together_is_legal(options: Options) -> None:
    assert list(contradictions(options)) == []


def test_every_rule_is_broken_by_some_example() -> None:
    told = {error.message for options, _, _ in BROKEN for error in contradictions(options)}
    assert told == {rule.message for rule in RULES}


def test_every_contradiction_is_told_at_once() -> None:
    options = replace(HOURLY, overlap_limit=5, catch_up_rate_per_minute=5, probe_after=HOUR)
    assert [error.path for error in contradictions(options)] == [
        ("overlapLimit",),
        ("catchUpRatePerMinute",),
        ("probeAfter",),
    ]
