"""The chain of seals over the audit."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, func
from sqlmodel import col, select

from app.core.audit_chain import FIRST_SEAL, SEALED_COLUMNS, SealedEntry
from app.models import AuditSeal, UnsealedEntry
from app.store.database import ReadConnection, Transaction


class ChainHead(NamedTuple):
    """The last link; position 0 is before the first one."""

    position: int
    seal: bytes


async def lock_chain(transaction: Transaction) -> bool:
    """Return whether this transaction may lengthen the chain."""
    return bool((await transaction.run_file("lock_audit_chain", {})).scalar_one())


async def read_head(connection: ReadConnection) -> ChainHead:
    """Return the end of the chain."""
    query = select(AuditSeal).order_by(col(AuditSeal.position).desc()).limit(1)
    last = (await connection.exec(query)).first()
    return ChainHead(0, FIRST_SEAL) if last is None else ChainHead(last.position, last.seal)


async def read_unsealed(transaction: Transaction, *, limit: int) -> list[dict[str, Any]]:
    """Return entries that are not sealed yet, the oldest first."""
    result = await transaction.run_file("read_unsealed_audit", {"limit": limit})
    return [dict(row) for row in result.mappings()]


async def append_seals(
    transaction: Transaction, head: ChainHead, audit_ids: Sequence[UUID], seals: Sequence[bytes]
) -> None:
    """Lengthen the chain behind `head`."""
    first = head.position + 1
    await transaction.run_file(
        "seal_audit",
        {
            "position": list(range(first, first + len(seals))),
            "audit_id": list(audit_ids),
            "seal": list(seals),
        },
    )


async def read_links(
    connection: ReadConnection, *, after: int, until: int, limit: int
) -> list[SealedEntry]:
    """Return links in their order, those behind position `after` and up to `until`."""
    result = await connection.run_file(
        "read_sealed_audit", {"after": after, "until": until, "limit": limit}
    )
    return [_link(row) for row in result.mappings()]


async def has_seal(connection: ReadConnection, seal: bytes) -> bool:
    """Return whether the chain holds a seal that was noted earlier. Reads the whole chain."""
    query = select(AuditSeal.position).where(col(AuditSeal.seal) == seal).limit(1)
    return (await connection.exec(query)).first() is not None


async def count_unsealed(connection: ReadConnection) -> int:
    """Return how many entries wait to be sealed."""
    return (await connection.exec(select(func.count()).select_from(UnsealedEntry))).one()


async def find_stray(connection: ReadConnection) -> UUID | None:
    """Return an entry that is neither sealed nor waits for it. Reads the whole audit."""
    found: UUID | None = (await connection.run_file("find_stray_audit", {})).scalar()
    return found


def _link(row: RowMapping) -> SealedEntry:
    entry: dict[str, Any] | None = None
    if row["id"] is not None:
        entry = {name: row[name] for name in SEALED_COLUMNS}
    return SealedEntry(row["position"], row["audit_id"], bytes(row["seal"]), entry)
