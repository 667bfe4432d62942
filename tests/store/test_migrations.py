"""The tables as the migrations make them, and as the models say they are."""

import warnings
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.types import TypeEngine
from sqlmodel import AutoString, SQLModel

import app.models  # noqa: F401 - registers the tables


async def test_migrations_and_models_agree(database_url: str) -> None:
    engine = create_async_engine(make_url(database_url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        differences = await connection.run_sync(_compare)
    await engine.dispose()
    assert not differences, "\n".join(map(str, differences))


def _compare(connection: Connection) -> list[object]:
    options = {"compare_type": _differs, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    with warnings.catch_warnings():
        # SQLAlchemy does not know PostgreSQL's xid8.
        warnings.simplefilter("ignore", SAWarning)
        return list(compare_metadata(context, SQLModel.metadata))


def _differs(
    context: MigrationContext,
    inspected_column: Column[Any],
    metadata_column: Column[Any],
    inspected_type: TypeEngine[Any],
    metadata_type: TypeEngine[Any],
) -> bool | None:
    """Return False where the names of types differ and the types do not."""
    is_text = isinstance(inspected_type, Text) and isinstance(metadata_type, AutoString)
    return False if is_text and getattr(metadata_type, "length", None) is None else None
