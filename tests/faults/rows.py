"""Mark a test as one row of the table of faults.

`python -m tests.faults` runs the marked ones in their long form, one after the other, and prints
what each row is called and which invariants it judges; `make test` runs the quick form of all.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])

NAME = "fault_row"


def row(fault: str, judges: str) -> Callable[[Test], Test]:
    """Name the fault of a test, and the invariants it is judged by."""

    def mark(test: Test) -> Test:
        marked: Test = getattr(pytest.mark, NAME)(fault, judges)(test)
        return marked

    return mark
