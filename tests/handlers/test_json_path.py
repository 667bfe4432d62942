"""Paths into the JSON of an answer."""

from typing import Any

import pytest

from app.handlers.json_path import PathInvalid, at_path, read_path

VALUE = {"items": [{"id": 7, "the id": 8, "a.b": 9}], "ok": True, "0": "zero"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", VALUE),
        ("$", VALUE),
        ("ok", True),
        ("$.ok", True),
        ("items.0.id", 7),
        ("$.items[0].id", 7),
        ("items[0]['the id']", 8),
        ('$["items"][0]["a.b"]', 9),
        ("0", "zero"),
    ],
)
def test_a_path_leads_to_one_place(path: str, expected: Any) -> None:
    assert at_path(VALUE, read_path(path)) == expected


@pytest.mark.parametrize("path", ["items.1.id", "ok.x", "items.id", "nope"])
def test_a_path_that_leads_nowhere_is_told(path: str) -> None:
    with pytest.raises(LookupError, match="it has no"):
        at_path(VALUE, read_path(path))


@pytest.mark.parametrize("path", ["a..b", "a[", "a[*]", "$.a[?(@.b)]", "a b", "a[0]b", "a['b]"])
def test_what_names_no_one_place_is_refused(path: str) -> None:
    with pytest.raises(PathInvalid):
        read_path(path)
