"""Real processes die, and others see it.

Breaks that were tried, and which test failed: the API's `lifespan` without its watchdog;
`NO_WORKER` judged by the state of the rows alone, which nobody is left to write (both: the killed
worker).
"""

import asyncio

from tests.dev.processes import PATIENCE_SECONDS
from tests.schema.api import Api, Stream, running_api
from tests.schema.test_health import WATCH
from tests.schema.test_notifications import PUT, SECRET_PUT
from tests.services.sinks import a_hook
from tests.worker.control import Services, a_worker, status


async def told(stream: Stream, count: int) -> set[tuple[str, bool]]:
    """Return the next findings: each one's code, and whether it is over."""
    found = [await anext(stream) for _ in range(count)]
    return {(each["code"], each["resolvedAt"] is not None) for each in found}


async def test_death_of_the_only_worker_reaches_a_subscriber_and_so_does_its_successor(
    database_url: str, redis_url: str, services: Services
) -> None:
    lease = {"lease_seconds": 2, "heartbeat_seconds": 0.5}
    async with (
        running_api(database_url, redis_url, **lease) as api,
        a_worker(services, **lease) as worker,
    ):
        await _until_well(api)
        async with api.watching(WATCH, patience_seconds=PATIENCE_SECONDS) as stream:
            await worker.kill()
            assert await told(stream, 2) == {("NO_WORKER", False), ("TICKER_SILENT", False)}
            shown = await status(api)
            assert len(shown["problems"]) == 2
            # Nobody is left to write its row.
            assert [each["state"] for each in shown["workers"]] == ["LOST"]
            async with a_worker(services, **lease):
                over = {("NO_WORKER", True), ("TICKER_SILENT", True)}
                # What became critical meanwhile is told before.
                while over:
                    over -= await told(stream, 1)
                await _until_well(api)


async def _until_well(api: Api) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await status(api))["problems"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


async def test_schedule_that_keeps_failing_reaches_a_subscriber_and_the_log_has_the_figures(
    api: Api, services: Services
) -> None:
    job_id = await api.create_job("fail", config={"function": "app.handlers.builtin.fail"})
    schedule = await api.create_schedule(job_id, cron="* * * * * *")
    async with (
        a_worker(services, monitor_seconds=1) as worker,
        api.watching(WATCH, patience_seconds=PATIENCE_SECONDS) as stream,
    ):
        # A worker that is slow to start is missed for a moment, too.
        while (found := await anext(stream))["code"] != "CONSECUTIVE_FAILURES":
            assert found["code"] in {"NO_WORKER", "TICKER_SILENT"}
        assert found["schedule"] == {"key": schedule["key"]}
        said = await worker.says("instance.statistics")
        assert "health.examined" in said


async def test_death_of_the_only_worker_is_told_by_the_api(
    database_url: str, redis_url: str, services: Services
) -> None:
    lease = {"lease_seconds": 2, "heartbeat_seconds": 0.5}
    keys = {"secret_keys": "test:" + "A" * 43 + "="}
    async with (
        a_hook("correct-horse-battery-staple") as hook,
        running_api(database_url, redis_url, **lease, **keys) as api,
        a_worker(services, **lease) as worker,
    ):
        secret = {"key": "hook", "value": hook.secret}
        await api.data(SECRET_PUT, input=secret)
        target = {"type": "webhook", "url": hook.url, "sign": "hook"}
        await _until_well(api)
        wanted = {"key": "on-call", "events": ["FINDING_OPENED"], "target": target}
        put = await api.data(PUT, input={**wanted, "filter": {"minSeverity": "CRITICAL"}})
        assert put["notificationRulePut"]["errors"] == []
        await worker.kill()
        told = await hook.until("FINDING_OPENED")
        assert told["finding"]["code"] == "NO_WORKER"
