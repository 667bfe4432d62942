"""Turn events into what the rules have to tell, and that into messages.

The events are followed by position, so nothing the engine does costs more; a position and what was
gathered up to it are committed together, so a crash loses nothing and tells nothing twice.
"""

from dataclasses import dataclass

from app.core.notifying import MAY_BE_TOLD
from app.runtime import Runtime
from app.store.notifications import (
    compose_messages,
    gather_notifications,
    hold_feed,
    seconds_until_next_message,
)

PAUSE_SECONDS = 10.0
"""A rule sends at most one message in this time; what happens meanwhile goes into the next one."""

MOST_IN_A_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class Gathered:
    """How much there was to tell, how much is in a message now, and when the next one is made.

    None: nothing waits for that.
    """

    notifications: int
    composed: int
    again_in_seconds: float | None


async def gather(runtime: Runtime, *, pause_seconds: float = PAUSE_SECONDS) -> Gathered | None:
    """Gather what happened since. Return None when another process is at it."""
    async with runtime.database.transaction() as transaction:
        position = await hold_feed(transaction)
        if position is None:
            return None
        gathered = await gather_notifications(transaction, position, MAY_BE_TOLD)
        composed = await compose_messages(
            transaction, pause_seconds=pause_seconds, most=MOST_IN_A_MESSAGE
        )
        return Gathered(gathered, composed, await seconds_until_next_message(transaction))
