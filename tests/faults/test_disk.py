"""The disk of PostgreSQL is full: what cannot be written is refused whole, and all recovers.

Made to fail by taking `_EXHAUSTED` out of app/store/outages.py: the caller is then told of an error
of ours.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from app.dev.postgres import EmbeddedPostgres
from app.store.migrate import upgrade
from tests.engine import open_engine
from tests.faults.cluster import Cluster, cluster_on, eventually
from tests.faults.nursery import Nursery
from tests.faults.rows import row
from tests.schema.api import Api, running_api

pytestmark = pytest.mark.timeout(600)

_SIZE = "220m"
_CHUNK = 1 << 20
_SMALL_LOG = {"max_wal_size": "64MB", "min_wal_size": "64MB", "wal_recycle": "on"}


@pytest.fixture
def small_disk(services_directory: Path) -> Iterator[Path]:
    """A file system of its own, that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount the small file system that this test fills")
    place = services_directory / f"disk-{uuid4().hex[:8]}"
    place.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest_asyncio.fixture
async def cramped(
    small_disk: Path, nursery: Nursery, redis_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Cluster, EmbeddedPostgres]]:
    """Workers on a PostgreSQL whose disk is small."""
    server = EmbeddedPostgres(small_disk / "postgres", durable=True, settings=_SMALL_LOG)
    await upgrade(await server.start())
    try:
        async with (
            open_engine(server.url, redis_url) as engine,
            cluster_on(engine, nursery, server.url, redis_url, tmp_path) as cluster,
        ):
            yield cluster, server
    finally:
        await server.stop()


@row("disk full", "I1 I3 I4 I9")
async def test_a_disk_that_is_full_refuses_whole_and_recovers_without_a_restart(
    cramped: tuple[Cluster, EmbeddedPostgres], small_disk: Path, redis_url: str, long: bool
) -> None:
    cluster, server = cramped
    await cluster.start(2)
    await cluster.every_second()
    await cluster.succeed(2)
    async with running_api(server.url, redis_url) as api:
        for number in range(4 if long else 1):
            fill(ballast := small_disk / "ballast")
            refused = await until_refused(api, f"full-{number}")
            ballast.unlink()
            assert refused == "DEPENDENCY_UNAVAILABLE"
            await eventually(partial(accepted, api, f"freed-{number}"))
            await cluster.succeed(3)
        audited = await cluster.engine.row(
            "SELECT (SELECT count(*) FROM job WHERE project_id <> :own) AS jobs,"
            " (SELECT count(*) FROM audit WHERE action = 'jobCreate') AS entries",
            own=cluster.engine.project_id,
        )
    assert audited["jobs"] == audited["entries"]
    assert len(cluster.running) == 2
    await cluster.check_end()


def fill(ballast: Path) -> None:
    """Leave no room on the disk."""
    with ballast.open("wb", buffering=0) as file:
        size = _CHUNK
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2


async def until_refused(api: Api, prefix: str) -> str:
    """Create large jobs until one is refused, and return the error's code."""
    for number in range(2_000):
        answer = await create(api, f"{prefix}-{number}")
        if answer is not None:
            return answer
    raise AssertionError("The disk was never full.")


async def accepted(api: Api, key: str) -> bool:
    """Return whether a job is accepted."""
    return await create(api, f"{key}-{uuid4().hex[:6]}") is None


async def create(api: Api, key: str) -> str | None:
    """Try to create a job, and return the code of the error, if any."""
    given = {
        "key": key,
        "kind": "PYTHON",
        "description": os.urandom(4_000).hex(),
        "config": {"function": "app.handlers.builtin.noop", "isolation": "inline"},
    }
    answer = await api.ask(JOB, input=given)
    errors = answer.get("errors") or answer["data"]["jobCreate"]["errors"]
    if not errors:
        return None
    code: str = errors[0].get("code") or errors[0]["extensions"]["code"]
    return code


JOB = """mutation($input: JobCreateInput!) {
    jobCreate(input: $input) { job { id } errors { code message path } } }"""
