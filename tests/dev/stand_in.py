"""`tickwheel dev` with small programs in the place of the API and the worker.

They write who they are into DATA_DIR/told, a line when they start and one when they are asked to
stop. The worker also says whether PostgreSQL is still there at that moment. `/readyz` is answered
from inside the supervisor's own process, so that no program needs more than a shell.
"""

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from alembic.script import ScriptDirectory

from app.config import load_settings
from app.core.errors import TickwheelError
from app.dev.development import develop
from app.dev.programs import Program
from app.logs import configure_logs
from app.store.migrate import alembic_config
from tests.dev.processes import become_user

# Blocks in the shell itself (opening a pipe nobody writes to), so there is no second process.
_SCRIPT = """
trap '{on_term}' TERM
echo {name} started $$ >> {told}
while :; do read -r _ < {pipe}; done
"""


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def stand_ins(environment: Mapping[str, str]) -> Sequence[Program]:
    """Return a worker and an API that do nothing, and answer for the API."""
    settings = load_settings(environment)
    server = HTTPServer((settings.host, settings.port), _Ready)
    Thread(target=server.serve_forever, daemon=True).start()
    directory = settings.data_dir.absolute()
    told = shlex.quote(str(directory / "told"))
    socket = shlex.quote(str(directory / "postgres/run/.s.PGSQL.5432"))
    stubborn = os.environ.get("STUBBORN")
    leave = f"echo api stopped >> {told}; exit 0"
    drain = f"[ -S {socket} ] && echo worker stopped with postgres >> {told}; exit 0"
    return (
        _program("worker", f"echo worker asked >> {told}" if stubborn else drain, directory),
        _program("api", leave, directory),
    )


def _program(name: str, on_term: str, directory: Path) -> Program:
    pipe = directory / f"{name}.pipe"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    script = _SCRIPT.format(
        on_term=on_term,
        name=name,
        told=shlex.quote(str(directory / "told")),
        pipe=shlex.quote(str(pipe)),
    )
    return Program(name, ("/bin/sh", "-c", script), dict(os.environ), stop_wait_seconds=60.0)


def main() -> None:
    """Run as the user asked for, until a signal comes."""
    # The interpreter's own files may be closed to that user; this loads what is loaded late.
    ScriptDirectory.from_config(alembic_config()).get_heads()
    become_user()
    settings = load_settings(os.environ)
    configure_logs(settings, process="dev")
    try:
        asyncio.run(develop(settings, os.environ, programs=stand_ins))
    except TickwheelError as error:
        raise SystemExit(error.message) from None


if __name__ == "__main__":
    main()
