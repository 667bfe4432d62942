"""Find out whether runs can have cgroups of their own here, and which limits these can set.

A cgroup (version 2) counts and ends all processes of a run together, whatever they do to get away.
It needs a directory that the worker may write: the worker's own cgroup, when that was delegated to
it (systemd: `Delegate=yes`), or one that the operator names. Without it there remain the limits
of each process and the guard, which need no rights at all.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import structlog

_WANTED = ("cpu", "memory", "pids")
_PREFIX = "tickwheel-"
_PERIOD_MICROSECONDS = 100_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where the runs of one worker get their cgroups, and which of their limits count."""

    path: str
    controllers: tuple[str, ...]

    def limits(self, limits: Mapping[str, float]) -> dict[str, str]:
        """Return what to write for a job's `limits`."""
        files: dict[str, str] = {}
        if "memory" in self.controllers and "memoryMb" in limits:
            files["memory.max"] = str(int(limits["memoryMb"]) * 1024 * 1024)
            files["memory.swap.max"] = "0"
            # One that is too big takes the whole run along, instead of leaving half of it.
            files["memory.oom.group"] = "1"
        if "pids" in self.controllers and "processes" in limits:
            files["pids.max"] = str(int(limits["processes"]))
        if "cpu" in self.controllers and "cpus" in limits:
            quota = int(limits["cpus"] * _PERIOD_MICROSECONDS)
            files["cpu.max"] = f"{quota} {_PERIOD_MICROSECONDS}"
        return files

    def counts(self, limit: str) -> bool:
        """Return whether a limit is one of all processes together, not of each."""
        controller = {"memoryMb": "memory", "processes": "pids", "cpus": "cpu"}.get(limit)
        return controller in self.controllers

    def close(self) -> None:
        """Remove the worker's directory; its runs have removed theirs."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def open_cgroups(directory: str | None) -> Cgroups | None:
    """Make a directory for this worker's runs below `directory`, or below its own cgroup.

    Returns None where that cannot be had.
    """
    parent = Path(directory) if directory is not None else own_cgroup()
    if parent is None or not (parent / "cgroup.procs").exists():
        return None
    try:
        end_abandoned(parent)
        _enable(parent)
        path = parent / f"{_PREFIX}{os.getpid()}-{started(os.getpid())}-{token_hex(4)}"
        path.mkdir()
        controllers = _enable(path)
    except OSError as error:
        _log.info("commands.without_cgroup", directory=str(parent), error=str(error))
        return None
    return Cgroups(str(path), controllers)


def own_cgroup() -> Path | None:
    """Return this process's directory in the hierarchy of version 2."""
    mount = next(
        (
            fields[4]
            for line in _lines("/proc/self/mountinfo")
            if " - cgroup2 " in line and (fields := line.split())
        ),
        None,
    )
    path = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), None)
    if mount is None or path is None:
        return None
    return Path(mount + path)


def end_abandoned(parent: Path) -> None:
    """End what workers have left that were killed together with their guards."""
    for directory in parent.glob(f"{_PREFIX}*-*-*"):
        pid, since, _ = directory.name.removeprefix(_PREFIX).split("-")
        if pid.isdecimal() and started(int(pid)) != since:
            for folder, _, _ in os.walk(directory, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder, "cgroup.kill").write_text("1")
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


def _enable(directory: Path) -> tuple[str, ...]:
    """Hand down the controllers there are; return those that runs below can be limited by."""
    offered = (directory / "cgroup.controllers").read_text().split()
    control = directory / "cgroup.subtree_control"
    wanted = [name for name in _WANTED if name in offered]
    missing = [name for name in wanted if name not in control.read_text().split()]
    if missing:
        _leave(directory)
    for name in missing:
        with contextlib.suppress(OSError):
            control.write_text(f"+{name}")
    handed_down = control.read_text().split()
    return tuple(name for name in wanted if name in handed_down)


def _leave(directory: Path) -> None:
    """Move this process one down where it is alone: controllers need a directory without any."""
    members = (directory / "cgroup.procs").read_text().split()
    if members == [str(os.getpid())]:
        leaf = directory / "worker"
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))


def remove_run(path: str) -> None:
    """End and remove the cgroup of a run whose guard was killed."""
    with contextlib.suppress(OSError):
        Path(path, "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):
        os.rmdir(path)


def started(pid: int) -> str:
    """Return when a process began, which tells it from another that has its number; '': it is dead.

    One that nobody has waited for yet is dead, too.
    """
    fields = "".join(_lines(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in "ZX" else ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
