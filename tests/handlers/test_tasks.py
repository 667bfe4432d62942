"""The public decorator: what a signature becomes, and what is refused at import."""

from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from tests.handlers import sample_tasks
from tickwheel import ParametersRefused, RunContext, Task, registered_tasks, task
from tickwheel.tasks import registered_task


@task(name="tests.limits")
def limits(
    size: Annotated[int, Field(ge=1, le=9, description="How many.")],
    context: RunContext | None = None,
    mode: str = "full",
) -> None:
    """Have limits."""


def found(name: str) -> Task:
    registered = registered_task(name)
    assert registered is not None
    return registered


def test_the_decorated_function_is_still_the_function() -> None:
    assert sample_tasks.add(1, b=3) == 4


def test_a_task_has_its_dotted_name_and_docstring() -> None:
    registered = found("tests.handlers.sample_tasks.add")
    assert registered.doc == "Add two numbers."
    assert registered in registered_tasks()


def test_plain_functions_get_a_process_and_async_ones_run_inline() -> None:
    assert found("tests.handlers.sample_tasks.add").isolation == "process"
    assert found("tests.handlers.sample_tasks.wait_for_ever").isolation == "inline"


def test_the_schema_is_the_signature_without_the_context() -> None:
    schema = found("tests.limits").parameters_schema
    Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["size"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"size", "mode"}
    assert schema["properties"]["size"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "title": "Size",
        "description": "How many.",
    }


@pytest.mark.parametrize("parameters", [{}, {"size": 10}, {"size": 1, "context": 1}])
def test_schema_and_check_refuse_the_same(parameters: dict[str, Any]) -> None:
    registered = found("tests.limits")
    assert not Draft202012Validator(registered.parameters_schema).is_valid(parameters)
    with pytest.raises(ParametersRefused):
        registered.check(parameters)


def test_two_functions_cannot_share_a_name() -> None:
    with pytest.raises(TypeError, match="two functions"):
        task(name="tests.limits")(sample_tasks.add)


def test_a_function_inside_a_function_is_refused() -> None:
    with pytest.raises(TypeError, match="top level"):

        @task
        def inner() -> None: ...


def test_a_plain_function_cannot_be_inline() -> None:
    with pytest.raises(TypeError, match="inline"):
        task(name="tests.plain", isolation="inline")(sample_tasks.add)


def test_parameters_that_cannot_come_by_name_are_refused() -> None:
    with pytest.raises(TypeError, match="by name"):
        task(name="tests.positional")(len)
