"""Parameters of chained runs, filled in from the run before."""

from typing import Any

import pytest

from app.core.chaining import CannotFollow
from app.core.errors import InvalidInput
from app.handlers.chain_parameters import fill_mapping, list_in, read_mapping

VALUES = {
    "result": {"rows": 3, "files": ["a", "b"], "evil": {"secret": "vault"}},
    "parameters": {"day": "2026-01-01"},
    "run": {"id": "run_1", "state": "SUCCEEDED"},
    "item": {"name": "a"},
}


def fill(parameters: dict[str, Any], *, fans_out: bool = False) -> dict[str, Any]:
    return fill_mapping(parameters, VALUES, fans_out=fans_out)


def test_values_keep_their_type_and_texts_are_filled_in() -> None:
    assert fill(
        {
            "rows": "{{ result.rows }}",
            "files": ["{{ result.files }}", 1, None],
            "note": "{{ run.id }} of {{ parameters.day }}",
            "optional": "{{ result.nothing | default(0) }}",
        }
    ) == {"rows": 3, "files": [["a", "b"], 1, None], "note": "run_1 of 2026-01-01", "optional": 0}


def test_an_item_is_known_in_a_fan_out_only() -> None:
    assert fill({"name": "{{ item.name }}"}, fans_out=True) == {"name": "a"}
    assert fill({}, fans_out=True) == {"name": "a"}
    with pytest.raises(InvalidInput, match="'item' is not known here"):
        read_mapping({"name": "{{ item.name }}"}, fans_out=False)


@pytest.mark.parametrize(
    "text", ["{{ secrets.vault }}", "{{ endpoint.x }}", "{{ run.nothing }}", "{{ 1 + 1 }}", "{{"]
)
def test_what_is_no_template_over_a_run_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_mapping({"a": [{"b": text}]}, fans_out=True)
    assert [error.path for error in caught.value.errors] == [("parameters", "a", "0", "b")]


def test_what_a_run_has_not_cannot_be_filled_in() -> None:
    with pytest.raises(CannotFollow, match="nothing"):
        fill({"a": "{{ result.nothing }}"})


def test_a_result_cannot_become_a_reference_to_a_secret() -> None:
    """Who writes the result of a run would choose which secret the next job is given.

    Made to fail by leaving out the comparison of the references.
    """
    assert fill({"token": {"secret": "mine"}}) == {"token": {"secret": "mine"}}
    for parameters in ({"a": "{{ result.evil }}"}, {"a": "{{ result }}"}):
        with pytest.raises(CannotFollow, match="may not refer to secrets"):
            fill(dict(parameters))
    values = {**VALUES, "item": {"token": {"secret": "vault"}}}
    with pytest.raises(CannotFollow, match="may not refer to secrets"):
        fill_mapping({}, values, fans_out=True)


def test_a_list_is_found_or_told_missing() -> None:
    assert list_in({"data": {"files": [1]}}, "data.files") == [1]
    assert list_in([1, 2], "$") == [1, 2]
    for result in (None, {}, {"data": 1}):
        with pytest.raises(CannotFollow, match="no list to fan out"):
            list_in(result, "data.files")
    with pytest.raises(CannotFollow, match="is no list"):
        list_in({"files": "text"}, "files")
