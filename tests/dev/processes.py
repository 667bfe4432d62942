"""Look at real processes, and wait for what they do within a bound."""

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

import psutil

PATIENCE_SECONDS = 30.0
# An account for tests that must not be root.
ORDINARY_UID = 65534

Found = TypeVar("Found")


async def eventually(look: Callable[[], Found]) -> Found:
    """Return what `look` finds as soon as it is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (found := look()):  # noqa: ASYNC110 - another process sends no event
            await asyncio.sleep(0.01)
        return found


def is_alive(pid: int) -> bool:
    """Return whether the process still runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family_of(pid: int) -> list[int]:
    """Return the process and all its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def ordinary_user() -> int:
    """Return the user id of an account that is not root: ours, if we are not."""
    return os.geteuid() or ORDINARY_UID


def become_user() -> None:
    """Become the user that BECOME names, if it does, after everything has been imported.

    The interpreter's own files may be closed to that user, so this codec is loaded before.
    """
    "localhost".encode("idna")
    uid = int(os.environ.get("BECOME") or os.geteuid())
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
