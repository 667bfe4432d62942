"""What every resolver is handed: the runtime, the caller, and loaders that live for one operation.

A WebSocket carries many operations; each gets a context of its own, and so does every message of a
subscription, since what the loaders remember grows stale.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from strawberry.types import Info as StrawberryInfo

from app.runtime import Runtime
from app.schema.loaders import Loaders
from app.services.access import Principal
from app.services.live.hub import FeedHub
from app.services.status import StatusReader
from app.store.database import ReadConnection


class Context:
    """The context of one operation."""

    def __init__(
        self, runtime: Runtime, hub: FeedHub, status: StatusReader, principal: Principal
    ) -> None:
        self.runtime = runtime
        self.hub = hub
        self.status = status
        self.principal = principal
        self.loaders = Loaders(runtime.database, principal.project_id)

    def renewed(self) -> "Context":
        """Return the same without what was loaded."""
        return Context(self.runtime, self.hub, self.status, self.principal)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ReadConnection]:
        """Open a read connection for the caller's project."""
        async with self.runtime.database.reading(self.principal.project_id) as connection:
            yield connection


Info = StrawberryInfo[Context, Any]
