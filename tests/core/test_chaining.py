"""What the end of a run starts by chains, and which chains may be drawn."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.core.chaining import (
    MOST_CHAINED,
    CannotFollow,
    ChainedRun,
    Following,
    longest_way,
    path_back,
    plan_chain,
    what_follows,
)
from app.core.vocabulary import ChainOn, RunReason, RunState


@pytest.mark.parametrize(
    ("state", "on_success", "on_failure", "on_any"),
    [
        (RunState.SUCCEEDED, "START", "NOTHING", "START"),
        (RunState.FAILED, "SKIP", "START", "START"),
        (RunState.TIMED_OUT, "SKIP", "START", "START"),
        (RunState.LOST, "SKIP", "START", "START"),
        (RunState.CANCELLED, "NOTHING", "NOTHING", "NOTHING"),
        (RunState.SKIPPED, "NOTHING", "NOTHING", "NOTHING"),
        (RunState.MISSED, "NOTHING", "NOTHING", "NOTHING"),
        (RunState.QUEUED, "NOTHING", "NOTHING", "NOTHING"),
        (RunState.RUNNING, "NOTHING", "NOTHING", "NOTHING"),
    ],
)
def test_an_end_starts_what_asks_for_it(
    state: RunState, on_success: str, on_failure: str, on_any: str
) -> None:
    assert what_follows(ChainOn.SUCCEEDED, state) is Following[on_success]
    assert what_follows(ChainOn.FAILED, state) is Following[on_failure]
    assert what_follows(ChainOn.ANY, state) is Following[on_any]


def plan(
    items: Sequence[Any] = (None,),
    *,
    state: RunState = RunState.SUCCEEDED,
    depth: int = 0,
    limit: int = 100,
) -> list[ChainedRun]:
    """Plan a chain whose items are the parameters, but for a bad one."""

    def parameters(item: Any) -> Mapping[str, Any]:
        if item == "bad":
            raise CannotFollow("It is bad.")
        return {"item": item}

    return plan_chain(
        ChainOn.SUCCEEDED,
        state,
        depth=depth,
        items=lambda: items,
        limit=limit,
        parameters=parameters,
    )


def test_each_item_becomes_a_run_and_what_is_beyond_the_limit_is_told() -> None:
    first, second, rest = plan(["a", "b", "c", "d"], limit=2)
    assert first == ChainedRun(0, {"item": "a"})
    assert second == ChainedRun(1, {"item": "b"})
    assert (rest.item, rest.state, rest.reason) == (2, RunState.SKIPPED, RunReason.LIMIT)
    assert rest.message is not None
    assert "the last 2 do not run" in rest.message
    assert plan([]) == []
    assert len(plan(["a", "b"], limit=2)) == 2


def test_one_bad_item_does_not_keep_the_others_from_running() -> None:
    assert [run.reason for run in plan(["a", "bad", "c"])] == [None, RunReason.REJECTED, None]


def test_a_failure_is_recorded_once_whatever_the_list_holds() -> None:
    (skipped,) = plan(["a", "b"], state=RunState.FAILED)
    assert (skipped.state, skipped.reason) == (RunState.SKIPPED, RunReason.DEPENDENCY)


def test_runs_do_not_follow_one_another_for_ever() -> None:
    (last,) = plan(depth=MOST_CHAINED - 1)
    assert last.state is RunState.QUEUED
    (refused,) = plan(depth=MOST_CHAINED)
    assert (refused.state, refused.reason) == (RunState.SKIPPED, RunReason.LIMIT)


def test_a_circle_is_found_however_long_it_is() -> None:
    links = [("a", "b"), ("b", "c"), ("b", "x"), ("x", "y")]
    assert path_back(links, "c", "a") == ["a", "b", "c"]
    assert path_back(links, "a", "c") is None
    assert path_back(links, "a", "a") == ["a"]
    assert path_back([("b", "b2"), ("b2", "b")], "a", "b") is None


def test_the_longest_way_takes_the_new_link() -> None:
    links = [("a", "b"), ("a", "c"), ("c", "b"), ("d", "e"), ("e", "f"), ("d", "f")]
    assert longest_way(links, "b", "d") == 5
    assert longest_way(links, "x", "f") == 1
    assert longest_way([], "a", "b") == 1
