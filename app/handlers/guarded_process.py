"""Run a program so that it can really be ended: the worker's half of `command_guard.py`.

`run_guarded` returns, or lets a cancellation through, only after the guard has confirmed that no
process of the run is alive. Should the guard itself be killed, and its standby too, the run's
processes are found by the run's mark in their environment and killed from here.

Output is handed over as it arrives. Nothing here blocks the event loop.
"""

import asyncio
import contextlib
import marshal
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.handlers import command_guard
from app.handlers.cgroups import remove_run
from app.handlers.confinement import NO_LIMITS, RunLimits
from app.handlers.execution import KILL_NOW
from app.handlers.survivors import WORKER_MARK, worker_mark

_ROOT = str(Path(command_guard.__file__).parents[2])
# Without the folders of installed packages: what it imports is its own and Python's.
_GUARD = (
    f"import sys; sys.path.append({_ROOT!r}); from app.handlers.command_guard import main; main()"
)
_CHUNK = 64 * 1024
_PIPES_CLOSE_SECONDS = 5.0

# In the environment of every process of a run; by these two its remains are found.
RUN_MARK = "TICKWHEEL_RUN_ID"
ATTEMPT_MARK = "TICKWHEEL_ATTEMPT"


@dataclass(frozen=True, slots=True)
class Program:
    """What to start, and within which bounds."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: str
    fresh_directory: str | None = None
    user: tuple[int, int] | None = None
    limits: RunLimits = NO_LIMITS
    grace_seconds: float = 5.0
    stdin: bytes | None = None


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who hears what the program says. `channel` is a third stream: TICKWHEEL_CHANNEL names it."""

    stdout: Callable[[bytes], None]
    stderr: Callable[[bytes], None]
    channel: Callable[[bytes], None] | None = None


