"""Tables that people open elsewhere are what was said, and do nothing by themselves."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from app.core.run_tables import Cell, Format, Table

HEADER = ("id", "error", "seconds")
ROWS: list[tuple[Cell, ...]] = [
    ("run_1", '=HYPERLINK("http://evil")', -1.5),
    ("run_2", "a|b\nc <script>alert(1)</script> \\", None),
    ("run_3", 'say "no", please', 2),
]


def written(format_: Format, rows: list[tuple[Cell, ...]] = ROWS) -> str:
    table = Table(format_, HEADER)
    return table.begin() + "".join(map(table.row, rows)) + table.end()


def test_csv_holds_each_cell_and_no_formula() -> None:
    """Made to fail by writing texts as they are."""
    found = list(csv.reader(io.StringIO(written("csv"))))
    assert found[0] == list(HEADER)
    assert found[1] == ["run_1", '\'=HYPERLINK("http://evil")', "-1.5"]
    assert found[2] == ["run_2", ROWS[1][1], ""]
    assert len(found) == 4


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS])
def test_json_is_an_array_of_objects(rows: list[tuple[Cell, ...]]) -> None:
    assert json.loads(written("json", rows)) == [
        dict(zip(HEADER, row, strict=True)) for row in rows
    ]


def test_markdown_keeps_a_cell_in_its_column() -> None:
    lines = written("markdown").splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert lines[1] == "|---|---|---|"
    assert r"a\|b c &lt;script&gt;" in lines[3]
    assert all(line.replace(r"\|", "").count("|") == 4 for line in lines)


def test_html_shows_what_was_said_and_runs_none_of_it() -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)

    Tags().feed(written("html"))
    assert set(tags) == {"meta", "table", "tr", "th", "td"}
    assert tags.count("td") == 9
