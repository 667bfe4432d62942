"""From `tickwheel dev` to ready, with dependencies installed: a new data directory, then again.

Ready is when the banner is printed, after `/readyz` of the API has answered. Of the first start,
most is PostgreSQL's own `initdb`; its share is printed beside it.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from app.core.clock import elapsed_seconds
from app.dev.postgres import EmbeddedPostgres
from bench.figures import Row, print_table

ROUNDS = 3
_SAID_LAST = b"the data stays"


def main() -> None:
    """Print a line for each start."""
    rounds = [_round() for _ in range(ROUNDS)]
    names = ("first start", "second start", "PostgreSQL alone, first", "PostgreSQL alone, second")
    rows: list[Row] = [[name, median(each[at] for each in rounds)] for at, name in enumerate(names)]
    print_table(["", "seconds"], rows)
    print(f"\n  medians of {ROUNDS} rounds")


def _round() -> tuple[float, float, float, float]:
    directory = Path(tempfile.mkdtemp(prefix="tickwheel-bench-", dir="/tmp"))
    try:
        ours = [_ready_seconds(directory / "data") for _ in range(2)]
        theirs = [asyncio.run(_postgres_seconds(directory / "postgres")) for _ in range(2)]
        return ours[0], ours[1], theirs[0], theirs[1]
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ready_seconds(directory: Path) -> float:
    began = elapsed_seconds()
    command = [sys.executable, "-m", "app", "dev"]
    with subprocess.Popen(
        command, env=_environment(directory), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if _SAID_LAST in line:
                break
        took = elapsed_seconds() - began
        process.terminate()
    return took


async def _postgres_seconds(directory: Path) -> float:
    server = EmbeddedPostgres(directory)
    began = elapsed_seconds()
    await server.start()
    took = elapsed_seconds() - began
    await server.stop()
    return took


def _environment(directory: Path) -> dict[str, str]:
    with (
        socket.create_server(("127.0.0.1", 0)) as api,
        socket.create_server(("127.0.0.1", 0)) as worker,
    ):
        ports = api.getsockname()[1], worker.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "TICKWHEEL_DATA_DIR": str(directory),
        "TICKWHEEL_PORT": str(ports[0]),
        "TICKWHEEL_WORKER_PORT": str(ports[1]),
    }
