"""Projects: the tenants."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col, select

from app.models import Project
from app.store.database import ReadConnection, Transaction


async def read_project(connection: ReadConnection, project_id: UUID) -> Project | None:
    """Return one project."""
    return await connection.get(Project, project_id)


async def read_project_by_key(connection: ReadConnection, key: str) -> Project | None:
    """Return the project of that key."""
    return (await connection.exec(select(Project).where(col(Project.key) == key))).first()


async def read_projects(connection: ReadConnection, *, limit: int) -> list[Project]:
    """Return every project of the instance, by key."""
    query = select(Project).order_by(col(Project.key)).limit(limit)
    return list((await connection.exec(query)).all())


async def lock_project_by_key(transaction: Transaction, key: str) -> Project | None:
    """Return the project of that key, and keep others from changing it."""
    query = select(Project).where(col(Project.key) == key).with_for_update(key_share=True)
    return (await transaction.exec(query)).first()


async def insert_project(transaction: Transaction, project: Project) -> bool:
    """Write a project; return False if its key is taken."""
    statement = (
        insert(Project)
        .values(**project.model_dump())
        .on_conflict_do_nothing(index_elements=[col(Project.key)])
        .returning(col(Project.id))
    )
    return (await transaction.execute(statement)).first() is not None


async def update_project(
    transaction: Transaction, project_id: UUID, values: Mapping[str, Any]
) -> Project:
    """Change a project and return it as it is then."""
    result = await transaction.execute(
        update(Project)
        .where(col(Project.id) == project_id)
        .values(**values)
        .returning(Project)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return result.scalar_one()
