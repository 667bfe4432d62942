"""What must hold of the records of a schedule that is due each second, and of what was told."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta

from tests.journey.visitor import Record

_ORDER = ("QUEUED", "RUNNING", "SUCCEEDED")
_SECOND = timedelta(seconds=1)


def instants_of(run: Record) -> list[datetime]:
    """Return every instant that a record accounts for; a stretch has both ends inclusive."""
    first = datetime.fromisoformat(run["scheduledFor"])
    last = datetime.fromisoformat(run["rangeEnd"] or run["scheduledFor"])
    return [first + _SECOND * step for step in range(int((last - first) / _SECOND) + 1)]


def assert_each_second_has_one_record(runs: Sequence[Record]) -> None:
    """Assert that from the first record to the last no second is missing and none is double."""
    accounted = sorted(instant for run in runs for instant in instants_of(run))
    expected = [accounted[0] + _SECOND * step for step in range(len(accounted))]
    assert accounted == expected
    assert accounted[0].microsecond == 0


def assert_told_in_order(changes: Sequence[Record]) -> None:
    """Assert that each run's states came in order, each at most once, and ended well."""
    states: dict[str, list[str]] = defaultdict(list)
    revisions: dict[str, list[int]] = defaultdict(list)
    for run in changes:
        states[run["id"]].append(run["state"])
        revisions[run["id"]].append(run["revision"])
    for run_id, seen in states.items():
        assert seen == [state for state in _ORDER if state in seen], (run_id, seen)
        assert revisions[run_id] == sorted(set(revisions[run_id]))
