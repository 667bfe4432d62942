"""End what runs have left whose worker, guard and standby were all killed at once.

A process of a run carries in its environment which worker process has started it. Where that is
gone the process should be, too: whoever looks next on the same machine ends it. Only a run that
takes the mark out of the environment of a process which also leaves its session gets away, and
only where there are no cgroups.
"""

import os
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import structlog

from app.core.clock import elapsed_seconds
from app.handlers.cgroups import started

WORKER_MARK = "TICKWHEEL_WORKER_PROCESS"
_END_SECONDS = 2.0
_log = structlog.get_logger(__name__)


def worker_mark() -> str:
    """Return what names this process, and no other that ever has its number."""
    return _mark_of(os.getpid())


def end_survivors() -> int:
    """Kill until none of them is left; return how many there were."""
    found: set[int] = set()
    give_up_at = elapsed_seconds() + _END_SECONDS
    while (left := _survivors()) and elapsed_seconds() < give_up_at:
        found |= left
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)  # What was killed needs a moment to be gone; nothing tells of it.
    if found:
        _log.warning("commands.survivors_ended", processes=len(found))
    return len(found)


def _survivors() -> set[int]:
    """Return the processes of this machine whose worker is gone, as far as we may know them."""
    survivors = set()
    for entry in Path("/proc").iterdir():
        mark = _carried_by(entry) if entry.name.isdecimal() else None
        if mark is None:
            continue
        namespace, _, worker = mark.rpartition("/")
        pid = worker.partition("-")[0]
        # A number means something only in its own namespace.
        if namespace == _namespace() and pid.isdecimal() and _mark_of(int(pid)) != mark:
            survivors.add(int(entry.name))
    return survivors


def _carried_by(process: Path) -> str | None:
    beginning = f"{WORKER_MARK}=".encode()
    try:
        environment = (process / "environ").read_bytes()
    except OSError:
        return None
    for variable in environment.split(b"\0"):
        if variable.startswith(beginning):
            return variable.removeprefix(beginning).decode("utf-8", "replace")
    return None


def _mark_of(pid: int) -> str:
    return f"{_namespace()}/{pid}-{started(pid)}"


@cache
def _namespace() -> str:
    """Return which processes this one sees, and since which start of the machine."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
