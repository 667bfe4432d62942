"""The statements that a piece of work executes, and how PostgreSQL plans them.

`recorded` notes each statement as it goes to PostgreSQL. `explain` plans one for the values of its
parameters, `explain_any` as PostgreSQL may come to do after a while: without regard to them.
`explain_analyze` executes one and takes it back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson
from sqlalchemy import event

from app.runtime import Runtime

_ABOUT_ROWS = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")
# A statement as text, with its parameters as $1, $2: only a dynamic one may be planned so.
_PLAN_OF = """
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS json LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || statement INTO plan;
    RETURN plan;
END $$
"""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with `$1`, `$2`, and the values it was executed with."""

    text: str
    parameters: tuple[Any, ...]


@contextmanager
def recorded(runtime: Runtime) -> Iterator[list[Statement]]:
    """Note the statements about rows that are executed in the block."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        if text.lstrip(" \n").startswith(_ABOUT_ROWS) or text.startswith("--"):
            values = parameters[0] if isinstance(parameters, list) else parameters
            statements.append(Statement(text, tuple(values)))

    engine = runtime.database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def explain(connection: asyncpg.Connection, statement: Statement) -> dict[str, Any]:
    """Return the plan of a statement for the values it was executed with."""
    found = await connection.fetchval(
        f"EXPLAIN (FORMAT JSON) {statement.text}", *statement.parameters
    )
    plan: dict[str, Any] = orjson.loads(found)[0]["Plan"]
    return plan


async def explain_any(connection: asyncpg.Connection, statement: Statement) -> dict[str, Any]:
    """Return the plan of a statement whatever its values."""
    await connection.execute("DROP FUNCTION IF EXISTS pg_temp.plan_of")
    await connection.execute(_PLAN_OF)
    found = await connection.fetchval("SELECT pg_temp.plan_of($1)", statement.text)
    plan: dict[str, Any] = orjson.loads(found)[0]["Plan"]
    return plan


async def explain_analyze(
    connection: asyncpg.Connection, statement: Statement, *, timing: bool = True
) -> Sequence[str]:
    """Return the lines of what happened when a statement was executed, and taken back.

    Without `timing` it takes hardly longer than by itself: its parts are not timed.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute("SET LOCAL statement_timeout = 0")
        await connection.execute("SET LOCAL constraint_exclusion = on")
        rows = await connection.fetch(
            f"EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING {timing}) {statement.text}",
            *statement.parameters,
        )
    finally:
        await transaction.rollback()
    return [row[0] for row in rows]


def indexes(plan: dict[str, Any]) -> Iterator[str]:
    """Return the names of the indexes that a plan reads."""
    if "Index Name" in plan:
        yield plan["Index Name"]
    for part in plan.get("Plans", ()):
        yield from indexes(part)


def scans(plan: dict[str, Any], table: str) -> Iterator[str]:
    """Return how a plan comes to the rows of a table: the kinds of its scans."""
    if plan.get("Relation Name") == table and "Scan" in plan["Node Type"]:
        yield plan["Node Type"]
    for part in plan.get("Plans", ()):
        yield from scans(part, table)
