"""Endpoints, and the tokens workers share for them, sealed as they are stored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select

from app.core.errors import AlreadyExists
from app.models import Endpoint, EndpointToken
from app.store.database import ReadConnection, Transaction


async def read_endpoints_of_project(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[Endpoint]:
    """Return the project's endpoints by key."""
    query = (
        select(Endpoint)
        .where(col(Endpoint.project_id) == project_id)
        .order_by(col(Endpoint.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_endpoint_by_id(
    connection: ReadConnection, project_id: UUID, id_: UUID
) -> Endpoint | None:
    """Return one endpoint of the project."""
    query = select(Endpoint).where(col(Endpoint.project_id) == project_id, col(Endpoint.id) == id_)
    return (await connection.exec(query)).first()


async def read_endpoints(
    connection: ReadConnection, wanted: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Endpoint]:
    """Return endpoints by project and key; those that do not exist are left out."""
    query = select(Endpoint).where(
        tuple_(col(Endpoint.project_id), col(Endpoint.key)).in_(sorted(set(wanted)))
    )
    return {(row.project_id, row.key): row for row in (await connection.exec(query)).all()}


async def share_endpoint(transaction: Transaction, project_id: UUID, key: str) -> Endpoint | None:
    """Return the endpoint of that key, as it stays until the transaction ends."""
    query = (
        select(Endpoint)
        .where(col(Endpoint.project_id) == project_id, col(Endpoint.key) == key)
        .with_for_update(read=True)
    )
    return (await transaction.exec(query)).first()


async def count_endpoints(connection: ReadConnection, project_id: UUID) -> int:
    """Return how many endpoints a project has."""
    query = select(func.count()).where(col(Endpoint.project_id) == project_id)
    return (await connection.exec(query)).one()


async def lock_endpoint(transaction: Transaction, project_id: UUID, key: str) -> Endpoint | None:
    """Return the endpoint of that key, held against other changes and against new users."""
    query = (
        select(Endpoint)
        .where(col(Endpoint.project_id) == project_id, col(Endpoint.key) == key)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await transaction.exec(query)).first()


async def insert_endpoint(transaction: Transaction, endpoint: Endpoint) -> None:
    """Write a new endpoint, or raise `AlreadyExists` when somebody has just taken its key."""
    written = await transaction.execute(
        insert(Endpoint)
        .values(endpoint.model_dump())
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(col(Endpoint.id))
    )
    if written.first() is None:
        raise AlreadyExists(
            f"Somebody has just created the endpoint {endpoint.key!r}: look at it, then repeat.",
            path=("key",),
        )


async def update_endpoint(
    transaction: Transaction, endpoint_id: UUID, changes: Mapping[str, Any]
) -> Endpoint:
    """Write columns of an endpoint the caller holds, and count the version."""
    result = await transaction.execute(
        update(Endpoint)
        .where(col(Endpoint.id) == endpoint_id)
        .values(**changes, version=col(Endpoint.version) + 1, updated_at=func.now())
        .returning(Endpoint)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def delete_endpoint(transaction: Transaction, endpoint_id: UUID) -> None:
    """Remove an endpoint the caller holds; its token goes with it."""
    await transaction.exec(delete(Endpoint).where(col(Endpoint.id) == endpoint_id))


async def read_endpoint_token(
    connection: ReadConnection, endpoint_id: UUID, generation: str
) -> EndpointToken | None:
    """Return the token that was last obtained for this generation of an endpoint."""
    query = select(EndpointToken).where(
        col(EndpointToken.endpoint_id) == endpoint_id, col(EndpointToken.generation) == generation
    )
    return (await connection.exec(query)).first()


async def write_endpoint_token(transaction: Transaction, token: EndpointToken) -> None:
    """Keep a token in the place of the one before; none for an endpoint that is gone."""
    held = select(Endpoint.id).where(col(Endpoint.id) == token.endpoint_id)
    if (await transaction.exec(held.with_for_update(read=True, key_share=True))).first() is None:
        return
    columns = token.model_dump()
    await transaction.execute(
        insert(EndpointToken)
        .values(columns)
        .on_conflict_do_update(index_elements=["endpoint_id"], set_=columns)
    )


async def forget_tokens_sealed_otherwise(transaction: Transaction, key_id: str) -> None:
    """Remove the tokens that another key sealed: a new one costs one request."""
    await transaction.exec(delete(EndpointToken).where(col(EndpointToken.key_id) != key_id))
