"""What the operator of an instance allows its jobs to do.

Deny by default: without options there are no commands, no shell, no private networks and no
functions but the built-in ones. Entry points fill this from the settings and pass it down; it
never comes from the API.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

DEFAULT_LIMITS: Mapping[str, int] = {"files": 1024, "fileSizeMb": 4096}


@dataclass(frozen=True, slots=True)
class HandlerOptions:
    """The instance's rules for its handlers."""

    allow_commands: bool = False
    allow_shell: bool = False
    # None: `nobody` when the worker is root and that user exists, else the worker's own user.
    command_user: str | None = None
    # Variables of the worker that commands may see.
    command_environment: tuple[str, ...] = ("PATH", "LANG", "LC_ALL", "TZ")
    # A cgroup (version 2) below which runs get theirs; None is the worker's own, if it may.
    cgroup: str | None = None
    # Used where a job asks for no limit of its own; keys as in the job's `limits`.
    command_limits: Mapping[str, int] = field(default_factory=lambda: DEFAULT_LIMITS)
    # Between TERM and KILL.
    grace_seconds: float = 5.0
    # Where runs get their directories; None is the system's. `command_user` must be able to enter.
    work_directory: str | None = None
    process_slots: int = 32
    thread_slots: int = 32

    # Networks that HTTP jobs may reach although they are not public, for example 10.1.0.0/16.
    http_allow_networks: tuple[str, ...] = ()
    # Ports on which Tickwheel answers: never reachable on this machine's own addresses.
    own_ports: tuple[int, ...] = ()
    # Ports of its PostgreSQL and Redis: never reachable in a network that was opened.
    store_ports: tuple[int, ...] = ()
    # Certificates trusted besides the system's.
    http_ca_file: str | None = None
    http_connections: int = 1000
    http_log_bytes: int = 64 * 1024
    http_result_bytes: int = 256 * 1024

    # Modules whose `@task` functions may be run: TICKWHEEL_TASKS.
    task_modules: tuple[str, ...] = ()

    def of_project(self, *, shell_allowed: bool) -> "HandlerOptions":
        """Return what is left for a project that has, or has not, the right to shell lines."""
        if shell_allowed or not self.allow_shell:
            return self
        return replace(self, allow_shell=False)
