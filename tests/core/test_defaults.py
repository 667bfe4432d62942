"""What a project may say of its defaults, and what comes of it."""

from datetime import timedelta
from typing import Any

import pytest

from app.core.defaults import Defaults, check_project_defaults
from app.core.errors import Invalid, InvalidInput
from app.core.retry import RetryPolicy
from app.core.vocabulary import Backoff, FailureReason

INSTANCE = Defaults(
    timezone="UTC",
    timeout=timedelta(hours=1),
    retry=RetryPolicy(max_attempts=2),
    catch_up_window=timedelta(minutes=15),
)


def test_project_replaces_what_it_names_and_keeps_the_rest() -> None:
    found = INSTANCE.of_project(
        {
            "timezone": "Europe/Berlin",
            "timeout": "PT5M",
            "catchUpWindow": "PT0S",
            "concurrencyLimit": 3,
            "retry": {"backoff": "FIXED", "initialDelay": "PT1S", "retryOn": ["TIMEOUT"]},
        }
    )
    assert found == Defaults(
        timezone="Europe/Berlin",
        timeout=timedelta(minutes=5),
        retry=RetryPolicy(
            max_attempts=2,
            backoff=Backoff.FIXED,
            initial_delay=timedelta(seconds=1),
            retry_on=(FailureReason.TIMEOUT,),
        ),
        catch_up_window=timedelta(0),
        concurrency_limit=3,
    )


def test_project_that_says_nothing_has_the_defaults_of_the_instance() -> None:
    assert INSTANCE.of_project({}) == INSTANCE


@pytest.mark.parametrize(
    ("given", "path", "said"),
    [
        ({"timeZone": "UTC"}, ("timeZone",), "no such default"),
        ({"timezone": "Mars/Olympus"}, ("timezone",), "not a known time zone"),
        ({"timeout": "5 minutes"}, ("timeout",), "not a duration"),
        ({"timeout": "PT0S"}, ("timeout",), "between PT1S and P30D"),
        ({"timeout": 300}, ("timeout",), "a text such as PT5M"),
        ({"catchUpWindow": "P900D"}, ("catchUpWindow",), "between PT0S and P366D"),
        ({"concurrencyLimit": 0}, ("concurrencyLimit",), "greater than or equal to 1"),
        ({"concurrencyLimit": "3"}, ("concurrencyLimit",), "valid integer"),
        ({"retry": {"attempts": 3}}, ("retry", "attempts"), "no such default"),
        ({"retry": {"maxAttempts": 101}}, ("retry", "maxAttempts"), "less than or equal to 100"),
        ({"retry": {"backoff": "NEVER"}}, ("retry", "backoff"), "EXPONENTIAL"),
        ({"retry": {"initialDelay": "PT2H", "maxDelay": "PT1H"}}, ("retry",), "not shorter"),
    ],
)
def test_wrong_default_is_refused_with_its_path(
    given: dict[str, Any], path: tuple[str, ...], said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_project_defaults(given)
    [error] = refused.value.errors
    assert error.path == path
    assert said in error.message


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_project_defaults({"timezone": "Mars", "timeout": "soon", "more": 1})
    assert {error.path for error in refused.value.errors} == {
        ("timezone",),
        ("timeout",),
        ("more",),
    }


def test_defaults_are_an_object() -> None:
    with pytest.raises(Invalid, match="an object"):
        check_project_defaults([])
