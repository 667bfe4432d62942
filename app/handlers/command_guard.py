"""The small process that stands between a worker and a run's processes.

It is started by `guarded_process.py`, imports next to nothing so that it starts in milliseconds,
and is single-threaded, so that what must happen between fork and exec can happen safely here and
never in the worker.

worker ──control socket──▶ standby ──fork──▶ guard ──fork, setsid, limits, exec──▶ command

Promises:
- Every descendant of the command stays below the guard: as child subreaper it adopts orphans, so
  `setsid` and double forks do not escape. Where there is a cgroup, they are in that, too.
- The guard reports only when none of them is alive, and ends then. What the command leaves behind
  is ended with it.
- The worker's end of the socket closing (a worker killed with SIGKILL, too) kills everything.
- The guard dying kills the command itself (PDEATHSIG); the rest falls to the standby, a subreaper
  too, which ends it. The standby dying makes the guard end everything. So of worker, standby and
  guard any two may be killed at once. What all three leave, a worker finds (`survivors.py`).

Leaves to the worker: what to start, time-outs, output. The two speak marshal over the socket
(four bytes of length, then a dictionary): both are the same interpreter, and json alone would
double the time it takes to start.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import resource
import select
import signal
import sys
import time

from app.handlers.guard_cgroup import RunCgroup
from app.handlers.guard_processes import freeze, ignoring, program_of, send, unborn

# `typing` and `contextlib` would each add milliseconds to the start of every command.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

END_GENTLY = b"T"
KILL = b"K"


def main() -> None:
    """Start the command the worker describes, watch it, end everything, report."""
    control = int(sys.argv[1])
    os.set_inheritable(control, False)
    spec = read_message(control)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    ignore_signals()
    cgroup = RunCgroup.make(spec["cgroup"], spec["cgroup_limits"])
    standby, standby_write = os.pipe()
    guard = os.fork()
    report: dict[str, Any] | None
    if guard == 0:
        # Whoever kills the process group of one of the two does not hit the other.
        os.setsid()
        os.close(standby_write)
        report = be_guard(Guard(control, standby, spec, cgroup))
    else:
        os.close(standby)
        report = stand_by(guard, Guard(control, standby_write, spec, cgroup))
    if report is not None:
        with ignoring(OSError):
            write_message(control, report)
    os._exit(0)


def be_guard(guard: Guard) -> dict[str, Any]:
    """Do the work, and return the report about it."""
    try:
        return guard.run()
    except BaseException as error:  # Whatever it was, the worker must not wait for ever.
        guard.end_descendants()
        return {"error": f"the guard failed: {error!r}"}


def stand_by(pid: int, guard: Guard) -> dict[str, Any] | None:
    """Outlive the guard; if it is killed, inherit its processes, end them, and report instead."""
    guard.let_go_of_streams()
    _, status = os.waitpid(pid, 0)
    if status == 0:
        return None
    guard.listen_to_signals()
    guard.end_descendants()
    remove_directory(guard.spec["fresh_directory"])
    guard.cgroup.remove()
    return {"error": "its guard process was killed"}


def ignore_signals() -> None:
    """Ignore those that are meant for the command.

    Both end when the work is done, not before: a TERM to the whole service group must not orphan
    what they guard.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class Guard:
    """One command and all its descendants."""

    def __init__(self, control: int, partner: int, spec: dict[str, Any], cgroup: RunCgroup) -> None:
        self.control = control
        # A pipe to the other of the two, which closes when that is gone.
        self.partner = partner
        self.spec = spec
        self.command = 0
        self.status: int | None = None
        self.usage: dict[str, float] = {}
        self.grace_is_over = False
        self.is_alone = False
        self.unborn: dict[int, str] = {}
        self.told_at = 0.0
        self.cgroup = cgroup
        self.wakeup, self.wakeup_write = os.pipe()

    def run(self) -> dict[str, Any]:
        """Live the whole life of the command and return the report about it."""
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.listen_to_signals()
        directory = self.make_directory()
        try:
            error = self.start()
            left_behind, immortal = 0, 0
            if not error:
                self.watch()
                left_behind, immortal = self.end_descendants()
            if self.is_alone:
                error = "its guard process was killed"
            self.usage |= self.cgroup.usage()
        finally:
            remove_directory(directory)
            self.cgroup.remove()
        return {
            "error": error,
            "status": self.status,
            "left_behind": left_behind,
            "immortal": immortal,
            **self.usage,
        }

    def listen_to_signals(self) -> None:
        """Make SIGCHLD and SIGALRM wake the loop."""
        for fd in (self.wakeup, self.wakeup_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self.wakeup_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGALRM, self.note_grace_is_over)

    def note_grace_is_over(self, *_: object) -> None:
        """Remember that TERM had its time."""
        self.grace_is_over = True

    def make_directory(self) -> str | None:
        """Make the run's own directory, if it is to have one."""
        directory: str | None = self.spec["fresh_directory"]
        if directory is not None:
            os.mkdir(directory, 0o700)
            if self.spec["user"] is not None:
                os.chown(directory, *self.spec["user"])
        return directory

    def start(self) -> str | None:
        """Fork and exec the command; return why that failed, if it did."""
        failure, failure_write = os.pipe()
        guard = os.getpid()
        self.command = os.fork()
        if self.command == 0:
            become_command(self.spec, self.cgroup, failure_write, guard)
        os.close(failure_write)
        self.let_go_of_streams()
        with os.fdopen(failure, "rb") as reader:
            error = reader.read().decode("utf-8", "replace")
        if error:
            os.waitpid(self.command, 0)
        return error or None

    def let_go_of_streams(self) -> None:
        """Close what belongs to the command, so that its end is seen as the end of the stream."""
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        for fd in (nowhere, *self.spec["keep"]):
            os.close(fd)

    def watch(self) -> None:
        """Wait for the command to end, or to be ended."""
        poll = select.poll()
        for fd in (self.control, self.wakeup, self.partner):
            poll.register(fd, select.POLLIN)
        ending = False
        while True:
            any_left = self.reap()
            if self.grace_is_over or not (any_left if ending else self.status is None):
                return
            ready = dict(poll.poll(20 if self.unborn else None))
            self.tell_the_newborn()
            if self.wakeup in ready:
                drain(self.wakeup)
            if self.partner in ready:
                self.is_alone = True
                return
            if self.control in ready:
                order = self.next_order()
                if not order or KILL in order:
                    return
                ending = True
                self.ask_to_end()

    def next_order(self) -> bytes:
        """Read what the worker wants; empty when it is gone."""
        try:
            return os.read(self.control, 16)
        except ConnectionError:
            return b""

    def ask_to_end(self) -> None:
        """Send TERM to all, and set the time they have.

        They stand still meanwhile: a shell that is about to start a program would else wait for
        it, unaware that it was not told, and never come to its own trap.
        """
        alive = freeze(os.getpid())
        self.unborn = unborn(alive)
        self.told_at = time.monotonic()
        send(signal.SIGTERM, alive)
        send(signal.SIGCONT, alive)
        signal.setitimer(signal.ITIMER_REAL, max(self.spec["grace_seconds"], 0.001))

    def tell_the_newborn(self) -> None:
        """Send TERM to those that have become programs since they swallowed it."""
        if time.monotonic() - self.told_at > 0.5:
            self.unborn = {}
        for pid, shell in list(self.unborn.items()):
            program = program_of(pid)
            if program != shell:
                del self.unborn[pid]
                if program is not None:
                    send(signal.SIGTERM, {pid})

    def reap(self) -> bool:
        """Collect the dead; return whether any child is left."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.command:
                self.status = status
                # The memory is at least the guard's own: the kernel keeps the peak across exec.
                self.usage = {
                    "cpu_seconds": usage.ru_utime + usage.ru_stime,
                    "memory_kb": usage.ru_maxrss,
                }

    def end_descendants(self) -> tuple[int, int]:
        """Kill until none is left; return how many outlived the command and cannot be killed.

        A child that nobody has waited for is one of ours by definition of a subreaper, so an
        empty wait is proof that all are dead, without a look at /proc.
        """
        if not self.reap():
            return 0, 0
        found: set[int] = set()
        while self.reap():
            alive = freeze(os.getpid())
            found |= alive
            refused = send(signal.SIGKILL, alive)
            if self.cgroup.kill():
                refused = set()
            if alive and refused == alive:
                # Set-user-id programs of somebody else; not ours to kill.
                return len(found), len(refused)
            select.select([self.wakeup], [], [], 0.02)
            drain(self.wakeup)
        found.discard(self.command)
        return len(found), 0


def become_command(spec: dict[str, Any], cgroup: RunCgroup, failure: int, guard: int) -> None:
    """In the forked child: take on session, cgroup, limits, user and directory, then exec."""
    try:
        os.setsid()
        cgroup.enter()
        restore_signals()
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("500")  # Short of memory, the kernel takes the job before its guard.
        for limit, bounds in spec["limits"]:
            lower_limit(limit, bounds)
        if spec["user"] is not None:
            become_user(*spec["user"])
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        # After the change of user, which clears it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(127)
        os.chdir(spec["directory"])
        for fd in spec["keep"]:
            os.set_inheritable(fd, True)
        execute(spec["argv"], spec["environment"])
    except BaseException as error:
        # Root's worker runs commands as somebody else, who may not reach what root can.
        who = f" (as user {os.geteuid()})" if spec["user"] is not None else ""
        os.write(failure, f"{error}{who}".encode("utf-8", "replace"))
    finally:
        os._exit(127)


def execute(argv: list[str], environment: dict[str, str]) -> None:
    """Replace this process, looking the program up in the command's own PATH.

    Not `os.execvpe`: that imports a module, which the new user may not be able to read.
    """
    program = argv[0]
    folders = [""] if "/" in program else environment.get("PATH", os.defpath).split(":")
    failure = OSError(f"there is no {program} in PATH")
    for folder in folders:
        try:
            os.execve(os.path.join(folder, program), argv, environment)  # noqa: S606 - no shell
        except (FileNotFoundError, NotADirectoryError) as error:
            failure = error if "/" in program else failure
        except PermissionError as error:
            failure = error
    raise failure


def restore_signals() -> None:
    """Give the command the signals every program expects; Python ignores some."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            with ignoring(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def lower_limit(limit: int, bounds: tuple[int, int]) -> None:
    """Set a resource limit, but never above what the worker itself may have."""
    _, ceiling = resource.getrlimit(limit)
    if ceiling != resource.RLIM_INFINITY:
        bounds = (min(bounds[0], ceiling), min(bounds[1], ceiling))
    resource.setrlimit(limit, bounds)


