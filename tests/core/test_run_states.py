"""The life of a run, as a table."""

import pytest

from app.core.run_states import FAILURES, INITIAL, TRANSITIONS, is_final, may_follow
from app.core.vocabulary import RunState

FINAL = {
    RunState.SUCCEEDED,
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.CANCELLED,
    RunState.LOST,
    RunState.SKIPPED,
    RunState.MISSED,
}


@pytest.mark.parametrize("state", RunState)
def test_a_run_ends_in_a_final_state_and_leaves_no_final_state(state: RunState) -> None:
    assert is_final(state) == (state in FINAL)
    if state in FINAL:
        assert not any(may_follow(following, state) for following in RunState)


def test_every_state_can_be_reached_from_how_a_run_may_begin() -> None:
    reached = set(INITIAL)
    while more := {to for state in reached for to in TRANSITIONS.get(state, ())} - reached:
        reached |= more
    assert reached == set(RunState)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (RunState.QUEUED, RunState.RUNNING),
        (RunState.QUEUED, RunState.SKIPPED),
        (RunState.QUEUED, RunState.CANCELLED),
        (RunState.RUNNING, RunState.QUEUED),
        (RunState.RUNNING, RunState.LOST),
    ],
)
def test_what_may_follow(after: RunState, state: RunState) -> None:
    assert may_follow(state, after)


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (RunState.QUEUED, RunState.SUCCEEDED),
        (RunState.RUNNING, RunState.SKIPPED),
        (RunState.RUNNING, RunState.MISSED),
        (RunState.LOST, RunState.QUEUED),
        (RunState.SUCCEEDED, RunState.RUNNING),
    ],
)
def test_what_may_not_follow(after: RunState, state: RunState) -> None:
    assert not may_follow(state, after)


def test_failures_are_final() -> None:
    assert FAILURES < FINAL
