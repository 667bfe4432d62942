"""Codes of one-time links."""

from datetime import datetime

from sqlalchemy import delete, func
from sqlmodel import col

from app.models import LoginCode
from app.store.database import Transaction


async def insert_code(transaction: Transaction, code_hash: bytes, expires_at: datetime) -> None:
    """Keep a code, and forget those whose time is over."""
    await transaction.execute(delete(LoginCode).where(col(LoginCode.expires_at) < func.now()))
    transaction.add(LoginCode(code_hash=code_hash, expires_at=expires_at))
    await transaction.flush()


async def take_code(transaction: Transaction, code_hash: bytes) -> bool:
    """Take a code away and return whether it still stood; nobody else gets it then."""
    result = await transaction.execute(
        delete(LoginCode)
        .where(col(LoginCode.code_hash) == code_hash, col(LoginCode.expires_at) > func.now())
        .returning(col(LoginCode.code_hash))
    )
    return result.first() is not None
