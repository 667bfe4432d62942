"""Bounds that a small document could otherwise escape."""

import pytest
from graphql import parse

from app.schema.limits import check_document

_NESTED = """query($n: Int) { runs(first: $n) { nodes { schedule { runs(first: 100) {
    nodes { schedule { runs(first: 100) { nodes { id } } } } } } } } }"""


@pytest.mark.parametrize("size", [100, 1])
def test_lists_inside_lists_are_counted_by_how_long_they_may_be(size: int) -> None:
    """100 x 100 x 100 rows take a dozen tokens; made to pass by counting fields alone."""
    problem = check_document(parse(_NESTED), {"n": size})
    assert problem is not None
    assert "rows" in problem.message


def test_the_longest_list_with_a_short_one_in_each_is_allowed() -> None:
    document = parse("{ schedules(first: 100) { nodes { runs(first: 20) { nodes { id } } } } }")
    assert check_document(document, {}) is None


def test_a_list_without_a_size_counts_with_its_default() -> None:
    document = parse("{ runs { nodes { chained: runs { nodes { a: runs { nodes { id } } } } } } }")
    assert check_document(document, {}) is None
    deeper = "{ runs { nodes { runs { nodes { runs { nodes { runs { nodes { id } } } } } } } } }"
    assert check_document(parse(deeper), {}) is not None
