"""A project's notification rules."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select

from app.core.errors import AlreadyExists
from app.models import NotificationRule
from app.store.database import ReadConnection, Transaction


async def read_rules(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[NotificationRule]:
    """Return the project's rules by key."""
    query = (
        select(NotificationRule)
        .where(col(NotificationRule.project_id) == project_id)
        .order_by(col(NotificationRule.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_rule(
    connection: ReadConnection, project_id: UUID, rule_id: UUID
) -> NotificationRule | None:
    """Return one rule of the project."""
    query = select(NotificationRule).where(
        col(NotificationRule.project_id) == project_id, col(NotificationRule.id) == rule_id
    )
    return (await connection.exec(query)).first()


async def lock_rule(
    transaction: Transaction, project_id: UUID, key: str
) -> NotificationRule | None:
    """Return the rule of that key, held against other changes."""
    query = (
        select(NotificationRule)
        .where(col(NotificationRule.project_id) == project_id, col(NotificationRule.key) == key)
        .with_for_update()
    )
    return (await transaction.exec(query)).first()


async def count_rules(connection: ReadConnection, project_id: UUID) -> int:
    """Return how many rules a project has."""
    query = select(func.count()).where(col(NotificationRule.project_id) == project_id)
    return (await connection.exec(query)).one()


async def insert_rule(transaction: Transaction, rule: NotificationRule) -> None:
    """Write a rule, or raise `AlreadyExists` when somebody has just taken its key."""
    written = await transaction.execute(
        insert(NotificationRule)
        .values(rule.model_dump())
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(col(NotificationRule.id))
    )
    if written.first() is None:
        raise AlreadyExists(f"There is a rule {rule.key!r} already.", path=("key",))


async def update_rule(
    transaction: Transaction, rule_id: UUID, values: Mapping[str, Any]
) -> NotificationRule:
    """Change a rule and return it as it is then."""
    result = await transaction.execute(
        update(NotificationRule)
        .where(col(NotificationRule.id) == rule_id)
        .values(**values, version=NotificationRule.version + 1, updated_at=func.now())
        .returning(NotificationRule)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return result.scalar_one()


async def delete_rule(transaction: Transaction, rule_id: UUID) -> None:
    """Remove a rule, and what it has not told yet."""
    await transaction.execute(delete(NotificationRule).where(col(NotificationRule.id) == rule_id))
