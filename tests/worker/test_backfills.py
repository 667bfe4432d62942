"""Backfills made by worker processes, some of which are killed."""

import signal
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from app.core.vocabulary import OverlapPolicy, Role
from app.models.columns import ActorRecord
from app.services.access import Principal
from app.services.backfills import BackfillRequest, cancel_backfill, start_backfill
from tests.engine import SECOND, every, open_engine
from tests.faults.cluster import Cluster, cluster_on
from tests.faults.nursery import Nursery

pytestmark = pytest.mark.timeout(300)


@pytest_asyncio.fixture
async def cluster(
    nursery: Nursery, database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Cluster]:
    """Workers on the servers of this test process."""
    async with (
        open_engine(database_url, redis_url) as engine,
        cluster_on(engine, nursery, database_url, redis_url, tmp_path) as cluster,
    ):
        yield cluster


def operator(cluster: Cluster) -> Principal:
    """Return somebody who may start backfills."""
    actor = ActorRecord(kind="USER", id=None, name="Ada")
    return Principal(actor, Role.OPERATOR, cluster.engine.project_id)


async def backfill_seconds(
    cluster: Cluster, count: int, *, seconds: float = 0.0, **request: Any
) -> UUID:
    """Backfill the last seconds of a schedule of a job that bears witness."""
    engine, now = cluster.engine, await cluster.engine.now()
    last: datetime = now.replace(microsecond=0)
    job_id = await cluster.job("witnessed", seconds=seconds)
    schedule_id = await engine.schedule(
        job_id,
        [every(1)],
        cursor_at=now,
        next_run_at=now + timedelta(days=365),
        overlap=OverlapPolicy.ALLOW,
    )
    asked = BackfillRequest(schedule_id, last - (count - 1) * SECOND, last, **request)
    accepted = await start_backfill(engine.runtime, operator(cluster), asked)
    return accepted.result.record.backfill.id


async def made(cluster: Cluster, backfill_id: UUID, at_least: int) -> None:
    """Wait until so many runs are made."""
    await cluster.until(
        "SELECT 1 FROM backfill WHERE id = :id AND made >= :least", id=backfill_id, least=at_least
    )


async def state(cluster: Cluster, backfill_id: UUID, wanted: str) -> dict[str, Any]:
    """Wait until the backfill is in a state, and return its row."""
    [row] = await cluster.until(
        "SELECT * FROM backfill WHERE id = :id AND state = :state", id=backfill_id, state=wanted
    )
    return row


async def test_killing_workers_in_the_middle_leaves_no_hole_and_no_double(
    cluster: Cluster,
) -> None:
    count = 6_000
    await cluster.start(2)
    started = await backfill_seconds(cluster, count)
    await made(cluster, started, 1_500)
    cluster.workers[0].send(signal.SIGKILL)
    await made(cluster, started, 2_500)
    cluster.workers[1].send(signal.SIGKILL)
    before = await cluster.engine.row("SELECT made FROM backfill")
    assert before["made"] < count
    await cluster.start(2)
    row = await state(cluster, started, "COMPLETED")
    assert (row["total"], row["made"], row["failed"]) == (count, count, 0)
    found = await cluster.engine.row(
        "SELECT count(*) AS runs, count(DISTINCT scheduled_for) AS instants,"
        " count(*) FILTER (WHERE state = 'SUCCEEDED') AS succeeded,"
        " extract(epoch FROM max(scheduled_for) - min(scheduled_for))::int + 1 AS seconds FROM run"
    )
    assert set(found.values()) == {count}
    await cluster.check()


async def test_a_cancelled_backfill_leaves_no_process_behind(cluster: Cluster) -> None:
    await cluster.start()
    started = await backfill_seconds(cluster, 400, seconds=60.0)
    [first] = await cluster.until("SELECT id FROM run WHERE state = 'RUNNING' LIMIT 1")
    await cluster.witnessed(first["id"], "start")
    await cancel_backfill(cluster.engine.runtime, operator(cluster), started)
    await state(cluster, started, "CANCELLED")
    left = await cluster.engine.rows("SELECT state, count(*) FROM run GROUP BY state")
    assert [row["state"] for row in left] == ["CANCELLED"]
    begun = {line.run_id for line in cluster.lines() if line.what == "start"}
    assert begun <= {line.run_id for line in cluster.lines() if line.what == "end"}


async def test_runs_start_no_faster_than_their_rate(cluster: Cluster) -> None:
    await cluster.start(2)
    started = await backfill_seconds(cluster, 40, rate_per_minute=600)
    await state(cluster, started, "COMPLETED")
    rows = await cluster.engine.rows(
        "SELECT first_started_at AS at, due_at FROM run ORDER BY first_started_at"
    )
    assert len(rows) == 40
    assert all(row["at"] >= row["due_at"] for row in rows)
    due = sorted(row["due_at"] for row in rows)
    gaps = [after - before for before, after in pairwise(due)]
    assert min(gaps) >= timedelta(seconds=0.1)
