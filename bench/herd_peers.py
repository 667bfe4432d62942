"""A herd beside others, on the same machine in the same run: APScheduler 3.11 and arq's own cron.

    python -m bench.herd_peers [jobs]

Each has so many jobs that are due at one instant and do nothing. APScheduler keeps them in a
PostgreSQL like ours, arq in a Redis like ours; neither records what became of them. APScheduler
comes from the package index into an environment that is removed again; arq is the one that we use.
Both are given what makes them quick: as many slots as a worker of ours, and no misfire. Lateness is
by each one's own clock, which is this machine's.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from app.dev.postgres import EmbeddedPostgres
from app.dev.redis import EmbeddedRedis
from bench.figures import Row, medians, percentile, print_table
from bench.herd import run_herd
from bench.instance import running_instance
from bench.machine import print_header

JOBS = 1_000
ROUNDS = 3
SLOTS = 200
_PATIENCE_SECONDS = 180.0
_PACKAGES = ("apscheduler==3.11.*", "sqlalchemy==2.0.*", "psycopg[binary]==3.*")

# Both print, as JSON, how many seconds late each job was.
_APSCHEDULER = """
import json, logging, sys, threading, time
from datetime import datetime, timedelta, timezone
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

late, ended, due = [], threading.Event(), None
jobs, slots, url = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]

def start():
    late.append(time.time() - due.timestamp())
    if len(late) == jobs:
        ended.set()

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=url)},
        executors={"default": ThreadPoolExecutor(slots)},
        job_defaults={"misfire_grace_time": None}, timezone=timezone.utc)
    scheduler.start(paused=True)
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=5 + jobs // 200)
    for number in range(jobs):
        scheduler.add_job(start, "date", run_date=due, id=str(number))
    scheduler.resume()
    ended.wait(170)
    print(json.dumps(late))
    scheduler.shutdown(wait=False)
"""
_ARQ = """
import asyncio, json, sys, time
from datetime import datetime, timedelta, timezone
from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker

jobs, slots, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=5)
late = []

async def start(ctx):
    late.append(time.time() - due.timestamp())

async def main():
    at = {"month": due.month, "day": due.day, "hour": due.hour, "minute": due.minute}
    crons = [cron(start, name=str(n), second=due.second, microsecond=0, **at) for n in range(jobs)]
    worker = Worker(cron_jobs=crons, max_jobs=slots, poll_delay=0.05, queue_read_limit=10 * jobs,
                    redis_settings=RedisSettings(unix_socket_path=path), handle_signals=False,
                    keep_result=0, log_results=False, timezone=timezone.utc)
    working = asyncio.create_task(worker.async_run())
    async with asyncio.timeout(170):
        while len(late) < jobs:
            await asyncio.sleep(0.05)
    print(json.dumps(late))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await worker.close()

asyncio.run(main())
"""


def main() -> None:
    """Print a line for each."""
    asyncio.run(_compare(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS))


async def _compare(jobs: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tickwheel-bench-", dir="/tmp") as directory:
        place = Path(directory)
        rounds = {
            "Tickwheel": await _ours(jobs),
            "APScheduler, PostgreSQL": await _apscheduler(place, jobs),
            "arq cron, Redis": await _arq(place, jobs),
        }
    ours = medians(rounds["Tickwheel"])
    rows: list[Row] = []
    for name, each in rounds.items():
        figures = medians(each)
        rows.append([name, *figures.values(), figures["p99 ms"] / ours["p99 ms"]])
    print_table([f"{jobs:,} jobs", *ours, "p99 ratio"], rows)
    print(f"\n  medians of {ROUNDS} rounds; ours record each run, the others do not")


async def _ours(jobs: int) -> list[dict[str, float]]:
    async with running_instance() as instance:
        await run_herd(instance, 100, "warm-up")
        herds = [await run_herd(instance, jobs, f"herd-{number}") for number in range(ROUNDS)]
    return [{name: herd[name] for name in ("p50 ms", "p99 ms", "max ms")} for herd in herds]


async def _apscheduler(place: Path, jobs: int) -> list[dict[str, float]]:
    python = _environment(place / "environment")
    script = _written(place / "peer_apscheduler.py", _APSCHEDULER)
    postgres = EmbeddedPostgres(place / "postgres")
    url = urlsplit(await postgres.start())
    host = parse_qs(url.query)["host"][0]
    address = f"postgresql+psycopg://{url.username}@{url.path}?host={host}"
    try:
        return [await _round(python, script, jobs, address) for _ in range(ROUNDS)]
    finally:
        await postgres.stop()


async def _arq(place: Path, jobs: int) -> list[dict[str, float]]:
    script = _written(place / "peer_arq.py", _ARQ)
    redis = EmbeddedRedis(place / "redis")
    path = urlsplit(await redis.start()).path
    try:
        return [await _round(sys.executable, script, jobs, path) for _ in range(ROUNDS)]
    finally:
        await redis.stop()


def _environment(directory: Path) -> str:
    """Make an environment with APScheduler in it, and return its Python."""
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = str(directory / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "-qq", *_PACKAGES], check=True)
    return python


def _written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


async def _round(python: str, script: str, jobs: int, store: str) -> dict[str, float]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        python, script, str(jobs), str(SLOTS), store, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complained.decode()
    late = json.loads(said)
    assert len(late) == jobs, f"{len(late)} of {jobs} jobs have run"
    return {
        "p50 ms": percentile(late, 50) * 1e3,
        "p99 ms": percentile(late, 99) * 1e3,
        "max ms": max(late) * 1e3,
    }


if __name__ == "__main__":
    print_header()
    main()
