"""Run every test, in parallel: what `make test` does. Arguments go to pytest.

python -m tests.run                     everything
python -m tests.run tests/core -x       some of it
"""

import os
import sys

import pytest

_LEAST_PROCESSES = 2
_MOST_PROCESSES = 4


def main() -> int:
    """Return pytest's exit code."""
    processes = min(max(os.cpu_count() or 1, _LEAST_PROCESSES), _MOST_PROCESSES)
    # A process that runs out of tests takes some from another: a few are much longer than most.
    parallel = ["-n", str(processes), "--dist", "worksteal"]
    return int(pytest.main([*parallel, "-q", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
