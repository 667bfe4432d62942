"""Bearer tokens, by the id that stands in them."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, update
from sqlmodel import col, select

from app.models import ApiToken
from app.store.database import ReadConnection, Transaction

_NOTED_EVERY = timedelta(minutes=1)


async def read_token(
    connection: ReadConnection, token_id: UUID
) -> tuple[ApiToken, datetime] | None:
    """Return a token and the present instant of PostgreSQL's clock."""
    found = await connection.exec(select(ApiToken, func.now()).where(col(ApiToken.id) == token_id))
    return found.first()


async def note_token_used(transaction: Transaction, token_id: UUID) -> None:
    """Note when the token was last used, at most once a minute."""
    unnoted = or_(
        col(ApiToken.last_used_at).is_(None),
        col(ApiToken.last_used_at) < func.now() - _NOTED_EVERY,
    )
    await transaction.execute(
        update(ApiToken)
        .where(col(ApiToken.id) == token_id, unnoted)
        .values(last_used_at=func.now())
        .execution_options(synchronize_session=False)
    )
