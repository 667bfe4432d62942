"""How the processes of runs are confined on this worker: limits, cgroup, user.

The limits of each process (rlimits) need no rights and are always set. Where the worker can have
cgroups, memory, number of processes and processors are limited for all processes of a run together
instead. Which of it is in force is part of the worker's row and of every run's log.
"""

import math
import os
import pwd
import resource
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.handlers.cgroups import Cgroups, open_cgroups
from app.handlers.config_fields import Fields
from app.handlers.execution import Refused
from app.handlers.options import HandlerOptions

_MB = 1024 * 1024
_MOST = 10_000_000
_MOST_PROCESSORS = 1024

# Setting of `limits` → (resource limit, unit).
_RESOURCES: Mapping[str, tuple[int, int]] = {
    "cpuSeconds": (resource.RLIMIT_CPU, 1),
    "memoryMb": (resource.RLIMIT_AS, _MB),
    "processes": (resource.RLIMIT_NPROC, 1),
    "files": (resource.RLIMIT_NOFILE, 1),
    "fileSizeMb": (resource.RLIMIT_FSIZE, _MB),
}


def read_limits(fields: Fields) -> tuple[Mapping[str, float], Fields]:
    """Read a job's `limits`; the second value is for `Fields.finish`."""
    inner = fields.inner("limits")
    limits: dict[str, float] = {
        name: value
        for name in _RESOURCES
        if (value := inner.whole_number(name, minimum=1, maximum=_MOST)) is not None
    }
    cpus = inner.number("cpus", minimum=0.05, maximum=_MOST_PROCESSORS)
    return limits if cpus is None else {**limits, "cpus": cpus}, inner


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run is confined by, as the kernel takes it."""

    resources: list[tuple[int, tuple[int, int]]]
    cgroup: str | None
    cgroup_files: Mapping[str, str]


NO_LIMITS: Final = RunLimits([], None, {})


@dataclass(frozen=True, slots=True)
class Confinement:
    """What this worker can and does confine by."""

    options: HandlerOptions
    user: tuple[int, int] | None
    cgroups: Cgroups | None

    @classmethod
    def open(cls, options: HandlerOptions) -> "Confinement":
        """Find out. Raises Refused when the operator's user cannot be had."""
        user = command_user(options.command_user) if options.allow_commands else None
        return cls(options, user, open_cgroups(options.cgroup))

    def close(self) -> None:
        """Give back what was made."""
        if self.cgroups is not None:
            self.cgroups.close()

    def limits_of(
        self, own: Mapping[str, float], *, run_id: UUID, timeout_seconds: float
    ) -> RunLimits:
        """Return what confines a run whose job asks for `own` limits."""
        # The time-out on every processor: what is left if worker and guard are both gone.
        cpu_seconds = math.ceil(timeout_seconds) * (os.cpu_count() or 1)
        limits = {"cpuSeconds": cpu_seconds, **self.options.command_limits, **own}
        if self.cgroups is None:
            return RunLimits(_resources(limits), None, {})
        alone = {name: value for name, value in limits.items() if not self.cgroups.counts(name)}
        path = f"{self.cgroups.path}/{run_id.hex}-{secrets.token_hex(4)}"
        return RunLimits(_resources(alone), path, self.cgroups.limits(limits))

    def in_words(self) -> str:
        """Return what is in force, for a run's log."""
        if self.cgroups is None:
            return "limits of each process"
        listed = ", ".join(self.cgroups.controllers)
        return f"a cgroup{f' ({listed})' if listed else ''} and limits of each process"

    def as_json(self) -> dict[str, Any]:
        """Return what is in force, for the worker's row."""
        return {
            "commands": self.options.allow_commands,
            "cgroup": self.cgroups is not None,
            "controllers": [] if self.cgroups is None else list(self.cgroups.controllers),
            "user": pwd.getpwuid(os.geteuid() if self.user is None else self.user[0]).pw_name
            if self.options.allow_commands
            else None,
        }


def command_user(name: str | None) -> tuple[int, int] | None:
    """Return the user and group commands run as; None means the worker's own.

    Raises Refused if a user was asked for that cannot be had: running as root instead would be
    the opposite of what was meant.
    """
    if os.geteuid() != 0:
        if name is not None and pwd.getpwuid(os.geteuid()).pw_name != name:
            raise Refused(f"Only a worker that is root can run commands as {name}.")
        return None
    try:
        entry = pwd.getpwnam(name or "nobody")
    except KeyError:
        if name is None:
            return None
        raise Refused(f"There is no user {name} on this machine.") from None
    return None if entry.pw_uid == 0 else (entry.pw_uid, entry.pw_gid)


def _resources(limits: Mapping[str, float]) -> list[tuple[int, tuple[int, int]]]:
    """Return the limits of each process; there are no core dumps."""
    found = {resource.RLIMIT_CORE: (0, 0)}
    for name, value in limits.items():
        if name not in _RESOURCES:
            continue
        limit, unit = _RESOURCES[name]
        # A second between the soft limit, which says why (SIGXCPU), and the hard one.
        slack = 1 if limit == resource.RLIMIT_CPU else 0
        found[limit] = (int(value) * unit, int(value) * unit + slack)
    return list(found.items())
