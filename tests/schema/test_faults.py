"""What callers and subscribers see while PostgreSQL is away, and that they need no restart."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from app.dev.postgres import EmbeddedPostgres
from app.services import access
from app.store.migrate import upgrade
from tests.schema.api import ADMIN_TOKEN, SCHEDULE_CREATE, Api, running_api
from tests.schema.test_path import RUN_EVENTS, TRIGGER

WAIT_SECONDS = 30.0
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}


@pytest_asyncio.fixture
async def mortal(services_directory: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of this test's own, which it may kill."""
    server = EmbeddedPostgres(services_directory / "mortal")
    await upgrade(await server.start())
    yield server
    await server.stop()


async def ready(api: Api) -> int:
    """Return the status of `/readyz`."""
    async with api.http.get(f"http://127.0.0.1:{api.port}/readyz") as response:
        return response.status


async def eventually_ready(api: Api) -> None:
    """Wait until the process can work again."""
    async with asyncio.timeout(WAIT_SECONDS):
        while await ready(api) != 200:
            pass


async def test_callers_are_told_and_subscribers_go_on_when_postgresql_comes_back(
    mortal: EmbeddedPostgres, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is remembered: whoever is asks nothing of PostgreSQL for a moment."""
    monkeypatch.setattr(access, "KNOWN_SECONDS", 0.0)
    async with running_api(mortal.url, redis_url) as api:
        schedule = await api.create_schedule(await api.create_job())
        async with api.watching(RUN_EVENTS) as stream:
            assert (await anext(stream))["__typename"] == "RunSnapshot"
            await mortal.kill()
            assert await ready(api) == 503
            async with api.http.post(
                api.url, json={"query": "{ viewer { role } }"}, headers=BEARER
            ) as response:
                assert response.status == 503
                body = await response.json()
            async with api.raw_socket() as connection:
                init = {"authorization": f"Bearer {ADMIN_TOKEN}"}
                await connection.send(json.dumps({"type": "connection_init", "payload": init}))
                await connection.wait_closed()
                assert connection.close_code == 1013
            await mortal.start()
            await eventually_ready(api)
            run = (await api.data(TRIGGER, input={"id": schedule["id"]}))["scheduleTrigger"]["run"]
            while (message := await anext(stream))["__typename"] == "Heartbeat":
                pass
    assert body["errors"][0]["extensions"]["code"] == "DEPENDENCY_UNAVAILABLE"
    assert message["run"]["id"] == run["id"]


async def test_operation_that_loses_its_connection_is_told_that_the_database_is_away(
    api: Api,
) -> None:
    job_id = await api.create_job()
    async with api.runtime.database.transaction() as holder:
        await holder.execute(text("LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE"))
        fields = {"timings": [{"frequency": "DAILY"}]}
        given = {"jobId": job_id, "key": "a", "fields": fields}
        waiting = asyncio.create_task(api.ask(SCHEDULE_CREATE, input=given))
        await _terminate_whoever_waits(api)
        answer = await waiting
    (error,) = answer["data"]["scheduleCreate"]["errors"]
    assert error["code"] == "DEPENDENCY_UNAVAILABLE"
    assert error["retryAfter"] == "PT1S"
    accepted = await api.try_schedule(**given)
    assert accepted["errors"] == []


async def test_caller_that_hangs_up_leaves_nothing_running(api: Api) -> None:
    job_id = await api.create_job()
    given = {"jobId": job_id, "key": "a", "fields": {"timings": [{"frequency": "DAILY"}]}}
    async with api.runtime.database.transaction() as holder:
        await holder.execute(text("LOCK TABLE schedule IN ACCESS EXCLUSIVE MODE"))
        waiting = asyncio.create_task(api.ask(SCHEDULE_CREATE, input=given))
        await _until_waiting(api, 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await _until_waiting(api, 0)
    assert (await api.try_schedule(**given))["errors"] == []


async def _terminate_whoever_waits(api: Api) -> None:
    """End the connection that waits for a lock."""
    await _until_waiting(api, 1)
    async with api.runtime.database.reading(None) as connection:
        await connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        )


async def _until_waiting(api: Api, count: int) -> None:
    query = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE NOT granted AND datname = current_database()"
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            async with api.runtime.database.reading(None) as connection:
                if (await connection.execute(query)).scalar_one() == count:
                    return


async def test_status_stream_goes_on_when_postgresql_comes_back(
    mortal: EmbeddedPostgres, redis_url: str
) -> None:
    """Without the wait for PostgreSQL the stream ends with an error when it is killed."""
    query = 'subscription { schedulerStatus(minInterval: "PT0.2S") { activeSchedules } }'
    async with running_api(mortal.url, redis_url) as api:
        job_id = await api.create_job("watched")
        async with api.watching(query) as stream:
            before = (await anext(stream))["activeSchedules"]
            await mortal.kill()
            assert await ready(api) == 503
            await mortal.start()
            await eventually_ready(api)
            await api.create_schedule(job_id, "watched")
            while (await anext(stream))["activeSchedules"] != before + 1:
                pass
