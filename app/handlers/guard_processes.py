"""Find the processes below a guard, stop them, and signal them.

Part of the guard (`command_guard.py`): no imports that cost time.
"""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType


class ignoring:  # noqa: N801 - reads as a statement, like `contextlib.suppress`
    """Go on after one of these exceptions."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self.kinds = kinds

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        return kind is not None and issubclass(kind, self.kinds)


def freeze(root: int) -> set[int]:
    """Stop every descendant, until a look finds no new one; return them.

    Killing one by one loses against a program that forks faster than we look.
    """
    frozen: set[int] = set()
    while new := descendants(root) - frozen:
        send(signal.SIGSTOP, new)
        frozen |= new
    return frozen


def unborn(pids: set[int]) -> dict[int, str]:
    """Return those that a shell has just forked and that are not yet the program they will be.

    Until it calls exec, such a copy has the shell's own handler, which swallows a TERM.
    """
    found = {}
    now = time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")
    for pid in pids:
        with ignoring(OSError):
            fields = stat_fields(str(pid))
            program = program_of(pid)
            is_new = now - int(fields[19]) < 0.5 * os.sysconf("SC_CLK_TCK")
            if is_new and program is not None and program == program_of(int(fields[1])):
                found[pid] = program
    return found


def program_of(pid: int) -> str | None:
    """Return which program a process executes; None if it is gone or not ours to ask."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def descendants(root: int) -> set[int]:
    """Return every living process below `root`."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with ignoring(OSError):
                state, parent = state_and_parent(entry)
                if state != b"Z":
                    children.setdefault(parent, []).append(int(entry))
    found: set[int] = set()
    unseen = [root]
    while unseen:
        below = children.get(unseen.pop(), [])
        found.update(below)
        unseen += below
    return found


def state_and_parent(pid: str) -> tuple[bytes, int]:
    """Read a process's state and parent."""
    fields = stat_fields(pid)
    return fields[0], int(fields[1])


def stat_fields(pid: str) -> list[bytes]:
    """Read what follows a process's name, which is in parentheses and may contain anything."""
    with open(f"/proc/{pid}/stat", "rb") as stat:
        return stat.read().rpartition(b")")[2].split()


def send(number: int, pids: set[int]) -> set[int]:
    """Send a signal to each; return those we may not signal."""
    refused = set()
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            refused.add(pid)
    return refused
