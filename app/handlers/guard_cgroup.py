"""The cgroup of one run, as its guard uses it.

Part of the guard (`command_guard.py`): no imports that cost time. Every step may fail for want of
rights or of a controller; then the run goes on with what is left, which the worker has found out
beforehand and reports (`cgroups.py`).
"""

from __future__ import annotations

import os
import time

from app.handlers.guard_processes import ignoring

_REMOVE_SECONDS = 2.0


class RunCgroup:
    """A directory below the worker's, or nothing at all."""

    def __init__(self, path: str | None) -> None:
        self.path = path

    @classmethod
    def make(cls, path: str | None, limits: dict[str, str]) -> RunCgroup:
        """Make the cgroup and set its limits."""
        if path is None:
            return cls(None)
        try:
            os.mkdir(path)
        except OSError:
            return cls(None)
        cgroup = cls(path)
        for name, value in limits.items():
            cgroup.write(name, value)
        return cgroup

    def enter(self) -> None:
        """Move the calling process in; what it starts from now on begins there."""
        if self.path is not None:
            self.write("cgroup.procs", "0")

    def kill(self) -> bool:
        """Kill all that is in it, at once, whoever it belongs to; return whether that was done."""
        return self.path is not None and self.write("cgroup.kill", "1")

    def usage(self) -> dict[str, float]:
        """Return what all processes have used together."""
        if self.path is None:
            return {}
        used: dict[str, float] = {}
        with ignoring(OSError, ValueError):
            used["cpu_seconds"] = self.numbers("cpu.stat")["usage_usec"] / 1e6
        with ignoring(OSError, ValueError):
            used["memory_kb"] = int(self.read("memory.peak")) / 1024
        with ignoring(OSError, ValueError, KeyError):
            used["out_of_memory"] = self.numbers("memory.events")["oom_kill"]
        return used

    def remove(self) -> None:
        """Remove it, and what the run has made below it."""
        if self.path is None:
            return
        give_up_at = time.monotonic() + _REMOVE_SECONDS
        while time.monotonic() < give_up_at:
            for folder, _, _ in os.walk(self.path, topdown=False):
                with ignoring(OSError):
                    os.rmdir(folder)
            if not os.path.exists(self.path):
                return
            # The kernel takes a moment to let go of the dead.
            time.sleep(0.005)

    def write(self, name: str, value: str) -> bool:
        """Write one of its files; return whether that could be done."""
        try:
            with open(f"{self.path}/{name}", "w") as file:
                file.write(value)
        except OSError:
            return False
        return True

    def read(self, name: str) -> str:
        """Read one of its files."""
        with open(f"{self.path}/{name}") as file:
            return file.read()

    def numbers(self, name: str) -> dict[str, int]:
        """Read a file of names and numbers."""
        return {key: int(value) for key, value in map(str.split, self.read(name).splitlines())}
