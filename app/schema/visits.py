"""Look again and again whether those who stay connected may still be here.

Whoever holds the same credentials is looked after together: at once when a token is revoked (it
rings the token's bell), when it expires, and every half a minute for everything else.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import structlog

from app.core.clock import utc_now
from app.core.errors import TickwheelError
from app.core.vocabulary import ActorKind
from app.services.access import Credentials, Doorkeeper, Principal, Unauthenticated
from app.services.live.bells import Bell
from app.services.live.hub import FeedHub
from app.store.outages import is_away

RECHECK_SECONDS = 30.0
_RETRY_SECONDS = 1.0
_SHORTEST_SECONDS = 0.05
_log = structlog.get_logger(__name__)


class _Guest:
    """Everybody who came with the same credentials."""

    def __init__(self) -> None:
        self.visits: set[Visit] = set()
        self.looking: asyncio.Task[None] | None = None


class Visit:
    """One connection; `dismiss` is called once, with the reason, when it must end."""

    __slots__ = ("_end", "dismiss")

    def __init__(self, dismiss: Callable[[str], None], end: Callable[["Visit"], None]) -> None:
        self.dismiss = dismiss
        self._end = end

    def end(self) -> None:
        """Say that it is over."""
        self._end(self)


class Visits:
    """Dismisses those whose credentials have ceased to be good."""

    def __init__(self, doorkeeper: Doorkeeper, hub: FeedHub) -> None:
        self._doorkeeper = doorkeeper
        self._hub = hub
        self._guests: dict[Credentials, _Guest] = {}

    def begin(
        self, credentials: Credentials, principal: Principal, dismiss: Callable[[str], None]
    ) -> Visit:
        """Look after somebody from now on."""
        guest = self._guests.get(credentials)
        if guest is None:
            guest = self._guests[credentials] = _Guest()
            guest.looking = asyncio.create_task(self._look_after(guest, credentials, principal))
        visit = Visit(dismiss, partial(self._end, credentials, guest))
        guest.visits.add(visit)
        return visit

    def _end(self, credentials: Credentials, guest: _Guest, visit: Visit) -> None:
        guest.visits.discard(visit)
        if not guest.visits and self._guests.get(credentials) is guest:
            del self._guests[credentials]
            assert guest.looking is not None
            guest.looking.cancel()

    async def _look_after(
        self, guest: _Guest, credentials: Credentials, principal: Principal
    ) -> None:
        reason = await self._until_refused(credentials, principal)
        del self._guests[credentials]
        for visit in guest.visits:
            visit.dismiss(reason)

    async def _until_refused(self, credentials: Credentials, principal: Principal) -> str:
        while True:
            try:
                async with self._bell_of(principal) as bell:
                    # The first look is for what happened before there was a bell.
                    while True:
                        next_ring = None if bell is None else bell.next_ring
                        present = await self._doorkeeper.identify(credentials)
                        if present.rights != principal.rights:
                            return "what you may do has changed: connect again."
                        await _ring_or_pause(next_ring, _until_next_look(principal))
            except (Unauthenticated, TickwheelError) as error:
                return str(error)
            except Exception as error:  # Nobody is dismissed for a failure of ours.
                if not is_away(error):
                    _log.exception("visits.look_failed")
            await asyncio.sleep(_RETRY_SECONDS)

    @asynccontextmanager
    async def _bell_of(self, principal: Principal) -> AsyncIterator[Bell | None]:
        kind, id_ = principal.caller
        if kind != ActorKind.TOKEN or id_ is None:
            yield None
            return
        async with self._hub.listening(UUID(id_)) as bell:
            yield bell


async def _ring_or_pause(next_ring: asyncio.Event | None, seconds: float) -> None:
    if next_ring is None:
        await asyncio.sleep(seconds)
        return
    try:
        async with asyncio.timeout(seconds):
            await next_ring.wait()
    except TimeoutError:
        pass


def _until_next_look(principal: Principal) -> float:
    if principal.expires_at is None:
        return RECHECK_SECONDS
    left = (principal.expires_at - utc_now()).total_seconds()
    return max(_SHORTEST_SECONDS, min(RECHECK_SECONDS, left))
