"""Timings, and the occurrences they have."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeAlias

import strawberry

from app.core import time as core
from app.core.vocabulary import Adjustment, CalendarUnit, DayMatch, Frequency, TimeMode
from app.schema.scalars import LocalDateTime

if TYPE_CHECKING:
    from app.schema.types.schedules import Schedule

_IN_WORDS = "The timing in words."


@strawberry.type(description="Whenever a cron expression matches.")
class CronTiming:
    """A cron timing."""

    expression: str = strawberry.field(description="5 fields, or 6 with seconds first.")
    day_match: DayMatch = strawberry.field(description="How the two day fields combine.")
    time_mode: TimeMode = strawberry.field(description="How it behaves when clocks change.")
    frequency: Frequency | None = strawberry.field(description="When it was given as a frequency.")
    description: str = strawberry.field(description=_IN_WORDS)


@strawberry.type(description="Every so much elapsed time, counted from an anchor.")
class IntervalTiming:
    """An interval."""

    every: timedelta = strawberry.field(description="The time from one to the next.")
    anchor: datetime = strawberry.field(description="An instant it is counted from.")
    description: str = strawberry.field(description=_IN_WORDS)


@strawberry.type(description="Every so many days, weeks, months or years at a local time.")
class CalendarIntervalTiming:
    """A calendar interval."""

    every: int = strawberry.field(description="How many units lie between two.")
    unit: CalendarUnit = strawberry.field(description="The unit.")
    anchor: LocalDateTime = strawberry.field(description="A local time it is counted from.")
    description: str = strawberry.field(description=_IN_WORDS)


@strawberry.type(description="A single instant.")
class OnceTiming:
    """One instant."""

    at: datetime = strawberry.field(description="The instant.")
    local: LocalDateTime | None = strawberry.field(
        description="The local time it was given as, in the schedule's zone."
    )
    description: str = strawberry.field(description=_IN_WORDS)


Timing: TypeAlias = Annotated[
    CronTiming | IntervalTiming | CalendarIntervalTiming | OnceTiming,
    strawberry.union("Timing", description="One rule of a schedule."),
]


@strawberry.type(
    description="One planned instant and why it is what it is: `nominal` before jitter, `local` "
    "in the schedule's zone."
)
class Occurrence:
    """An occurrence."""

    at: datetime = strawberry.field(description="When it is due, with jitter.")
    nominal: datetime = strawberry.field(description="When it is due before jitter: its key.")
    local: LocalDateTime = strawberry.field(description="The nominal local time.")
    offset: str = strawberry.field(description="The zone's offset from UTC then.")
    nominal_locals: list[LocalDateTime] = strawberry.field(
        description="Wall-clock times that coalesced into it."
    )
    will_run: bool = strawberry.field(description="False when a calendar excludes it.")
    adjustments: list[Adjustment] = strawberry.field(
        description="Why it is not simply at its nominal local time."
    )
    note: str | None = strawberry.field(description="Which calendar excludes or moves it.")
    schedule: Annotated["Schedule", strawberry.lazy("app.schema.types.schedules")] | None = (
        strawberry.field(description="Whose it is, in lists over several schedules.")
    )

    @classmethod
    def of(cls, occurrence: core.Occurrence, *, schedule: "Schedule | None" = None) -> "Occurrence":
        """Return the public form."""
        return cls(
            at=occurrence.at,
            nominal=occurrence.nominal,
            local=LocalDateTime(occurrence.local),
            offset=occurrence.offset,
            nominal_locals=[LocalDateTime(local) for local in occurrence.nominal_locals],
            will_run=occurrence.will_run,
            adjustments=list(occurrence.adjustments),
            note=occurrence.note,
            schedule=schedule,
        )


def timing_of(
    timing: core.Timing, timezone: str
) -> CronTiming | IntervalTiming | CalendarIntervalTiming | OnceTiming:
    """Return the public form of a timing."""
    words = core.describe_timing(timing)
    match timing:
        case core.CronTiming():
            return CronTiming(
                expression=timing.expression,
                day_match=timing.day_match,
                time_mode=timing.time_mode,
                frequency=timing.frequency,
                description=words,
            )
        case core.IntervalTiming():
            return IntervalTiming(every=timing.every, anchor=timing.anchor, description=words)
        case core.CalendarIntervalTiming():
            return CalendarIntervalTiming(
                every=timing.every,
                unit=timing.unit,
                anchor=LocalDateTime(timing.anchor),
                description=words,
            )
        case core.OnceTiming():
            local = None if timing.local is None else LocalDateTime(timing.local)
            return OnceTiming(at=_instant(timing, timezone), local=local, description=words)


def _instant(timing: core.OnceTiming, timezone: str) -> datetime:
    if timing.at is not None:
        return timing.at
    only = core.Timetable.of([timing], timezone=timezone).next_after(_BEGINNING)
    assert only is not None, "a stored instant exists"
    return only.nominal


_BEGINNING = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
