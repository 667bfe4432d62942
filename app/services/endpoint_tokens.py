"""Share access tokens between workers: sealed, in PostgreSQL.

Not in Redis, which holds nothing that is worth stealing and is hostile input when read. A store
that is away costs a request for a token, never a run.
"""

from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.errors import DependencyUnavailable
from app.handlers.http_tokens import AccessToken
from app.logs import strike_out
from app.models import EndpointToken
from app.runtime import Runtime
from app.sealing import Sealed
from app.store.endpoints import read_endpoint_token, write_endpoint_token

_log = structlog.get_logger(__name__)
_AWAY = (SQLAlchemyError, OSError, TimeoutError, DependencyUnavailable)


class SharedTokens:
    """The `TokenStore` of an instance."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def read(self, endpoint_id: UUID, generation: str) -> AccessToken | None:
        """Return the token last written for this generation of an endpoint."""
        try:
            async with self._runtime.database.reading(None) as connection:
                row = await read_endpoint_token(connection, endpoint_id, generation)
            return None if row is None else self._opened(row)
        except _AWAY as error:
            _log.warning("token.not_read", error=str(error))
            return None

    async def write(self, endpoint_id: UUID, generation: str, token: AccessToken) -> None:
        """Keep a token for all workers."""
        strike_out(token.text)
        try:
            sealed = self._runtime.keyring.seal(
                token.text, belongs_to=_belonging(endpoint_id, generation)
            )
            async with self._runtime.database.transaction() as transaction:
                await write_endpoint_token(
                    transaction,
                    EndpointToken(
                        endpoint_id=endpoint_id,
                        generation=generation,
                        key_id=sealed.key_id,
                        sealed=sealed.content,
                        obtained_at=token.obtained_at,
                        expires_at=token.expires_at,
                    ),
                )
        except _AWAY as error:
            _log.warning("token.not_shared", error=str(error))

    def _opened(self, row: EndpointToken) -> AccessToken:
        text = self._runtime.keyring.open(
            Sealed(row.key_id, row.sealed), belongs_to=_belonging(row.endpoint_id, row.generation)
        )
        strike_out(text)
        return AccessToken(text, obtained_at=row.obtained_at, expires_at=row.expires_at)


def _belonging(endpoint_id: UUID, generation: str) -> str:
    return f"endpoint-token/{endpoint_id}/{generation}"
