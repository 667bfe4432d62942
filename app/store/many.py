"""Write many new rows by one statement with one parameter.

PostgreSQL takes the rows from a JSON document by the names and types of the table's own columns. An
`INSERT` for each of a thousand rows costs several times as much on both sides, and a trigger that
looks at what a statement wrote would look a thousand times.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import TextClause, text
from sqlmodel import SQLModel

from app.store.database import Transaction


async def insert_many(
    transaction: Transaction, table: type[SQLModel], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, each of which has the same columns; PostgreSQL fills in those they leave out.

    Raises what a plain insert raises, for all of them: none is written then.
    """
    if rows:
        # The driver has a UUID of its own, which orjson does not know.
        document = orjson.dumps(rows, option=orjson.OPT_NON_STR_KEYS, default=str).decode()
        await transaction.execute(_insert(table, tuple(rows[0])), {"rows": document})


@cache
def _insert(table: type[SQLModel], columns: tuple[str, ...]) -> TextClause:
    name = table.__tablename__
    names = ", ".join(f'"{column}"' for column in columns)
    return text(
        f'INSERT INTO "{name}" ({names}) SELECT {names}'  # noqa: S608 - names of our own columns
        f' FROM jsonb_populate_recordset(cast(NULL AS "{name}"), cast(:rows AS jsonb))'
    )
