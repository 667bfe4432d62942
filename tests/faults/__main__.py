"""Every row of the table of faults in its long form, and many seeds: what `make faults` does.

A line is printed when a row begins and when it ends, and a summary at the end; the exit code is 1
if a row failed. `--seeds` and `--minutes` bound the simulation.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.rows import NAME

_LONGEST_ROW_SECONDS = 600
_ROOT = Path(__file__).parents[2]


class Rows:
    """Collects the marked tests, without running any."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note each row's name and what it judges."""
        for item in items:
            if mark := item.get_closest_marker(NAME):
                fault, judges = mark.args
                self.found[item.nodeid] = (fault, judges)


def main() -> int:
    """Run all rows, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    given = parser.parse_args()
    rows = Rows()
    if pytest.main(["--collect-only", "-qq", "-p", "no:terminal", "tests/faults"], [rows]) != 0:
        return 1
    commands = {
        f"{fault} ({judges})": [
            *(sys.executable, "-m", "pytest", "-q", "--long", f"--timeout={_LONGEST_ROW_SECONDS}"),
            node,
        ]
        for node, (fault, judges) in rows.found.items()
    }
    commands["seeded simulation (I1 to I8, I11)"] = [
        *(sys.executable, "-m", "tests.faults.simulation"),
        *("--seeds", str(given.seeds), "--minutes", str(given.minutes)),
    ]
    failed = [name for number, name in enumerate(commands, 1) if not _run(number, name, commands)]
    print(
        f"{len(commands) - len(failed)} of {len(commands)} rows held", *failed, sep="\n  failed: "
    )
    return 1 if failed else 0


def _run(number: int, name: str, commands: dict[str, list[str]]) -> bool:
    print(f"[{number}/{len(commands)}] {name} ...", flush=True)
    begun = time.monotonic()
    ended = subprocess.run(commands[name], cwd=_ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    print(f"    {'held' if ended.returncode == 0 else 'FAILED'} in {seconds:.0f} s", flush=True)
    if ended.returncode != 0 or name.startswith("seeded"):
        print(ended.stdout[-8_000:], ended.stderr[-2_000:], flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
