"""PostgreSQL's clock, the one that processes agree on."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import select

from app.store.database import ReadConnection


async def read_now(connection: ReadConnection) -> datetime:
    """Return the instant at which the transaction began."""
    return (await connection.exec(select(func.now()))).one()
