"""What jobs say outside, whatever the tables say: a line at the start and at the end of each try.

    run id, attempt, occurrence, pid, start|end, time

A line is appended whole (O_APPEND, one write), so that any number of processes may write at once
and a process that is killed has either written it or not. The time is the machine's monotonic
clock, which is the same in all processes and which no fault moves; the reader puts it on the wall
clock.
"""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from tickwheel import RunContext

START, END = "start", "end"


class Line(NamedTuple):
    """One line; `at` is in seconds since the epoch."""

    run_id: UUID
    attempt: int
    occurrence: datetime
    pid: int
    what: str
    at: float


def bear_witness(path: str, context: RunContext, what: str) -> None:
    """Append a line about the attempt this process is making."""
    occurrence = context.scheduled_for.isoformat()
    fields = (context.run_id, context.attempt, occurrence, os.getpid(), what, time.monotonic())
    file = os.open(path, os.O_APPEND | os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(file, (" ".join(map(str, fields)) + "\n").encode())
    finally:
        os.close(file)


def read_lines(path: Path) -> list[Line]:
    """Return what has been said so far."""
    if not path.exists():
        return []
    ahead = time.time() - time.monotonic()
    lines = []
    # Without what follows the last line's end: somebody may be writing it.
    for text in path.read_text().rpartition("\n")[0].splitlines():
        run_id, attempt, occurrence, pid, what, at = text.split()
        lines.append(
            Line(
                UUID(run_id.removeprefix("run_")),
                int(attempt),
                datetime.fromisoformat(occurrence),
                int(pid),
                what,
                float(at) + ahead,
            )
        )
    return lines
