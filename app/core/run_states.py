"""The life of a run: which state may follow which.

    QUEUED → RUNNING → SUCCEEDED | FAILED | TIMED_OUT | CANCELLED | LOST
    RUNNING → QUEUED       for a retry, or after a lost worker
    QUEUED → CANCELLED | SKIPPED | MISSED

SKIPPED and MISSED are also recorded at once. Every change of state in `app.store` is conditional
on the state it leaves.
"""

from app.core.vocabulary import RunState

TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    RunState.QUEUED: frozenset(
        {RunState.RUNNING, RunState.CANCELLED, RunState.SKIPPED, RunState.MISSED}
    ),
    RunState.RUNNING: frozenset(
        {
            RunState.SUCCEEDED,
            RunState.FAILED,
            RunState.TIMED_OUT,
            RunState.CANCELLED,
            RunState.LOST,
            RunState.QUEUED,
        }
    ),
}
"""What may follow; a state that is missing here is final."""

INITIAL = frozenset({RunState.QUEUED, RunState.SKIPPED, RunState.MISSED})
"""How a run may come into being."""

FAILURES = frozenset({RunState.FAILED, RunState.TIMED_OUT, RunState.LOST})
"""Final states that count as a failure of the job."""


def is_final(state: RunState) -> bool:
    """Return whether nothing can follow."""
    return state not in TRANSITIONS


def may_follow(state: RunState, after: RunState) -> bool:
    """Return whether a run may go from `after` to `state`."""
    return state in TRANSITIONS.get(after, frozenset())
