"""Write down what was found: as a table for a person, as JSON or YAML for a program.

Instants are shown in one zone and always with its offset. Colours go to terminals only, and never
when `NO_COLOR` is set. Nothing that came from the server can speak to the terminal: control
characters are shown, not sent.
"""

import json
import os
import sys
import zoneinfo
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from typing import Any

import typer

from app.client.errors import Misused

Record = dict[str, Any]

_COLOURS = {
    typer.colors.GREEN: ("ACTIVE", "SUCCEEDED", "ONLINE", "COMPLETED", "RAN", "ok"),
    typer.colors.CYAN: ("RUNNING", "WILL_RUN"),
    typer.colors.YELLOW: (
        *("PAUSED", "SKIPPED", "MISSED", "CANCELLED", "DRAINING", "EXPIRED", "WARNING", "warn"),
        *("WILL_SKIP", "STOPPED"),
    ),
    typer.colors.RED: ("FAILED", "TIMED_OUT", "LOST", "QUARANTINED", "CRITICAL", "fail"),
}
_COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words}
# C1 controls pass through JSON as they are, and some terminals obey them.
_C1 = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
_GAP = "  "


class Format(StrEnum):
    """How an answer is written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Zone:
    """The zone in which instants are shown."""

    tzinfo: tzinfo

    @classmethod
    def named(cls, name: str) -> "Zone":
        """Return an IANA zone; raise `Misused` for one that does not exist."""
        try:
            return cls(UTC if name == "UTC" else zoneinfo.ZoneInfo(name))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise Misused(
                f"{name[:100]!r} is not a time zone.", "Write it like Europe/Berlin, or UTC."
            ) from None

    def show(self, instant: object) -> str:
        """Return an instant of the API, or a datetime, in this zone and with its offset."""
        if instant is None:
            return ""
        moment = instant if isinstance(instant, datetime) else datetime.fromisoformat(str(instant))
        offset = f"{moment.astimezone(self.tzinfo):%z}"
        return f"{moment.astimezone(self.tzinfo):%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:]}"


def plain(value: object) -> str:
    """Return a value in one line without control characters."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(each if each.isprintable() else _shown(each) for each in text)


def coloured(word: str) -> str:
    """Return a state in its colour, if standard output takes colours."""
    colour = _COLOUR_OF.get(word)
    return word if colour is None or not _takes_colours() else typer.style(word, fg=colour)


def bold(text: str) -> str:
    """Return a heading, emphasised if standard output can."""
    return typer.style(text, bold=True) if _takes_colours() else text


def table_lines(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, least: Sequence[int] = ()
) -> list[str]:
    """Return a table, its columns as wide as what is in them and at least `least`."""
    every = [list(titles), *(list(row) for row in rows)]
    widths = column_widths(every, least)
    heading, *lines = (row_line(cells, widths) for cells in every)
    return [bold(heading), *lines]


def column_widths(rows: Sequence[Sequence[str]], least: Sequence[int] = ()) -> list[int]:
    """Return how wide each column is on a terminal."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [max(pair) for pair in zip(widths, least, strict=True)] if least else widths


def row_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Return one row of a table."""
    from rich.cells import cell_len

    padded = [
        coloured(cell) + " " * (width - cell_len(cell))
        for cell, width in zip(cells, widths, strict=True)
    ]
    return _GAP.join(padded).rstrip()


def structured(value: object, form: Format, *, compact: bool = False) -> str:
    """Return a value as JSON (one line if `compact`) or YAML."""
    if form is Format.YAML:
        import yaml

        prefix = "---\n" if compact else ""
        return prefix + yaml.safe_dump(value, allow_unicode=True, sort_keys=False).rstrip("\n")
    indent = None if compact else 2
    return json.dumps(value, indent=indent, ensure_ascii=False).translate(_C1)


def say(text: str) -> None:
    """Write a line to standard output, at once: somebody may be waiting for it."""
    typer.echo(text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line to standard error: what is worth knowing and is not the answer."""
    typer.echo(text, err=True)


def fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return names and values, one below the other; those without a value are left out."""
    given = [(name, value) for name, value in pairs if value]
    width = max(len(name) for name, _ in given)
    return [f"{bold(name.ljust(width))}{_GAP}{coloured(value)}" for name, value in given]


def _takes_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _shown(character: str) -> str:
    return " " if character in "\n\t\r" else f"\\x{ord(character):02x}"
