"""Bring the tables to this version.

Safe to run from many processes at once: an advisory lock lets one at a time through, and the
others find nothing left to do. There are no downgrades: a release reads the tables of the one
before it, and going back further means restoring a backup.
"""

from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

# Any constant will do; it must stay the same in every version.
_LOCK = 7_436_190_255_311


def alembic_config() -> Config:
    """Return Alembic's configuration, which lives in the package and in no file."""
    config = Config()
    config.set_main_option("script_location", str(files("app.store") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(url: str) -> list[str]:
    """Apply every revision that is missing and return their ids, oldest first."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
            await connection.commit()
            applied = await connection.run_sync(_upgrade)
            await connection.commit()
            await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
            await connection.commit()
            return applied
    finally:
        await engine.dispose()


async def is_current(url: str) -> bool:
    """Return whether the tables are at this version."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            heads = ScriptDirectory.from_config(alembic_config()).get_heads()
            return await connection.run_sync(_revisions) == set(heads)
    finally:
        await engine.dispose()


def _revisions(connection: Connection) -> set[str]:
    return set(MigrationContext.configure(connection).get_current_heads())


def _upgrade(connection: Connection) -> list[str]:
    config = alembic_config()
    config.attributes["connection"] = connection
    before = _revisions(connection)
    connection.commit()
    command.upgrade(config, "head")
    script = ScriptDirectory.from_config(config)
    lower = next(iter(before), "base")
    return [
        revision.revision
        for revision in reversed(list(script.walk_revisions(lower, "heads")))
        if revision.revision not in before
    ]
