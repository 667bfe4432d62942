"""Bearer tokens, by the id that stands in them."""

from collections.abc import Sequence
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


async def read_tokens_by_id(
    connection: ReadConnection, token_ids: Sequence[UUID]
) -> dict[UUID, ApiToken]:
    """Return tokens by id, revoked or not."""
    if not token_ids:
        return {}
    found = await connection.exec(select(ApiToken).where(col(ApiToken.id).in_(token_ids)))
    return {token.id: token for token in found.all()}


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


async def read_tokens(
    connection: ReadConnection, project_id: UUID, *, with_instance: bool, limit: int
) -> list[ApiToken]:
    """Return a project's tokens, the newest first, on request with those bound to no project."""
    is_ours = col(ApiToken.project_id) == project_id
    if with_instance:
        is_ours = or_(is_ours, col(ApiToken.project_id).is_(None))
    query = select(ApiToken).where(is_ours).order_by(col(ApiToken.id).desc()).limit(limit)
    return list((await connection.exec(query)).all())


async def count_standing_tokens(connection: ReadConnection, project_id: UUID | None) -> int:
    """Return how many tokens of a project, or of none, are not revoked."""
    query = (
        select(func.count())
        .select_from(ApiToken)
        .where(
            col(ApiToken.project_id).is_not_distinct_from(project_id),
            col(ApiToken.revoked_at).is_(None),
        )
    )
    return (await connection.exec(query)).one()


async def lock_token(transaction: Transaction, token_id: UUID) -> ApiToken | None:
    """Return a token, held until the transaction ends: it is revoked once."""
    query = select(ApiToken).where(col(ApiToken.id) == token_id).with_for_update()
    return (await transaction.exec(query)).first()


async def revoke_token(transaction: Transaction, token_id: UUID) -> ApiToken:
    """Note that a token opens nothing any more, and return it."""
    result = await transaction.execute(
        update(ApiToken)
        .where(col(ApiToken.id) == token_id)
        .values(revoked_at=func.now())
        .returning(ApiToken)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return result.scalar_one()
