"""Chains whose workers are killed: each end starts what follows it once (I12)."""

import pytest

from app.core.vocabulary import ChainOn
from tests.engine import add_chain
from tests.faults.cluster import Cluster
from tests.faults.rows import row
from tests.faults.test_workers import supervised

pytestmark = pytest.mark.timeout(600)

_FAN_OUT_LIMIT, _ITEMS = 2, 4


@row("workers killed while ends start what follows", "I1 I3 I4 I5 I7 I12")
async def test_ends_whose_workers_are_killed_start_each_follower_once(
    cluster: Cluster, long: bool
) -> None:
    """A list is fanned out up to a limit, and each of its runs leads on to one more.

    Real processes and signals; that no instruction is left out is the simulation's to show.
    """
    engine = cluster.engine
    first = await cluster.job("listing", seconds=0.2, items=_ITEMS)
    each, last = [await cluster.job("witnessed", seconds=0.2) for _ in range(2)]
    path = {"path": str(cluster.truth)}
    await add_chain(
        engine, first, each, fan_out="items", fan_out_limit=_FAN_OUT_LIMIT, parameters=path
    )
    await add_chain(engine, each, last, after=ChainOn.ANY, parameters=path)
    await cluster.every_second(job_id=first)
    async with supervised(cluster, 2):
        for number in range(24 if long else 2):
            await cluster.succeed(2)
            await cluster.kill(cluster.running[number % len(cluster.running)])
        evidence = await cluster.check_end()
    jobs = [record.job_id for record in evidence.records.values() if record.state == "SUCCEEDED"]
    assert jobs.count(each) == _FAN_OUT_LIMIT * jobs.count(first) > 0
    assert jobs.count(last) == jobs.count(each)
