"""The pub/sub channel: who changed, never to what.

A message carries ids and revisions. It may be lost, repeated or reordered at no cost but a
re-read: the event table is the record, and every listener also looks there on its own beat.
What arrives from Redis is hostile input, so a listener takes the fact that something came and
ignores what it says. A second channel names the runs whose logs have grown; a name that nobody
here has asked for wakes nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.changes import Change
from app.core.clock import elapsed_seconds

_MOST_IDS = 200
_NOBODY: frozenset[str] = frozenset()
_log = structlog.get_logger(__name__)


def encode(change: Change) -> bytes:
    """Return the message; a long list of ids is left out, the reader finds it in the table."""
    few = len(change.ids) <= _MOST_IDS
    return orjson.dumps(
        {
            "project": str(change.project_id),
            "subject": change.subject,
            "change": change.change,
            "ids": [str(id_) for id_ in change.ids] if few else [],
            "revisions": change.revisions if few else [],
        }
    )


class EventChannel:
    """The two fixed channels of an instance: of changes, and of logs that have grown."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._name = f"{prefix}:events"
        self._logs = f"{prefix}:logs"

    async def publish(self, changes: list[Change]) -> bool:
        """Announce committed changes. Return False, and raise nothing, when Redis is away."""
        if not changes:
            return True
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for change in changes:
                    pipeline.publish(self._name, encode(change))
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis.publish_failed", error=str(error))
            return False
        return True

    async def publish_logs(self, run_ids: Sequence[UUID]) -> bool:
        """Announce that logs have grown. Return False, and raise nothing, when Redis is away."""
        try:
            for start in range(0, len(run_ids), _MOST_IDS):
                some = run_ids[start : start + _MOST_IDS]
                await self._redis.publish(self._logs, ",".join(id_.hex for id_ in some))
        except (RedisError, OSError, TimeoutError) as error:
            _log.warning("redis.publish_failed", error=str(error))
            return False
        return True

    async def listen(self, *, beat_seconds: float) -> AsyncGenerator[frozenset[str]]:
        """Yield the runs whose logs have grown, or nothing: there may be changes to read.

        Nothing is what a change, each beat and a reconnection give. Never ends and never raises
        for a Redis that is away: then only the beat is left.
        """
        while True:
            try:
                async with aclosing(self._messages(beat_seconds)) as messages:
                    async for named in messages:
                        yield named
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("redis.listen_failed", error=str(error))
                yield _NOBODY
                await asyncio.sleep(min(beat_seconds, 1.0))

    async def _messages(self, beat_seconds: float) -> AsyncGenerator[frozenset[str]]:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(self._name, self._logs)
            next_beat_at = 0.0
            while True:
                # Logs that never stop growing must not take the place of the beat.
                if elapsed_seconds() >= next_beat_at:
                    next_beat_at = elapsed_seconds() + beat_seconds
                    yield _NOBODY
                message = await pubsub.get_message(timeout=next_beat_at - elapsed_seconds())
                if message is None or message["channel"] != self._logs:
                    next_beat_at = 0.0
                elif named := _named(message["data"]):
                    yield named


def _named(data: Any) -> frozenset[str]:
    return frozenset(data.split(",", _MOST_IDS)) if isinstance(data, str) else _NOBODY
