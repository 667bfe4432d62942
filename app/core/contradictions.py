"""Options of a schedule that contradict one another: one table, judged whenever it is saved.

Each option is legal by itself; together they would make one of them do nothing, or keep the
schedule from ever doing what it was asked to. Refused with the reason, at the field to change.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.core.errors import Invalid
from app.core.time import OnceTiming, Timing
from app.core.vocabulary import CatchUpPolicy, OverlapPolicy

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Options:
    """What of a schedule can be in contradiction. A duration of None is an option not used."""

    timings: tuple[Timing, ...] = ()
    start_at: datetime | None = None
    end_at: datetime | None = None
    # The present, if `end_at` is being set; a schedule whose window has ended may still be edited.
    as_of: datetime | None = None
    jitter: timedelta = timedelta(0)
    spacing: timedelta | None = None
    overlap: OverlapPolicy = OverlapPolicy.SKIP
    overlap_limit: int | None = None
    catch_up: CatchUpPolicy = CatchUpPolicy.LATEST
    catch_up_window: timedelta = timedelta(minutes=15)
    catch_up_rate_per_minute: int | None = None
    pause_after_failures: int | None = None
    probe_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What may not be, why, and the field an editor should look at."""

    field: str
    message: str
    is_broken: Callable[[Options], bool]


def contradictions(options: Options) -> Iterator[Invalid]:
    """Yield every rule that the options break."""
    for rule in RULES:
        if rule.is_broken(options):
            yield Invalid(rule.message, path=(rule.field,))


def _window(options: Options) -> timedelta | None:
    if options.start_at is None or options.end_at is None:
        return None
    return options.end_at - options.start_at


def _window_is_empty(options: Options) -> bool:
    window = _window(options)
    return window is not None and window <= timedelta(0)


def _window_is_over(options: Options) -> bool:
    return None not in (options.end_at, options.as_of) and options.end_at <= options.as_of  # type: ignore[operator] # neither is None


def _is_once(options: Options) -> bool:
    return bool(options.timings) and all(
        isinstance(timing, OnceTiming) for timing in options.timings
    )


def _nothing_to_space(options: Options) -> bool:
    return options.spacing is not None and _is_once(options) and len(options.timings) == 1


def _spacing_fills_window(options: Options) -> bool:
    window = _window(options)
    return (
        options.spacing is not None
        and window is not None
        and timedelta(0) < window <= options.spacing
    )


def _catches_up_too_closely(options: Options) -> bool:
    if options.spacing is None or options.catch_up is not CatchUpPolicy.ALL:
        return False
    rate = options.catch_up_rate_per_minute
    return rate is None or _MINUTE / rate < options.spacing


RULES: Final = (
    Rule("endAt", "endAt must be later than startAt.", _window_is_empty),
    Rule(
        "endAt",
        "endAt lies in the past: the schedule would never fire again. "
        "Give a later instant, or archive the schedule.",
        _window_is_over,
    ),
    Rule(
        "jitter",
        "jitter spreads runs that come again; every timing of this schedule comes once: "
        "leave jitter out, or give the instant that is meant.",
        lambda options: options.jitter > timedelta(0) and _is_once(options),
    ),
    Rule(
        "spacing",
        "spacing keeps two runs apart, and this schedule has a single instant: leave it out.",
        _nothing_to_space,
    ),
    Rule(
        "spacing",
        "spacing is as long as the window from startAt to endAt: only the first run could start. "
        "Give a shorter spacing, or a longer window.",
        _spacing_fills_window,
    ),
    Rule(
        "spacing",
        "catchUp ALL starts runs closer together than spacing allows, so most would be skipped: "
        "give a catchUpRatePerMinute that keeps them apart, or catchUp LATEST.",
        _catches_up_too_closely,
    ),
    Rule(
        "overlapLimit",
        "overlapLimit bounds how many runs wait with overlap QUEUE_ALL; "
        "with another overlap policy leave it out.",
        lambda options: (
            options.overlap_limit is not None and options.overlap is not OverlapPolicy.QUEUE_ALL
        ),
    ),
    Rule(
        "catchUpWindow",
        "catchUp ALL runs nothing within a window of zero: "
        "give a longer catchUpWindow, or catchUp NONE.",
        lambda options: (
            options.catch_up is CatchUpPolicy.ALL and options.catch_up_window == timedelta(0)
        ),
    ),
    Rule(
        "catchUpRatePerMinute",
        "catchUpRatePerMinute goes with catchUp ALL, which runs more than one; "
        "with another catch-up policy leave it out.",
        lambda options: (
            options.catch_up_rate_per_minute is not None
            and options.catch_up is not CatchUpPolicy.ALL
        ),
    ),
    Rule(
        "probeAfter",
        "probeAfter tries a schedule again that paused itself, which this one never does: "
        "give pauseAfterFailures, too.",
        lambda options: options.probe_after is not None and options.pause_after_failures is None,
    ),
)
"""Every rule, in the order of the fields."""
