"""Seal the audit, and verify that nothing of it was changed, removed or slipped in.

Entries are sealed a moment after they were committed, by whichever worker comes first; see
`core/audit_chain.py`. What the chain cannot show by itself is that its end was cut off: note the
head that a verification returns, and ask for it the next time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from app.core.audit_chain import FIRST_SEAL, holds, seals_of
from app.core.errors import LimitExceeded
from app.core.vocabulary import Role
from app.runtime import Runtime
from app.services.access import Principal
from app.store.audit_chain import (
    append_seals,
    count_unsealed,
    find_stray,
    has_seal,
    lock_chain,
    read_head,
    read_links,
    read_unsealed,
)
from app.store.database import Database, ReadConnection

MOST_VERIFIED_ONLINE = 100_000
"""How many entries a request verifies; `tickwheel audit verify` knows no limit."""

_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What a walk along the whole chain found.

    `entries` are those the chain holds; `unsealed` those committed a moment ago. `first_bad_id` is
    the first entry that is not what was sealed, or was never meant to be there. `head` is the last
    seal. `holds_expected` is False if the head that was noted earlier is not in the chain: then its
    end was cut off, or it is another chain.
    """

    ok: bool
    entries: int
    unsealed: int
    first_bad_id: UUID | None
    head: bytes
    holds_expected: bool = True


async def seal_audit(runtime: Runtime) -> int:
    """Seal what has been committed since the last time; return how many entries that were."""
    async with runtime.database.transaction() as transaction:
        if not await lock_chain(transaction):
            return 0
        entries = await read_unsealed(transaction, limit=_AT_ONCE)
        if entries:
            head = await read_head(transaction)
            seals = list(seals_of(head.seal, entries))
            await append_seals(transaction, head, [entry["id"] for entry in entries], seals)
    return len(entries)


async def verify_audit_online(runtime: Runtime, principal: Principal) -> AuditVerification:
    """Verify the chain for a caller who waits; `LimitExceeded` where that would take long."""
    principal.require(Role.ADMIN)
    async with runtime.database.reading(None) as connection:
        if (await read_head(connection)).position > MOST_VERIFIED_ONLINE:
            raise LimitExceeded(
                f"The audit has more than {MOST_VERIFIED_ONLINE:,} entries; "
                "`tickwheel audit verify` verifies any number."
            )
    return await verify_audit(runtime.database)


async def verify_audit(
    database: Database,
    *,
    expected_head: bytes | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> AuditVerification:
    """Walk along the chain as it is now, from its first link to its last.

    `on_progress` is told how many links are verified, and of how many.
    """
    async with database.reading(None) as connection:
        head = await read_head(connection)
        position, previous, bad = 0, FIRST_SEAL, None
        while bad is None and position < head.position:
            links = await read_links(
                connection, after=position, until=head.position, limit=_AT_ONCE
            )
            if not links:
                # The last links are gone while we look.
                return await _verdict(connection, position, previous, None, is_whole=False)
            for link in links:
                if not holds(link, position=position + 1, previous=previous):
                    bad = link.audit_id
                    break
                position, previous = link.position, link.seal
            on_progress(position, head.position)
        bad = bad or await find_stray(connection)
        is_expected = expected_head is None or await has_seal(connection, expected_head)
        return await _verdict(connection, position, previous, bad, is_expected=is_expected)


async def _verdict(
    connection: ReadConnection,
    entries: int,
    head: bytes,
    bad: UUID | None,
    *,
    is_whole: bool = True,
    is_expected: bool = True,
) -> AuditVerification:
    return AuditVerification(
        ok=bad is None and is_whole and is_expected,
        entries=entries,
        unsealed=await count_unsealed(connection),
        first_bad_id=bad,
        head=head,
        holds_expected=is_expected,
    )
