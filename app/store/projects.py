"""Projects: the tenants."""

from uuid import UUID

from sqlmodel import col, select

from app.models import Project
from app.store.database import ReadConnection


async def read_project(connection: ReadConnection, project_id: UUID) -> Project | None:
    """Return one project."""
    return await connection.get(Project, project_id)


async def read_project_by_key(connection: ReadConnection, key: str) -> Project | None:
    """Return the project of that key."""
    return (await connection.exec(select(Project).where(col(Project.key) == key))).first()
