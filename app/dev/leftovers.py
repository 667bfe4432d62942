"""What a crash leaves behind: pid files, sockets, and perhaps the service itself.

A process is ours to stop only if its pid stands in the service's pid file *and* it works in the
service's data directory. Pids are reused and names prove nothing.
"""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from app.dev.child import StopStep

_LAST_WAIT_SECONDS = 10.0


async def stop_leftover(pid_file: Path, directory: Path, *steps: StopStep) -> None:
    """Stop the service a crash left running in `directory`, then remove its pid file.

    Does nothing, and looks at no process, when there is no pid file: the last stop was clean.
    """
    pid = _read_pid(pid_file)
    if pid is None:
        return
    await asyncio.to_thread(_clear, pid, pid_file, directory, steps)


def _clear(pid: int, pid_file: Path, directory: Path, steps: tuple[StopStep, ...]) -> None:
    process = _process_at_work(pid, directory)
    if process is not None:
        _stop(process, steps)
    # PostgreSQL's back ends end by themselves when their parent is gone, but a moment later.
    psutil.wait_procs(list(_at_work(directory)), timeout=_LAST_WAIT_SECONDS)
    pid_file.unlink(missing_ok=True)


def _read_pid(pid_file: Path) -> int | None:
    with suppress(FileNotFoundError):
        first, *_ = [*pid_file.read_text().split(), ""]
        return int(first) if first.isdigit() else 0
    return None


def _process_at_work(pid: int, directory: Path) -> psutil.Process | None:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if _works_in(process, directory):
            return process
    return None


def _at_work(directory: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            # Somebody's shell may stand in the directory; a service has no terminal.
            if process.terminal() is None and _works_in(process, directory):
                yield process


def _works_in(process: psutil.Process, directory: Path) -> bool:
    return Path(process.cwd()) == directory.resolve() and process.status() != psutil.STATUS_ZOMBIE


def _stop(process: psutil.Process, steps: tuple[StopStep, ...]) -> None:
    for step in steps:
        with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            process.send_signal(step.signal)
            process.wait(step.wait_seconds)
        if not process.is_running():
            return
    process.kill()