def become_user(user: int, group: int) -> None:
    """Drop to an unprivileged user, for good."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


def remove_directory(directory: str | None) -> None:
    """Remove the run's directory and what is in it."""
    if directory is None:
        return
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        import shutil

        shutil.rmtree(directory, ignore_errors=True)


def drain(fd: int) -> None:
    """Read and forget what is in a non-blocking pipe."""
    with ignoring(BlockingIOError):
        os.read(fd, 4096)


def prctl(option: int, value: int) -> None:
    """Call prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def read_message(fd: int) -> dict[str, Any]:
    """Read one message."""
    length = int.from_bytes(read_exactly(fd, 4), "big")
    message: dict[str, Any] = marshal.loads(read_exactly(fd, length))  # noqa: S302 - from our parent
    return message


def write_message(fd: int, message: dict[str, Any]) -> None:
    """Write one message."""
    data = encode(message)
    while data:
        data = data[os.write(fd, data) :]


def encode(message: dict[str, Any]) -> bytes:
    """Return the bytes of one message."""
    body = marshal.dumps(message)
    return len(body).to_bytes(4, "big") + body


def read_exactly(fd: int, length: int) -> bytes:
    """Read that many bytes, or end: a worker that is gone before it said what to do."""
    data = b""
    while len(data) < length:
        chunk = os.read(fd, length - len(data))
        if not chunk:
            os._exit(1)
        data += chunk
    return data
