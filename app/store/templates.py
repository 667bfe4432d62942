"""A project's own templates."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, delete, select

from app.core.errors import AlreadyExists
from app.models import Template
from app.store.database import ReadConnection, Transaction


async def read_templates(
    connection: ReadConnection, project_id: UUID, *, limit: int
) -> Sequence[Template]:
    """Return the project's templates by key."""
    query = (
        select(Template)
        .where(col(Template.project_id) == project_id)
        .order_by(col(Template.key))
        .limit(limit)
    )
    return (await connection.exec(query)).all()


async def read_template(
    connection: ReadConnection, project_id: UUID, template_id: UUID
) -> Template | None:
    """Return one template of the project."""
    query = select(Template).where(
        col(Template.project_id) == project_id, col(Template.id) == template_id
    )
    return (await connection.exec(query)).first()


async def lock_template(transaction: Transaction, project_id: UUID, key: str) -> Template | None:
    """Return the template of that key, held against other changes."""
    query = (
        select(Template)
        .where(col(Template.project_id) == project_id, col(Template.key) == key)
        .with_for_update()
    )
    return (await transaction.exec(query)).first()


async def count_templates(connection: ReadConnection, project_id: UUID) -> int:
    """Return how many templates a project has."""
    query = select(func.count()).where(col(Template.project_id) == project_id)
    return (await connection.exec(query)).one()


async def insert_template(transaction: Transaction, template: Template) -> None:
    """Write a template, or raise `AlreadyExists` when somebody has just taken its key."""
    written = await transaction.execute(
        insert(Template)
        .values(template.model_dump())
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(col(Template.id))
    )
    if written.first() is None:
        raise AlreadyExists(f"There is a template {template.key!r} already.", path=("key",))


async def update_template(
    transaction: Transaction, template_id: UUID, values: Mapping[str, Any]
) -> Template:
    """Change a template and return it as it is then."""
    result = await transaction.execute(
        update(Template)
        .where(col(Template.id) == template_id)
        .values(**values, version=Template.version + 1, updated_at=func.now())
        .returning(Template)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return result.scalar_one()


async def delete_template(transaction: Transaction, template_id: UUID) -> None:
    """Remove a template."""
    await transaction.execute(delete(Template).where(col(Template.id) == template_id))
