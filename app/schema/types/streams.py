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
from app.services.live import log_watching, watching
from app.services.live.positions import Cursor as Position
from app.store.schedules import ScheduleRecord


@strawberry.interface(description="A message of a stream.")
class StreamMessage:
    """A message."""

    cursor: Cursor = strawberry.field(description="Resume behind this message with `after`.")
    server_time: datetime = strawberry.field(description="When it was sent.")


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
    message: watching.Message[RunRow],
) -> RunSnapshot | RunChange | RunGone | Heartbeat | StreamReset:
    """Return the public form of a message about runs."""
    common = _common(message.cursor)
    match message:
        case watching.Started():
            runs = [Run.of(row) for row in message.rows]
            return RunSnapshot(**common, runs=runs, has_more=message.has_more)
        case watching.Changed():
            return RunChange(**common, run=Run.of(message.row), coalesced=message.coalesced)
        case watching.Gone():
            return RunGone(**common, id=to_id(Kind.RUN, message.id))
        case watching.StillHere():
            return Heartbeat(**common)
        case watching.StartedAnew():
            return StreamReset(**common, reason=message.reason)


def schedule_message(
    message: watching.Message[ScheduleRecord], principal: Principal
) -> ScheduleSnapshot | ScheduleChange | ScheduleGone | Heartbeat | StreamReset:
    """Return the public form of a message about schedules."""
    common = _common(message.cursor)
    match message:
        case watching.Started():
            schedules = [Schedule.of(record, principal) for record in message.rows]
            return ScheduleSnapshot(**common, schedules=schedules, has_more=message.has_more)
        case watching.Changed():
            schedule = Schedule.of(message.row, principal)
            return ScheduleChange(**common, schedule=schedule, change=ChangeKind(message.change))
        case watching.Gone():
            return ScheduleGone(**common, id=to_id(Kind.SCHEDULE, message.id))
        case watching.StillHere():
            return Heartbeat(**common)
        case watching.StartedAnew():
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
