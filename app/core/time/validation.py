"""Refuse timings that make no sense, all of them in one pass.

Each error carries the path of the value at fault in the terms of the API (`timings`, the index,
the kind, the field) and, inside an expression, the column. What passes here fires at least once,
or lies in the past because the caller said it may.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.core.errors import Invalid, InvalidInput
from app.core.time.cron import compile_cron
from app.core.time.instants import (
    DAY_SECONDS,
    EARLIEST,
    HORIZON,
    LATEST,
    SECOND,
    from_microseconds,
    local_to_microseconds,
    to_microseconds,
)
from app.core.time.local_walk import DstPolicy
from app.core.time.sources import source_of
from app.core.time.timings import (
    CalendarIntervalTiming,
    CronTiming,
    IntervalTiming,
    OnceTiming,
    Timing,
)
from app.core.time.zones import parse_timezone, zone_rules
from app.core.vocabulary import CalendarUnit, DstFoldPolicy, DstGapPolicy

MAX_TIMINGS: Final = 16

_SHORTEST_INTERVAL: Final = timedelta(seconds=1)
_LONGEST: Final = {
    CalendarUnit.DAY: 50 * 365,
    CalendarUnit.WEEK: 50 * 52,
    CalendarUnit.MONTH: 50 * 12,
    CalendarUnit.YEAR: 50,
}
_FIRST_YEAR: Final = from_microseconds(EARLIEST).year
_LAST_YEAR: Final = from_microseconds(LATEST).year


@dataclass(frozen=True, slots=True)
class _Context:
    """What a timing is checked against."""

    timezone: str
    gap: DstGapPolicy
    as_of: datetime | None


def validate_timings(
    timings: Sequence[Timing],
    *,
    timezone: str,
    dst_gap: DstGapPolicy = DstGapPolicy.RUN_AT_GAP_END,
    as_of: datetime | None = None,
    may_be_past: Collection[int] = (),
) -> None:
    """Raise `InvalidInput` with every problem found.

    `as_of` is given when timings are set or changed: a `once` must then lie in the future,
    except those whose index is in `may_be_past` (`runIfPast`).
    """
    errors = list(_problems_of_zone(timezone))
    if not timings:
        errors.append(Invalid("A schedule needs at least one timing.", path=("timings",)))
    if len(timings) > MAX_TIMINGS:
        errors.append(
            Invalid(
                f"A schedule has at most {MAX_TIMINGS} timings; got {len(timings)}.",
                path=("timings",),
            )
        )
    zone = "UTC" if errors else timezone
    for index, timing in enumerate(timings[:MAX_TIMINGS]):
        context = _Context(zone, dst_gap, None if index in may_be_past else as_of)
        for error in _problems(timing, context):
            error.under("timings", str(index))
            errors.append(error)
    if errors:
        raise InvalidInput(errors)


def validate_window(start_at: datetime | None, end_at: datetime | None) -> None:
    """Refuse a window that ends before it begins."""
    if start_at is not None and end_at is not None and end_at < start_at:
        raise Invalid(
            f"The window ends at {end_at.isoformat()}, before it begins at {start_at.isoformat()}.",
            path=("endAt",),
        )


def _problems_of_zone(timezone: str) -> Iterator[Invalid]:
    try:
        parse_timezone(timezone)
    except Invalid as error:
        yield error


def _problems(timing: Timing, context: _Context) -> Iterator[Invalid]:
    match timing:
        case CronTiming():
            yield from _problems_of_cron(timing)
        case IntervalTiming():
            yield from _problems_of_interval(timing)
        case CalendarIntervalTiming():
            yield from _problems_of_calendar_interval(timing)
        case OnceTiming():
            yield from _problems_of_once(timing, context)


def _problems_of_cron(timing: CronTiming) -> Iterator[Invalid]:
    try:
        compile_cron(timing.expression, timing.day_match, "")
    except Invalid as error:
        error.under("cron", "expression")
        yield error


def _problems_of_interval(timing: IntervalTiming) -> Iterator[Invalid]:
    if not _SHORTEST_INTERVAL <= timing.every <= HORIZON:
        yield Invalid(
            f"An interval is at least 1 second and at most 50 years; got {timing.every}.",
            path=("interval", "every"),
        )
    if timing.anchor.tzinfo is None:
        yield Invalid(
            "The anchor of an interval is an instant and needs an offset, such as Z.",
            path=("interval", "anchor"),
        )
    elif not _FIRST_YEAR < timing.anchor.year < _LAST_YEAR:
        yield _out_of_years(timing.anchor, ("interval", "anchor"))


def _problems_of_calendar_interval(timing: CalendarIntervalTiming) -> Iterator[Invalid]:
    longest = _LONGEST[timing.unit]
    if not 1 <= timing.every <= longest:
        yield Invalid(
            f"A calendar interval is 1 to {longest} {timing.unit.lower()}s; got {timing.every}.",
            path=("calendarInterval", "every"),
        )
    yield from _problems_of_local(timing.anchor, ("calendarInterval", "anchor"))


def _problems_of_once(timing: OnceTiming, context: _Context) -> Iterator[Invalid]:
    if (timing.at is None) == (timing.local is None):
        yield Invalid("Give exactly one of 'at' and 'local'.", path=("once",))
        return
    if timing.at is not None and timing.at.tzinfo is None:
        yield Invalid(
            "'at' is an instant and needs an offset, such as Z; for a local time use 'local'.",
            path=("once", "at"),
        )
        return
    key = "at" if timing.local is None else "local"
    when = timing.at or timing.local
    assert when is not None
    problems = list(_problems_of_local(timing.local, ("once", "local"))) if timing.local else []
    if not problems and not _FIRST_YEAR < when.year < _LAST_YEAR:
        problems = [_out_of_years(when, ("once", key))]
    yield from problems or _problems_of_due(timing, ("once", key), context)


def _problems_of_due(
    timing: OnceTiming, path: Sequence[str], context: _Context
) -> Iterator[Invalid]:
    policy = DstPolicy(context.gap, DstFoldPolicy.FIRST)
    source = source_of(timing, zone_rules(context.timezone), policy, "")
    hit = source.first_from(_a_day_before(timing))
    when = timing.at or timing.local
    assert when is not None
    problem = None
    if hit is None:
        problem = f"does not exist in {context.timezone}, and dstGap is SKIP."
    elif context.as_of is not None and from_microseconds(hit.at) <= context.as_of:
        problem = "is in the past; say runIfPast to run it all the same."
    elif context.as_of is not None and from_microseconds(hit.at) > context.as_of + HORIZON:
        problem = "is more than 50 years away."
    if problem is not None:
        yield Invalid(f"{when.isoformat()} {problem}", path=path)


def _a_day_before(timing: OnceTiming) -> int:
    """Return an instant before the timing in any zone, in microseconds."""
    if timing.at is not None:
        return to_microseconds(timing.at)
    assert timing.local is not None
    return local_to_microseconds(timing.local) - 2 * DAY_SECONDS * SECOND


def _problems_of_local(local: datetime, path: Sequence[str]) -> Iterator[Invalid]:
    if local.tzinfo is not None:
        yield Invalid(
            f"{path[-1]!r} is a local time in the schedule's zone and has no offset.", path=path
        )
    elif local_to_microseconds(local) % SECOND:
        yield Invalid("A local time is given in whole seconds.", path=path)
    elif not _FIRST_YEAR < local.year < _LAST_YEAR:
        yield _out_of_years(local, path)


def _out_of_years(when: datetime, path: Sequence[str]) -> Invalid:
    return Invalid(
        f"The year {when.year} is out of range; allowed are {_FIRST_YEAR + 1} to {_LAST_YEAR - 1}.",
        path=path,
    )
