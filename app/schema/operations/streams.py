"""Subscriptions: first what there is, then every change."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Annotated, TypeVar

import strawberry
import structlog

from app.core.clock import elapsed_seconds
from app.core.errors import Invalid
from app.core.ids import Kind
from app.core.vocabulary import LogLevel
from app.models import HealthFinding as Finding
from app.schema.context import Context, Info
from app.schema.ids import from_id
from app.schema.inputs.filters import RunFilter, ScheduleFilter
from app.schema.scalars import Cursor
from app.schema.types.health import HealthFinding
from app.schema.types.logs import levels_from
from app.schema.types.scheduler import SchedulerStatus
from app.schema.types.streams import (
    LogStream,
    RunStream,
    ScheduleStream,
    log_message,
    run_message,
    schedule_message,
)
from app.services.live.log_reading import WatchedLog
from app.services.live.log_watching import watch_log
from app.services.live.messages import Changed, Started
from app.services.live.messages import Message as TopicMessage
from app.services.live.topics import FindingTopic, RunTopic, ScheduleTopic
from app.services.live.watching import watch
from app.store import filters as store
from app.store.outages import is_away

_AT_LEAST_EVERY = 15.0
_LOOK_EVERY = 5.0
Message = TypeVar("Message")
Shown = TypeVar("Shown")
_log = structlog.get_logger(__name__)
After = Annotated[
    Cursor | None,
    strawberry.argument(
        description="The last cursor seen: resume without loss, no snapshot unless reset."
    ),
]
WithSnapshot = Annotated[
    bool, strawberry.argument(description="Whether to begin with what there is.")
]


@strawberry.type
class Streams:
    """What can be watched."""

    @strawberry.subscription(
        description="Runs: a snapshot, then changes. With `after` (the last cursor seen): resume "
        "without loss, no snapshot unless reset."
    )
    async def run_events(
        self,
        info: Info,
        run_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only this run.")
        ] = None,
        schedule_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only runs of this schedule.")
        ] = None,
        filter: Annotated[RunFilter | None, strawberry.argument(description="Which ones.")] = None,
        after: After = None,
        snapshot: WithSnapshot = True,
    ) -> AsyncGenerator[RunStream]:
        """Watch runs."""
        topic = RunTopic(
            info.context.principal.project_id,
            store.RunFilter() if filter is None else filter.read(),
            run_id=None if run_id is None else from_id(Kind.RUN, run_id, "runId"),
            schedule_id=None
            if schedule_id is None
            else from_id(Kind.SCHEDULE, schedule_id, "scheduleId"),
        )
        messages = watch(info.context.hub, topic, after=after, snapshot=snapshot)
        return _shown(messages, run_message)

    @strawberry.subscription(
        description="Schedules: a snapshot, then changes. With `after` (the last cursor seen): "
        "resume without loss, no snapshot unless reset."
    )
    async def schedule_changed(
        self,
        info: Info,
        filter: Annotated[
            ScheduleFilter | None, strawberry.argument(description="Which ones.")
        ] = None,
        after: After = None,
        snapshot: WithSnapshot = True,
    ) -> AsyncGenerator[ScheduleStream]:
        """Watch schedules."""
        context = info.context
        narrowed = store.ScheduleFilter() if filter is None else filter.read()
        topic = ScheduleTopic(context.principal.project_id, narrowed)
        messages = watch(context.hub, topic, after=after, snapshot=snapshot)
        return _shown(messages, partial(schedule_message, principal=context.principal))

    @strawberry.subscription(
        description="The log of a run: what there is, then each line; it completes after "
        "`finished`. With `after` (the last cursor seen, or that of a line): resume without loss. "
        "With `tail`: begin with the last lines."
    )
    async def run_log(
        self,
        info: Info,
        run_id: Annotated[strawberry.ID, strawberry.argument(description="Which run.")],
        after: Annotated[
            Cursor | None,
            strawberry.argument(description="Begin behind this position; wins over `tail`."),
        ] = None,
        tail: Annotated[
            int | None,
            strawberry.argument(
                description="Begin with so many of the last lines, at most 1,000; not given: all."
            ),
        ] = None,
        min_level: Annotated[
            LogLevel | None, strawberry.argument(description="Only of this level or a graver one.")
        ] = None,
    ) -> AsyncGenerator[LogStream]:
        """Watch a log."""
        watched = WatchedLog(
            info.context.principal.project_id,
            from_id(Kind.RUN, run_id, "runId"),
            levels_from(min_level),
        )
        return _shown(watch_log(info.context.hub, watched, after=after, tail=tail), log_message)

    @strawberry.subscription(
        description="Findings about the project's schedules and the instance: the open ones at "
        "once, then each change. After a pause too long to be made up for, the open ones again."
    )
    async def health_finding_changed(self, info: Info) -> AsyncGenerator[HealthFinding]:
        """Watch findings."""
        topic = FindingTopic(info.context.principal.project_id)
        return _findings(watch(info.context.hub, topic, after=None, snapshot=True))

    @strawberry.subscription(
        description="The instance's status: now, then on change, at most once per `minInterval`, "
        "at least every 15 s."
    )
    async def scheduler_status(
        self,
        info: Info,
        min_interval: Annotated[
            timedelta | None, strawberry.argument(description="From one message to the next.")
        ] = timedelta(seconds=1),
    ) -> AsyncGenerator[SchedulerStatus]:
        """Watch the status."""
        pause = (timedelta(seconds=1) if min_interval is None else min_interval).total_seconds()
        if not 0.1 <= pause <= _AT_LEAST_EVERY:
            raise Invalid("minInterval lies between PT0.1S and PT15S.", path=("minInterval",))
        return _statuses(info.context, pause)


# A stream lives long: its resolver hands it over and lets go of everything else.


async def _shown(
    messages: AsyncGenerator[Message], show: Callable[[Message], Shown]
) -> AsyncGenerator[Shown]:
    async with aclosing(messages):
        async for message in messages:
            yield show(message)


async def _findings(
    messages: AsyncGenerator[TopicMessage[Finding]],
) -> AsyncGenerator[HealthFinding]:
    async with aclosing(messages):
        async for message in messages:
            if isinstance(message, Started):
                for row in message.rows:
                    yield HealthFinding.of(row)
            elif isinstance(message, Changed):
                yield HealthFinding.of(message.row)


async def _statuses(context: Context, pause: float) -> AsyncGenerator[SchedulerStatus]:
    told, told_at = None, 0.0
    while True:
        status = await _read_status(context, pause)
        essence = _essence(status)
        if essence != told or elapsed_seconds() - told_at >= _AT_LEAST_EVERY:
            told, told_at = essence, elapsed_seconds()
            yield status
        await _wait_for_news(context, pause, told_at + _AT_LEAST_EVERY)


async def _read_status(context: Context, pause: float) -> SchedulerStatus:
    """Read the status; while PostgreSQL is away, wait for it instead of ending the stream."""
    while True:
        try:
            return SchedulerStatus.of(await context.status.read())
        except Exception as error:
            if not is_away(error):
                raise
            _log.warning("database.away", error=str(error))
            await asyncio.sleep(pause)


async def _wait_for_news(context: Context, pause: float, until: float) -> None:
    """Wait at least `pause`; longer while nothing happens, but not beyond `until`."""
    hints, looked_at = context.hub.hints, elapsed_seconds()
    while True:
        left = until - elapsed_seconds()
        await asyncio.sleep(max(0.0, min(pause, left)))
        now = elapsed_seconds()
        if now >= until or context.hub.hints != hints or now - looked_at >= _LOOK_EVERY:
            return


def _essence(status: SchedulerStatus) -> SchedulerStatus:
    """Return a status without what changes by itself as time goes by."""
    nothing = timedelta(0)
    return replace(
        status,
        server_time=status.changed_at,
        uptime=nothing,
        tick_lag=None,
        last_tick_at=None,
        oldest_queued_age=None,
        dependencies=[replace(each, latency=None) for each in status.dependencies],
        workers=[replace(each, heartbeat_at=each.started_at) for each in status.workers],
        queues=[replace(each, oldest_age=None) for each in status.queues],
    )
