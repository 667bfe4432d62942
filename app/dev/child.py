"""A child process that cannot outlive us.

On Linux the kernel sends it a signal the moment we die, however we die (PR_SET_PDEATHSIG), so a
killed supervisor leaves nothing behind. It runs in a session of its own: Ctrl-C in the terminal
reaches us alone, and we decide in which order the children stop.

The kernel's promise is about the *thread* that started the child, so start children from a thread
that lives as long as the process: the main one.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import IO

from app.dev.accounts import Account

_PR_SET_PDEATHSIG = 1
# Loaded here, because a forked child must not load libraries: a lock it needs may be held for ever.
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class StopStep:
    """A signal, and how long to wait before the next, harsher one."""

    signal: Signals
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Child:
    """One running (or ended) child."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Return its process id; it may have ended."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Return whether it has not been seen to end."""
        return self.process.returncode is None

    async def exited(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        return await self.process.wait()

    def send(self, signal: Signals) -> None:
        """Signal it, if it is still there."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal)

    async def stop(self, *steps: StopStep) -> int:
        """Take each step until it ends, and KILL it after the last."""
        for step in steps:
            self.send(step.signal)
            with suppress(TimeoutError):
                return await asyncio.wait_for(self.exited(), step.wait_seconds)
        self.send(SIGKILL)
        return await self.exited()


async def start_child(
    command: Sequence[str | Path],
    *,
    death_signal: Signals = SIGKILL,
    account: Account | None = None,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | int | None = None,
) -> Child:
    """Start `command`, as `account` where given, with both outputs going to `output`.

    `death_signal` is what it receives when we die.
    """
    identity = account.subprocess_identity() if account else {}
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT if output is not None else None,
        cwd=directory,
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent(os.getpid(), death_signal),
        **identity,
    )
    return Child(process)


def _die_with_parent(parent: int, death_signal: Signals) -> Callable[[], None]:
    """Return what the child does between fork and exec, after it has changed its user.

    A change of user clears the setting, which is why neither the parent nor a wrapper can do it.
    """

    def arm() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # We died before the line above took effect.
            os.kill(os.getpid(), SIGKILL)

    return arm
