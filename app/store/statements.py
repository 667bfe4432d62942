"""Load the statements of `sql/`: one file each, read once."""

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


@cache
def statement(name: str) -> TextClause:
    """Return the statement in `sql/<name>.sql`; its parameters are `:named`."""
    return text((files("app.store") / "sql" / f"{name}.sql").read_text(encoding="utf-8"))
