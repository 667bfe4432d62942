"""Start many worker processes, and other commands, without each importing everything anew.

Most of what a worker costs in its first second is imports. This process does them once and forks a
worker whenever it is told to: a line of JSON comes in on standard input and names the environment
and the files for all the worker says; lines go out that name the process, and later how it ended.
What is forked then runs `tickwheel worker`, or the command it was given, from its first line to its
last.

It and all its workers end with the process that started it.
"""

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 90.0
_NOTHING = Path(os.devnull)
# What commands import on their way, so that it is there before the fork.
_IMPORTED_BEFORE = (
    "app.cli",
    "app.doctor.checks",
    "app.services.explaining",
    "app.worker.main",
    "tests.faults.tasks",
    "uvloop",
    "websockets.sync.client",
)
_PR_SET_PDEATHSIG = 1


class Nursery:
    """The other end: has workers forked, and hears of their ends on a thread of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        self._born: queue.Queue[int] = queue.Queue()
        self._ends: defaultdict[int, Future[int]] = defaultdict(Future)
        self._listening = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listening.start()

    def launch(
        self,
        environment: Mapping[str, str],
        log: Path,
        *,
        command: Sequence[str] = ("worker",),
        said: Path | None = None,
        heard: Path = _NOTHING,
    ) -> tuple[int, Future[int]]:
        """Fork a worker, or another command of `tickwheel`; return its process id, and what will
        be its exit code, negative for a signal.

        `log` takes what it says, but for its standard output if `said` is given; it reads `heard`.
        """
        assert self._process.stdin is not None
        files = [str(heard), str(said or log), str(log)]
        order = json.dumps(
            {"environment": dict(environment), "command": list(command), "files": files}
        )
        self._process.stdin.write(f"{order}\n".encode())
        self._process.stdin.flush()
        pid = self._born.get(timeout=_PATIENCE_SECONDS)
        return pid, self._ends[pid]

    def close(self) -> None:
        """End it, and with it whatever it has forked."""
        self._process.kill()
        self._process.wait()
        self._listening.join()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if told["what"] == "born":
                self._ends[told["pid"]] = Future()
                self._born.put(told["pid"])
            else:
                self._ends[told["pid"]].set_result(told["code"])


def main() -> None:
    """Import, then fork whenever told to, until standard input ends."""
    for module in _IMPORTED_BEFORE:
        import_module(module)
    _die_with_parent()
    signal.signal(signal.SIGCHLD, lambda *_: _tell_ends())
    for line in sys.stdin:
        order = json.loads(line)
        # Until its birth is told, its end must not be.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if pid == 0:
            _become_command(order)
        _tell({"what": "born", "pid": pid})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})


def _become_command(order: Mapping[str, Any]) -> None:
    from app.cli import main as tickwheel

    _die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os.environ.clear()
    os.environ.update(order["environment"])
    heard, *written = order["files"]
    os.dup2(os.open(heard, os.O_RDONLY), 0)
    for number, path in enumerate(written, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666), number)
    # Of the one that forks: it has begun to read.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv = ["tickwheel", *order["command"]]
    code = 1
    try:
        tickwheel()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Without the parent's own tidying up.
        os._exit(code)


def _tell_ends() -> None:
    """Tell of every worker that has ended since the last signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"what": "ended", "pid": pid, "code": os.waitstatus_to_exitcode(status)})


def _tell(what: Mapping[str, Any]) -> None:
    os.write(1, f"{json.dumps(what)}\n".encode())


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


if __name__ == "__main__":
    main()
