"""The hash chain that seals the audit.

The seal of an entry is the SHA-256 of the seal before it and of the entry's own columns, so that
no entry can be changed, removed or put in between without breaking every seal behind it. Pure: the
caller reads the entries and keeps the seals.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import orjson

FIRST_SEAL: Final = bytes(32)
"""What the first entry is chained to."""

SEALED_COLUMNS: Final = (
    "id",
    "at",
    "project_id",
    "actor",
    "action",
    "subject_kind",
    "subject_id",
    "summary",
    "changes",
    "request_id",
    "address",
)
"""What a seal vouches for: all that an entry holds."""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    """A link as it is stored; `entry` is None when the entry it sealed is gone."""

    position: int
    audit_id: UUID
    seal: bytes
    entry: Mapping[str, Any] | None


def seal_of(previous: bytes, entry: Mapping[str, Any]) -> bytes:
    """Return the seal of an entry that follows `previous`; instants count to the microsecond."""
    columns = {name: entry[name] for name in SEALED_COLUMNS}
    # The driver's UUIDs are a class of their own.
    text = orjson.dumps(columns, default=str, option=orjson.OPT_SORT_KEYS)
    return sha256(previous + text).digest()


def seals_of(previous: bytes, entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Return the seals of entries, in the order in which they are chained."""
    for entry in entries:
        previous = seal_of(previous, entry)
        yield previous


def holds(link: SealedEntry, *, position: int, previous: bytes) -> bool:
    """Return whether a link is the one that belongs at `position`, behind `previous`."""
    return (
        link.position == position
        and link.entry is not None
        and link.entry["id"] == link.audit_id
        and seal_of(previous, link.entry) == link.seal
    )
