"""Idempotency keys: whether a request was answered before, and with which result."""

from uuid import UUID

from sqlmodel import col, select

from app.core.errors import IdempotencyConflict
from app.models import IdempotencyRecord
from app.store.database import Transaction


async def claim_idempotency_key(
    transaction: Transaction,
    *,
    project_id: UUID,
    key: str,
    operation: str,
    content_hash: str,
    result_id: UUID,
) -> UUID | None:
    """Return None when the key is ours to use, or the result of the request that used it.

    A key that was used with other content raises `IdempotencyConflict`.
    """
    claimed = await transaction.run_file(
        "claim_idempotency_key",
        {
            "project_id": project_id,
            "key": key,
            "operation": operation,
            "content_hash": content_hash,
            "result_id": result_id,
        },
    )
    if claimed.first() is not None:
        return None
    record = (
        await transaction.exec(
            select(IdempotencyRecord).where(
                col(IdempotencyRecord.project_id) == project_id,
                col(IdempotencyRecord.key) == key,
            )
        )
    ).one()
    if (record.operation, record.content_hash) != (operation, content_hash):
        raise IdempotencyConflict(
            f"The idempotency key {key!r} was used before for another request: use a new one.",
            path=("idempotencyKey",),
        )
    return record.result_id
