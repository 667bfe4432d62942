"""Deliberate breaks of the product, each of which the simulation has to notice.

A break takes one safeguard out of one statement, an index out of the database or an order out of
the code for as long as a block lasts. If no seed breaks a promise then, the simulation would not
notice either if somebody
took that safeguard out by mistake.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import TextClause, text

from app.runtime import Runtime
from app.services import firing, recording
from app.store.database import Transaction
from app.store.firing import RunRow, insert_runs
from app.store.statements import statement


@dataclass(frozen=True, slots=True)
class Break:
    """Replacements in statements, as (statement, what is there, what is put there instead)."""

    name: str
    replaced: tuple[tuple[str, str, str], ...]
    # Invariants of which one at least must be seen to break.
    noticed_by: tuple[str, ...]
    # SQL to run before.
    prepare: str | None = None
    # Code that is replaced as well.
    otherwise: Callable[[], AbstractContextManager[Any]] = nullcontext


@contextmanager
def _inserting_later() -> Iterator[None]:
    """Let a tick commit that it has moved the cursors, and insert its runs after that."""
    left: ContextVar[list[RunRow]] = ContextVar("left")
    fire_together = firing._fire_together

    async def put_off(_: Transaction, rows: Sequence[RunRow]) -> set[UUID]:
        left.get().extend(rows)
        return {row.id for row in rows}

    async def fire(runtime: Runtime, *given: Any) -> Any:
        rows: list[RunRow] = []
        left.set(rows)
        fired = await fire_together(runtime, *given)
        async with runtime.database.transaction() as transaction:
            await insert_runs(transaction, rows)
        return fired

    with (
        patch.object(recording, "insert_runs", put_off),
        patch.object(firing, "_fire_together", fire),
    ):
        yield


BREAKS = (
    Break(
        "the end of an attempt is written without its fencing token",
        (("finish_runs", "AND run.fencing_token = given.fencing_token", ""),),
        ("I3", "I5", "I7", "I11"),
    ),
    Break(
        "tickers do not lock what they claim, and no index refuses a duplicate",
        (
            ("claim_due_schedules", "FOR NO KEY UPDATE OF schedule SKIP LOCKED", ""),
            (
                "insert_runs",
                "ON CONFLICT (schedule_id, scheduled_for)"
                " WHERE cause IN ('SCHEDULE', 'CATCH_UP') DO NOTHING",
                "",
            ),
        ),
        ("I1",),
        prepare="DROP INDEX run_occurrence",
    ),
    Break(
        "the sweep takes runs whose lease still stands",
        (("lock_lost_runs", "AND run.lease_expires_at < now()", ""),),
        ("I3", "I5", "I7", "I11"),
    ),
    Break(
        "nobody sweeps",
        (("lock_lost_runs", "WHERE run.state = 'RUNNING'", "WHERE false"),),
        ("I4",),
    ),
    Break(
        "runs of a job are not counted against its limit",
        (("count_running_of_jobs", "AND run.state = 'RUNNING'", "AND false"),),
        ("I6",),
    ),
    Break(
        "a tick moves the cursor a second too far",
        (
            (
                "advance_schedules",
                "greatest(schedule.cursor_at, advanced.cursor_at)",
                "advanced.cursor_at + interval '1 second'",
            ),
        ),
        ("I1",),
    ),
    Break(
        "an end starts only the first of a list",
        (("insert_chained_runs", "ON CONFLICT", "WHERE chain_item = 0 ON CONFLICT"),),
        ("I12",),
    ),
    Break(
        "a tick moves the cursor in another transaction than it inserts the runs",
        (),
        ("I1",),
        otherwise=_inserting_later,
    ),
    Break(
        "a pause or an edit leaves what is prepared",
        (("withdraw_prepared_runs", "AND run.state = 'QUEUED'", "AND false"),),
        ("I13",),
    ),
)


@contextmanager
def broken_by(chosen: Break) -> Iterator[None]:
    """Take the safeguard out. Raises AssertionError where it is not to be found any more."""
    texts: dict[str, str] = {}
    for name, there, instead in chosen.replaced:
        before = texts.get(name, statement(name).text)
        assert there in before, f"{name}.sql does not say any more: {there}"
        texts[name] = before.replace(there, instead)
    broken = {name: text(changed) for name, changed in texts.items()}

    def read(name: str) -> TextClause:
        # A clause has no truth value.
        return broken[name] if name in broken else statement(name)

    with patch("app.store.database.statement", read), chosen.otherwise():
        yield
