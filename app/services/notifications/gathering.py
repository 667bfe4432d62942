"""Turn events into what the rules have to tell, and that into messages.

The events are followed by position, so nothing the engine does costs more; a position and what was
gathered up to it are committed together, so a crash loses nothing and tells nothing twice.
"""

from app.runtime import Runtime
from app.store.notifications import compose_messages, gather_notifications, hold_feed

PAUSE_SECONDS = 10.0
"""A rule sends at most one message in this time; what happens meanwhile goes into the next one."""

MOST_IN_A_MESSAGE = 200


async def gather(runtime: Runtime, *, pause_seconds: float = PAUSE_SECONDS) -> int:
    """Gather what happened since; return how much there is to tell. None of it if another does."""
    async with runtime.database.transaction() as transaction:
        position = await hold_feed(transaction)
        if position is None:
            return 0
        gathered = await gather_notifications(transaction, position)
        await compose_messages(transaction, pause_seconds=pause_seconds, most=MOST_IN_A_MESSAGE)
    return gathered
