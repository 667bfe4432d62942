"""Secrets, sealed as they are stored; nothing here can open one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select

from app.core.errors import AlreadyExists
from app.models import Secret
from app.store.database import ReadConnection, Transaction


async def read_secrets_of_project(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[Secret]:
    """Return the project's secrets by key."""
    query = (
        select(Secret)
        .where(col(Secret.project_id) == project_id)
        .order_by(col(Secret.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_secret(connection: ReadConnection, project_id: UUID, id_: UUID) -> Secret | None:
    """Return one secret of the project."""
    query = select(Secret).where(col(Secret.project_id) == project_id, col(Secret.id) == id_)
    return (await connection.exec(query)).first()


async def read_secrets(
    connection: ReadConnection, wanted: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Secret]:
    """Return secrets by project and key; those that do not exist are left out."""
    query = select(Secret).where(
        tuple_(col(Secret.project_id), col(Secret.key)).in_(sorted(set(wanted)))
    )
    return {(row.project_id, row.key): row for row in (await connection.exec(query)).all()}


async def share_secrets(
    transaction: Transaction, project_id: UUID, keys: Iterable[str]
) -> frozenset[str]:
    """Return which of these keys exist, and keep them from being deleted until the end."""
    wanted = sorted(set(keys))
    if not wanted:
        return frozenset()
    query = (
        select(Secret.key)
        .where(col(Secret.project_id) == project_id, col(Secret.key).in_(wanted))
        .order_by(col(Secret.key))
        .with_for_update(read=True, key_share=True)
    )
    return frozenset((await transaction.exec(query)).all())


async def count_secrets(connection: ReadConnection, project_id: UUID) -> int:
    """Return how many secrets a project has."""
    query = select(func.count()).where(col(Secret.project_id) == project_id)
    return (await connection.exec(query)).one()


async def lock_secret(transaction: Transaction, project_id: UUID, key: str) -> Secret | None:
    """Return the secret of that key, held against other changes and against new references."""
    query = (
        select(Secret)
        .where(col(Secret.project_id) == project_id, col(Secret.key) == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await transaction.exec(query)).first()


async def insert_secret(transaction: Transaction, secret: Secret) -> None:
    """Write a new secret, or raise `AlreadyExists` when somebody has just taken its key."""
    written = await transaction.execute(
        insert(Secret)
        .values(secret.model_dump())
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(col(Secret.id))
    )
    if written.first() is None:
        raise AlreadyExists(
            f"Somebody has just created the secret {secret.key!r}: repeat to replace it.",
            path=("key",),
        )


async def update_secret(
    transaction: Transaction, secret_id: UUID, changes: Mapping[str, Any]
) -> Secret:
    """Write columns of a secret the caller holds, and count the version."""
    result = await transaction.execute(
        update(Secret)
        .where(col(Secret.id) == secret_id)
        .values(**changes, version=col(Secret.version) + 1, updated_at=func.now())
        .returning(Secret)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def delete_secret(transaction: Transaction, secret_id: UUID) -> None:
    """Remove a secret the caller holds."""
    await transaction.exec(delete(Secret).where(col(Secret.id) == secret_id))


async def lock_secrets_sealed_otherwise(
    transaction: Transaction, key_id: str, *, after: UUID | None, limit: int
) -> Sequence[Secret]:
    """Hold the next secrets of any project that another key sealed, in the order of their ids."""
    query = (
        select(Secret)
        .where(col(Secret.key_id) != key_id)
        .order_by(col(Secret.id))
        .limit(limit)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if after is not None:
        query = query.where(col(Secret.id) > after)
    return (await transaction.exec(query)).all()


async def reseal_secret(
    transaction: Transaction, secret_id: UUID, *, key_id: str, sealed: bytes
) -> None:
    """Write the same value sealed by another key: nobody changed it, so no version counts."""
    await transaction.execute(
        update(Secret).where(col(Secret.id) == secret_id).values(key_id=key_id, sealed=sealed)
    )
