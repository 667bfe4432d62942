"""A journal of every change of a run, kept by the database itself.

The final tables do not tell what happened on the way: that a finished run was written again, or a
run taken from a worker whose lease still stood. A trigger of the tests' own writes each change
down, in the transaction that makes it; nothing of the product knows of it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.engine import Engine

_INSTALL = (
    "CREATE SCHEMA IF NOT EXISTS witness",
    """
    CREATE TABLE IF NOT EXISTS witness.change (
        number bigserial PRIMARY KEY, at timestamptz NOT NULL, run_id uuid NOT NULL,
        state_before text, state text NOT NULL, attempt_before integer, attempt integer NOT NULL,
        token_before bigint, token bigint, lease_expires_at timestamptz, result jsonb)
    """,
    """
    CREATE OR REPLACE FUNCTION witness.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO witness.change (at, run_id, state_before, state, attempt_before, attempt,
                                    token_before, token, lease_expires_at, result)
        VALUES (clock_timestamp(), new.id, old.state, new.state, old.attempt, new.attempt,
                old.fencing_token, new.fencing_token, old.lease_expires_at, new.result);
        RETURN NULL;
    END $$
    """,
    "DROP TRIGGER IF EXISTS note_change ON run",
    """
    CREATE TRIGGER note_change
    AFTER INSERT OR UPDATE OF state, attempt, fencing_token, result ON run
        FOR EACH ROW EXECUTE FUNCTION witness.note_change()
    """,
)


@dataclass(frozen=True, slots=True)
class Change:
    """One write of a run. What ends in `_before` is None when the row was made."""

    run_id: UUID
    at: datetime
    state: str
    attempt: int
    state_before: str | None = None
    attempt_before: int | None = None
    token_before: int | None = None
    token: int | None = None
    # Of the attempt that was under way before the write.
    lease_expires_at: datetime | None = None
    result: Any = None

    def __str__(self) -> str:
        before = "" if self.state_before is None else f"{self.state_before} {self.attempt_before}, "
        return f"{self.at:%H:%M:%S.%f} {self.run_id}: {before}{self.state} {self.attempt}"

    @property
    def lease_had_expired(self) -> bool:
        """Return whether nobody held a valid lease any more when this was written."""
        return self.lease_expires_at is None or self.lease_expires_at < self.at


async def keep_journal(engine: Engine) -> None:
    """Begin to write changes down. It outlives a restart of PostgreSQL."""
    for statement in _INSTALL:
        await engine.rows(statement)


async def read_journal(engine: Engine) -> list[Change]:
    """Return every change so far, in order."""
    rows = await engine.rows("SELECT * FROM witness.change ORDER BY number")
    return [Change(**{name: row[name] for name in Change.__dataclass_fields__}) for row in rows]
