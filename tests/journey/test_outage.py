"""Workers are killed, stay away and come back; the API and the servers go on.

`tickwheel api` and `tickwheel worker` are processes here, as on a machine of their own.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest_asyncio

from tests.journey.accounts import assert_each_second_has_one_record, instants_of
from tests.journey.processes import SOON_MISSED, Command, free_ports, running, until_ready
from tests.journey.visitor import Record, Visitor, visiting
from tests.journey.watchers import Watcher, watching_with_gql

TOKEN = "admin-token-of-the-outage-tests-" + "0" * 16
# Beyond the ten seconds for which an occurrence is late, but not missed.
OUTAGE_SECONDS = 15
ECHO = {"function": "app.handlers.builtin.echo"}


@dataclass(frozen=True)
class Site:
    """Where the processes of one test find each other."""

    directory: Path
    servers: dict[str, str]

    @asynccontextmanager
    async def running_api(self) -> AsyncIterator[str]:
        """An API; yields the address of its endpoint."""
        [port] = free_ports(1)
        async with running("api", self.directory, port=port, admin_token=TOKEN, **self.servers):
            await until_ready(port)
            yield f"http://127.0.0.1:{port}/graphql"

    @asynccontextmanager
    async def running_worker(self) -> AsyncIterator[Command]:
        """A worker that is soon missed."""
        [port] = free_ports(1)
        async with running(
            "worker",
            self.directory,
            worker_port=port,
            **SOON_MISSED,
            **self.servers,
        ) as worker:
            await until_ready(port)
            yield worker


@pytest_asyncio.fixture
async def site(tmp_path: Path, database_url: str, redis_url: str) -> Site:
    return Site(tmp_path, {"database_url": database_url, "redis_url": redis_url})


@asynccontextmanager
async def visiting_and_watching(url: str) -> AsyncIterator[tuple[Visitor, Watcher]]:
    async with visiting(url, TOKEN) as visitor, watching_with_gql(url, TOKEN) as watcher:
        yield visitor, watcher


async def test_run_of_a_killed_worker_is_taken_up_by_another(site: Site) -> None:
    async with (
        site.running_api() as url,
        site.running_worker(),
        site.running_worker(),
        visiting_and_watching(url) as (visitor, watcher),
    ):
        job_id = await visitor.create_job(
            "long", "PYTHON", {"function": "app.handlers.builtin.sleep"}, parameters={"seconds": 3}
        )
        schedule_id = await visitor.create_schedule(job_id, "long", "0 0 29 2 *")
        run = await visitor.trigger(schedule_id)
        await watcher.until(lambda: "RUNNING" in states(watcher, schedule_id))
        killed = (await visitor.run(run["id"]))["worker"]["pid"]
        psutil.Process(killed).kill()
        await watcher.until_final(schedule_id, 1)
        run = await visitor.run(run["id"])

    assert run["state"] == "SUCCEEDED"
    assert [attempt["state"] for attempt in run["attempts"]] == ["LOST", "SUCCEEDED"]
    assert run["attempts"][0]["error"]["reason"] == "WORKER_LOST"
    assert run["attempts"][0]["worker"] != run["attempts"][1]["worker"]
    assert states(watcher, schedule_id) == ["QUEUED", "RUNNING", "QUEUED", "RUNNING", "SUCCEEDED"]


async def test_each_instant_of_an_outage_has_one_record_and_a_restart_keeps_them(
    site: Site,
) -> None:
    async with site.running_api() as url, visiting_and_watching(url) as (visitor, watcher):
        latest = await each_second(visitor, "latest")
        every = await each_second(visitor, "all", catchUp="ALL")
        async with site.running_worker() as worker:
            await watcher.until_final(latest, 2)
            await worker.kill()
        await asyncio.sleep(OUTAGE_SECONDS)
        async with site.running_worker():
            back_at = await visitor.now()
            for schedule_id in (latest, every):
                await watcher.until_final_after(schedule_id, back_at)
            latest_runs = await visitor.settled(latest)
            every_run = await visitor.settled(every)

    assert_each_second_has_one_record(latest_runs)
    assert_each_second_has_one_record(every_run)
    assert_the_newest_ran_and_the_rest_is_one_stretch(latest_runs)
    assert {run["state"] for run in every_run} == {"SUCCEEDED"}
    assert "CATCH_UP" in {run["cause"] for run in every_run}

    async with site.running_api() as url, site.running_worker(), visiting(url, TOKEN) as visitor:
        assert await visitor.runs(latest) == latest_runs
        assert await visitor.runs(every) == every_run
        schedules = await visitor.ask("{ schedules { nodes { key state } } }")
        assert {schedule["state"] for schedule in schedules["schedules"]["nodes"]} == {"PAUSED"}


async def each_second(visitor: Visitor, key: str, **fields: Any) -> str:
    return await visitor.every_second(await visitor.create_job(key, "PYTHON", ECHO), key, **fields)


def states(watcher: Watcher, schedule_id: str) -> list[str]:
    return [run["state"] for run in watcher.changes(schedule_id)]


def assert_the_newest_ran_and_the_rest_is_one_stretch(runs: list[Record]) -> None:
    [stretch] = [run for run in runs if run["state"] == "MISSED"]
    [caught_up] = [run for run in runs if run["cause"] == "CATCH_UP"]
    assert stretch["reason"] == "COALESCED"
    assert stretch["rangeCount"] == len(instants_of(stretch))
    assert runs.index(caught_up) == runs.index(stretch) + 1
    assert {run["state"] for run in runs if run is not stretch} == {"SUCCEEDED"}
