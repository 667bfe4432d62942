"""The messages of subscriptions: a snapshot, then changes, each with a position to resume from."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

import strawberry

from app.core.clock import utc_now
from app.core.ids import Kind
from app.core.vocabulary import ChangeKind
from app.models import Run as RunRow
from app.schema.ids import to_id
from app.schema.scalars import Cursor
from app.schema.types.logs import LogLine
from app.schema.types.runs import Run
from app.schema.types.schedules import Schedule
from app.services.access import Principal
from app.services.live import log_watching
from app.services.live.messages import (
    Changed,
    Gone,
    Letter,
    Message,
    Started,
    StartedAnew,
    StillHere,
)
from app.services.live.positions import Cursor as Position
from app.store.schedules import ScheduleRecord


@strawberry.interface(description="A message of a stream.")
class StreamMessage:
    """A message."""

    cursor: Cursor = strawberry.field(description="Resume behind this message with `after`.")
    server_time: datetime = strawberry.field(description="When it was sent.")
    # What several subscribers are told; None: this message is for one alone.
    source: strawberry.Private[Changed[Any] | Gone | None] = None


@strawberry.type(description="At most 500, newest first; page the rest by query.")
class RunSnapshot(StreamMessage):
    """What there is."""

    runs: list[Run] = strawberry.field(description="The runs that pass the filter.")
    has_more: bool = strawberry.field(description="Whether there are more.")


@strawberry.type(description="A run as it is now.")
class RunChange(StreamMessage):
    """A changed run."""

    run: Run = strawberry.field(description="The run.")
    coalesced: int = strawberry.field(
        description="Older updates of this run folded into this one for a slow client."
    )


@strawberry.type(description="It no longer matches the filter, or was removed.")
class RunGone(StreamMessage):
    """A run that left."""

    id: strawberry.ID = strawberry.field(description="Which run.")


@strawberry.type(description="At most 500, newest first; page the rest by query.")
class ScheduleSnapshot(StreamMessage):
    """What there is."""

    schedules: list[Schedule] = strawberry.field(description="The schedules that pass the filter.")
    has_more: bool = strawberry.field(description="Whether there are more.")


@strawberry.type(description="A schedule as it is now.")
class ScheduleChange(StreamMessage):
    """A changed schedule."""

    change: ChangeKind = strawberry.field(description="What happened to it last.")
    schedule: Schedule = strawberry.field(description="The schedule.")


@strawberry.type(description="It no longer matches the filter, or was archived.")
class ScheduleGone(StreamMessage):
    """A schedule that left."""

    id: strawberry.ID = strawberry.field(description="Which schedule.")


@strawberry.type(description="Lines of a log, oldest first.")
class LogChunk(StreamMessage):
    """Some lines."""

    lines: list[LogLine] = strawberry.field(description="The lines.")
    dropped: int = strawberry.field(
        description="How many lines were dropped here, because the log was full or too many came."
    )
    finished: bool = strawberry.field(
        description="Whether the run is over and this is all; the stream ends."
    )


@strawberry.type(description="When idle: silence told from a dead feed.")
class Heartbeat(StreamMessage):
    """A sign of life."""


@strawberry.type(
    description="The position is too old or lost: drop local state, a snapshot follows."
)
class StreamReset(StreamMessage):
    """A new beginning."""

    reason: str = strawberry.field(description="Why, in words.")


RunStream: TypeAlias = Annotated[
    RunSnapshot | RunChange | RunGone | Heartbeat | StreamReset,
    strawberry.union("RunStream", description="What a stream of runs says."),
]
ScheduleStream: TypeAlias = Annotated[
    ScheduleSnapshot | ScheduleChange | ScheduleGone | Heartbeat | StreamReset,
    strawberry.union("ScheduleStream", description="What a stream of schedules says."),
]
LogStream: TypeAlias = Annotated[
    LogChunk | Heartbeat | StreamReset,
    strawberry.union("LogStream", description="What the stream of a log says."),
]


def run_message(
    message: Message[RunRow],
) -> RunSnapshot | RunChange | RunGone | Heartbeat | StreamReset:
    """Return the public form of a message about runs."""
    match message:
        case Started():
            runs = [Run.of(row) for row in message.rows]
            return RunSnapshot(**_common(message.cursor), runs=runs, has_more=message.has_more)
        case Changed() | Gone():
            made: RunChange | RunGone | None = message.made.get(RunChange)
            if made is None:
                made = message.made[RunChange] = _run_letter(message)
            return made
        case StillHere() | StartedAnew():
            return _about_the_stream(message)


def schedule_message(
    message: Message[ScheduleRecord], principal: Principal
) -> ScheduleSnapshot | ScheduleChange | ScheduleGone | Heartbeat | StreamReset:
    """Return the public form of a message about schedules."""
    match message:
        case Started():
            schedules = [Schedule.of(record, principal) for record in message.rows]
            return ScheduleSnapshot(
                **_common(message.cursor), schedules=schedules, has_more=message.has_more
            )
        case Changed() | Gone():
            # A schedule tells what the caller may do with it.
            rights = principal.rights
            made: ScheduleChange | ScheduleGone | None = message.made.get(rights)
            if made is None:
                made = message.made[rights] = _schedule_letter(message, principal.unnamed())
            return made
        case StillHere() | StartedAnew():
            return _about_the_stream(message)


def _run_letter(letter: Letter[RunRow]) -> RunChange | RunGone:
    common = _common(letter.cursor)
    if isinstance(letter, Gone):
        return RunGone(**common, source=letter, id=to_id(Kind.RUN, letter.id))
    run = Run.of(letter.row)
    return RunChange(**common, source=letter, run=run, coalesced=letter.coalesced)


def _schedule_letter(
    letter: Letter[ScheduleRecord], principal: Principal
) -> ScheduleChange | ScheduleGone:
    common = _common(letter.cursor)
    if isinstance(letter, Gone):
        return ScheduleGone(**common, source=letter, id=to_id(Kind.SCHEDULE, letter.id))
    schedule = Schedule.of(letter.row, principal)
    change = ChangeKind(letter.change)
    return ScheduleChange(**common, source=letter, schedule=schedule, change=change)


def _about_the_stream(message: StillHere | StartedAnew) -> Heartbeat | StreamReset:
    common = _common(message.cursor)
    if isinstance(message, StillHere):
        return Heartbeat(**common)
    return StreamReset(**common, reason=message.reason)


def log_message(message: log_watching.LogMessage) -> LogChunk | Heartbeat | StreamReset:
    """Return the public form of a message about a log; its cursor is that of a line."""
    common: dict[str, Any] = {"cursor": Cursor(str(message.position)), "server_time": utc_now()}
    match message:
        case log_watching.Lines():
            return LogChunk(
                **common,
                lines=[LogLine.of(line) for line in message.lines],
                dropped=message.dropped,
                finished=message.finished,
            )
        case log_watching.Silence():
            return Heartbeat(**common)
        case log_watching.Anew():
            return StreamReset(**common, reason=message.reason)


def _common(position: Position) -> dict[str, Any]:
    return {"cursor": Cursor(position.encode()), "server_time": utc_now()}
