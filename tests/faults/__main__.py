"""Every row of the table of faults in its long form, and many seeds: what `make faults` does.

A line is printed when a row begins and when it ends, and a summary at the end; the exit code is 1
if a row failed or had no turn. `--seeds` and `--minutes` bound the simulation, `--total-minutes`
all of it: what runs then is ended.
"""

import argparse
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.rows import NAME

_LONGEST_ROW_SECONDS = 600
_TIDYING_SECONDS = 30
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a row."""

    what: str
    seconds: float | None = None

    @property
    def has_held(self) -> bool:
        """Return whether everything was as promised."""
        return self.what == "held"

    def __str__(self) -> str:
        return self.what if self.seconds is None else f"{self.what} in {self.seconds:.0f} s"


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
    parser.add_argument("--total-minutes", type=float, default=60.0)
    given = parser.parse_args()
    ends_at = time.monotonic() + given.total_minutes * 60
    rows = Rows()
    with redirect_stdout(io.StringIO()) as told:
        collected = pytest.main(["--collect-only", "-qq", str(Path(__file__).parent)], [rows])
    if collected != 0:
        print(told.getvalue())
        return 1
    commands = {
        f"{fault} ({judges})": [
            *(sys.executable, "-m", "pytest", "-q", "--long", f"--timeout={_LONGEST_ROW_SECONDS}"),
            node,
        ]
        for node, (fault, judges) in rows.found.items()
    }
    commands["seeded simulation (I1 to I8, I11 to I13)"] = [
        *(sys.executable, "-m", "tests.faults.simulation"),
        *("--seeds", str(given.seeds), "--minutes", str(given.minutes)),
    ]
    results = [
        _run(number, name, commands, ends_at=ends_at) for number, name in enumerate(commands, 1)
    ]
    for result, name in zip(results, commands, strict=True):
        print(f"{result!s:>16}  {name}")
    held = sum(result.has_held for result in results)
    print(f"{held} of {len(commands)} rows held")
    return 0 if held == len(commands) else 1


def _run(number: int, name: str, commands: dict[str, list[str]], *, ends_at: float) -> Result:
    print(f"[{number}/{len(commands)}] {name} ...", flush=True)
    begun = time.monotonic()
    if begun >= ends_at:
        print("    no time left", flush=True)
        return Result("no time left")
    # A group of its own: what a row has started ends with it.
    process = subprocess.Popen(
        commands[name],
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told = process.communicate(timeout=ends_at - begun)
    except subprocess.TimeoutExpired:
        told = _end(process)
    except KeyboardInterrupt:
        _end(process)
        raise
    seconds = time.monotonic() - begun
    result = Result("held" if process.returncode == 0 else "FAILED", seconds)
    print(f"    {result}", flush=True)
    if process.returncode != 0 or name.startswith("seeded"):
        print(told[0][-8_000:], told[1][-2_000:], flush=True)
    return result


def _end(process: subprocess.Popen[str]) -> tuple[str, str]:
    """End a row whose time is up, with patience for what it has to tidy up."""
    process.send_signal(signal.SIGINT)
    try:
        return process.communicate(timeout=_TIDYING_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()


if __name__ == "__main__":
    sys.exit(main())
