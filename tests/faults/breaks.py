"""Deliberate breaks of the product, each of which the simulation has to notice.

A break takes one safeguard out of one statement (or an index out of the database) for as long as a
block lasts. If no seed breaks a promise then, the simulation would not notice either if somebody
took that safeguard out by mistake.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from sqlalchemy import TextClause, text

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

    with patch("app.store.database.statement", read):
        yield
