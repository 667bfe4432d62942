"""The pub/sub channel: who changed, never to what.

A message carries ids and revisions. It may be lost, repeated or reordered at no cost but a
re-read: the event table is the record, and every listener also looks there on its own beat.
What arrives from Redis is hostile input, so a listener takes the fact that something came and
ignores what it says.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.changes import Change

_MOST_IDS = 200
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
    """One fixed channel of an instance."""

    def __init__(self, redis: Redis, *, prefix: str) -> None:
        self._redis = redis
        self._name = f"{prefix}:events"

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

    async def listen(self, *, beat_seconds: float) -> AsyncGenerator[None]:
        """Yield when there may be something to read: on a message, on each beat, on reconnection.

        Never ends and never raises for a Redis that is away: then only the beat is left.
        """
        while True:
            try:
                async with aclosing(self._messages(beat_seconds)) as messages:
                    async for _ in messages:
                        yield None
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("redis.listen_failed", error=str(error))
                yield None
                await asyncio.sleep(min(beat_seconds, 1.0))

    async def _messages(self, beat_seconds: float) -> AsyncGenerator[None]:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(self._name)
            yield None
            while True:
                await pubsub.get_message(timeout=beat_seconds)
                yield None