@dataclass(frozen=True, slots=True)
class ProcessEnd:
    """How the program ended. All its processes are dead unless `immortal` says otherwise."""

    status: int | None = None
    error: str | None = None
    left_behind: int = 0
    immortal: int = 0
    cpu_seconds: float = 0.0
    memory_kb: float = 0
    # How many processes the kernel has ended because the run had used up its memory.
    out_of_memory: int = 0
    timed_out: bool = False

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell shows it: 128 and the number of the signal that killed it."""
        if self.status is None:
            return None
        code = os.waitstatus_to_exitcode(self.status)
        return code if code >= 0 else 128 - code

    @property
    def killed_by(self) -> signal.Signals | None:
        """The signal that ended the program."""
        if self.status is None or not os.WIFSIGNALED(self.status):
            return None
        return signal.Signals(os.WTERMSIG(self.status))


async def run_guarded(
    program: Program, listeners: Listeners, *, timeout_seconds: float
) -> ProcessEnd:
    """Run the program to its end, its time-out, or our cancellation; all are confirmed."""
    process = _GuardedProcess(program, listeners)
    work = asyncio.create_task(process.run())
    timed_out = False
    try:
        async with asyncio.timeout(timeout_seconds):
            await asyncio.shield(work)
    except TimeoutError:
        timed_out = True
        process.end(command_guard.END_GENTLY)
    except asyncio.CancelledError as cancellation:
        at_once = KILL_NOW in cancellation.args
        process.end(command_guard.KILL if at_once else command_guard.END_GENTLY)
        await _until_done(work, process)
        raise
    end = await _until_done(work, process)
    return ProcessEnd(**end, timed_out=timed_out)


async def _until_done(
    work: "asyncio.Task[dict[str, Any]]", process: "_GuardedProcess"
) -> dict[str, Any]:
    """Wait for the confirmation, however often we are cancelled; a second one means hurry."""
    cancellation = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            cancellation = error
            process.end(command_guard.KILL)
    if cancellation is not None:
        raise cancellation
    return work.result()


@dataclass(slots=True)
class _GuardedProcess:
    program: Program
    listeners: Listeners
    _control: socket.socket | None = None
    _orders: bytes = b""
    _ready: bool = False
    _pipes: list[asyncio.ReadTransport] = field(default_factory=list)

    def end(self, order: bytes) -> None:
        """Tell the guard to end everything; remembered if it is not listening yet."""
        self._orders += order
        if self._ready:
            self._send_orders()

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, contextlib.ExitStack() as stack:
            ours.setblocking(False)
            stack.callback(theirs.close)
            channel, channel_write = self._open_channel(stack)
            try:
                guard = await self._start_guard(theirs.fileno(), channel_write)
            except OSError:
                if channel is not None:
                    os.close(channel)
                raise
            stack.close()
            self._control = ours
            pumps = asyncio.gather(
                self._feed(guard),
                _pump(guard.stdout, self.listeners.stdout),
                _pump(guard.stderr, self.listeners.stderr),
                self._pump_channel(channel),
            )
            keep = () if channel_write is None else (channel_write,)
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(ours, command_guard.encode(self._message(keep)))
            self._ready = True
            self._send_orders()
            report = await _read_report(loop, ours)
            if report is None:
                await asyncio.to_thread(clean_up_after_guard, self.program)
                report = {"error": "its guard process was killed"}
            await self._settle(pumps)
            await guard.wait()
        return report

    def _message(self, keep: tuple[int, ...]) -> dict[str, Any]:
        program = self.program
        return {
            "argv": list(program.argv),
            "environment": {**program.environment, WORKER_MARK: worker_mark()}
            | ({"TICKWHEEL_CHANNEL": str(keep[0])} if keep else {}),
            "directory": program.directory,
            "fresh_directory": program.fresh_directory,
            "user": program.user,
            "limits": program.limits.resources,
            "cgroup": program.limits.cgroup,
            "cgroup_limits": dict(program.limits.cgroup_files),
            "grace_seconds": program.grace_seconds,
            "keep": keep,
        }

    def _open_channel(self, stack: contextlib.ExitStack) -> tuple[int | None, int | None]:
        if self.listeners.channel is None:
            return None, None
        reader, writer = os.pipe()
        stack.callback(os.close, writer)
        return reader, writer

    async def _start_guard(self, control: int, channel: int | None) -> asyncio.subprocess.Process:
        # The guard gets no environment of the worker's, so nothing there can change what it does;
        # only what a Python outside the usual places needs to find its own libraries.
        environment = {k: v for k in ("LD_LIBRARY_PATH",) if (v := os.environ.get(k))}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", _GUARD, str(control)),
            stdin=asyncio.subprocess.DEVNULL
            if self.program.stdin is None
            else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(control,) if channel is None else (control, channel),
            start_new_session=True,
            env=environment,
            cwd="/",
        )

    def _send_orders(self) -> None:
        if self._control is not None and self._orders:
            with contextlib.suppress(OSError):
                self._control.send(self._orders)
            self._orders = b""

    async def _feed(self, guard: asyncio.subprocess.Process) -> None:
        if guard.stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            guard.stdin.write(self.program.stdin or b"")
            await guard.stdin.drain()
        guard.stdin.close()

    async def _pump_channel(self, channel: int | None) -> None:
        if channel is None or self.listeners.channel is None:
            return
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(channel, "rb", 0)
        )
        try:
            await _pump(reader, self.listeners.channel)
        finally:
            transport.close()

    async def _settle(self, pumps: "asyncio.Future[Any]") -> None:
        # All writers are dead, so the streams end by themselves, unless a process outside the
        # run was handed one of them.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pumps, _PIPES_CLOSE_SECONDS)


async def _pump(reader: asyncio.StreamReader | None, listener: Callable[[bytes], None]) -> None:
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        listener(chunk)
        # A program that prints without end must not have the event loop to itself.
        await asyncio.sleep(0)


async def _read_report(
    loop: asyncio.AbstractEventLoop, control: socket.socket
) -> dict[str, Any] | None:
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await loop.sock_recv(control, _CHUNK):
            data += chunk
    if len(data) < 4 or len(data) - 4 < int.from_bytes(data[:4], "big"):
        return None
    report: dict[str, Any] = marshal.loads(data[4:])  # noqa: S302 - from our own guard
    return report


def clean_up_after_guard(program: Program) -> None:
    """Do what a guard that was killed could not: end its run's processes, remove its directory."""
    kill_marked(program.environment)
    if program.fresh_directory is not None:
        shutil.rmtree(program.fresh_directory, ignore_errors=True)
    if program.limits.cgroup is not None:
        remove_run(program.limits.cgroup)


def kill_marked(environment: Mapping[str, str]) -> None:
    """Kill every process that carries this run's mark, until there is none.

    Only for when the guard is gone, and with it the tree that tells whose child is whose.
    """
    import psutil

    mark = {name: environment.get(name) for name in (RUN_MARK, ATTEMPT_MARK)}
    while remains := [process for process in psutil.process_iter() if _carries(process, mark)]:
        for process in remains:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(remains, timeout=0.2)


def _carries(process: Any, mark: Mapping[str, str | None]) -> bool:
    import psutil

    try:
        environment = process.environ()
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
    except (psutil.Error, OSError):
        return False
    return all(value is not None and environment.get(name) == value for name, value in mark.items())
