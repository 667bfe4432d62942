"""Write a table as CSV, JSON, Markdown or HTML, a row at a time.

What people read in a spreadsheet or a browser was said by programs: a CSV cell never begins a
formula, HTML is escaped, and a Markdown cell stays one cell.
"""

import csv
import io
import json
from collections.abc import Sequence
from html import escape
from typing import Literal

Format = Literal["csv", "json", "markdown", "html"]
Cell = str | int | float | None

CONTENT_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
}
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Table:
    """A table that is written in parts: its beginning, rows as they come, its end."""

    def __init__(self, format_: Format, header: Sequence[str]) -> None:
        self._format = format_
        self._header = header
        self._is_empty = True

    def begin(self) -> str:
        """Return what comes before the first row."""
        match self._format:
            case "csv":
                return _csv_line(self._header)
            case "json":
                return "["
            case "markdown":
                return f"{_markdown_line(self._header)}|{'---|' * len(self._header)}\n"
        return f'<!doctype html>\n<meta charset="utf-8">\n<table>\n{_html_line("th", self._header)}'

    def row(self, cells: Sequence[Cell]) -> str:
        """Return one row."""
        match self._format:
            case "csv":
                return _csv_line(cells)
            case "json":
                between, self._is_empty = "\n" if self._is_empty else ",\n", False
                record = dict(zip(self._header, cells, strict=True))
                return between + json.dumps(record, ensure_ascii=False)
            case "markdown":
                return _markdown_line(cells)
        return _html_line("td", cells)

    def end(self) -> str:
        """Return what comes after the last row."""
        return {"json": "\n]\n", "html": "</table>\n"}.get(self._format, "")


def _csv_line(row: Sequence[Cell]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(map(_harmless, row))
    return line.getvalue()


def _harmless(cell: Cell) -> Cell:
    # A number keeps its sign; only text can be a formula.
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_BEGINS_A_FORMULA) else cell


def _markdown_line(row: Sequence[Cell]) -> str:
    cells = (
        escape(_text(cell), quote=False).replace("\\", "\\\\").replace("|", "\\|") for cell in row
    )
    return f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |\n"


def _html_line(kind: str, row: Sequence[Cell]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(_text(cell))}</{kind}>' for cell in row)}</tr>\n"


def _text(cell: Cell) -> str:
    return "" if cell is None else str(cell)
