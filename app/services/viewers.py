"""What a caller chooses for itself: the zone in which it wants to see instants."""

from app.core.time import parse_timezone
from app.core.vocabulary import Role
from app.runtime import Runtime
from app.services.access import Principal
from app.services.projects import defaults_of
from app.store.database import ReadConnection
from app.store.viewers import read_timezone, write_timezone


async def timezone_of(runtime: Runtime, connection: ReadConnection, principal: Principal) -> str:
    """Return the caller's own zone, or else that of its project."""
    chosen = await read_timezone(connection, principal.actor)
    if chosen is not None:
        return chosen
    return (await defaults_of(runtime, connection, principal.project_id)).timezone


async def choose_timezone(runtime: Runtime, principal: Principal, timezone: str) -> None:
    """Remember the zone for the caller; nothing else depends on it."""
    principal.require(Role.VIEWER)
    known = parse_timezone(timezone).key
    async with runtime.database.transaction() as transaction:
        await write_timezone(transaction, principal.actor, known)
