"""A cancelled run is CANCELLED only when nothing of it is alive (I8).

Breaks that were tried, and which test failed: `hint` publishes nothing, and `cancel_runs.sql`
ends the running run at once (both: the test of the hint); the runner tells a run twice, so that a
heartbeat costs it its grace (the test of tidying up).
"""

from pathlib import Path

from tests.schema.api import Api
from tests.worker.control import (
    BULK,
    CANCEL,
    MILD,
    STUBBORN,
    Services,
    a_worker,
    attempt,
    command_job,
    do,
    have_processes,
    processes_of_runs,
    runs,
    trigger,
    until,
)

# So long that within the test only a hint can have brought the word.
FAR_AWAY = {"lease_seconds": 600, "heartbeat_seconds": 290}


async def test_queued_run_is_cancelled_at_once(api: Api) -> None:
    run_id = await trigger(api, await api.create_job())
    payload = await do(api, CANCEL, id=run_id, reason="not needed")
    assert payload["run"]["state"] == "CANCELLED"
    assert payload["run"]["reason"] == "CANCEL_REQUESTED"
    assert payload["run"]["message"] == "Cancelled by admin: not needed"
    refused = await attempt(api, CANCEL, id=run_id)
    assert refused["errors"][0]["__typename"] == "StateConflictError"
    assert refused["errors"][0]["currentState"] == "CANCELLED"


async def test_running_run_is_cancelled_by_a_hint_when_nothing_of_it_is_alive(
    api: Api, services: Services
) -> None:
    job_id = await command_job(api, STUBBORN)
    async with a_worker(services, **FAR_AWAY):
        run_id = await trigger(api, job_id)
        await have_processes([run_id])
        payload = await do(api, CANCEL, id=run_id, reason="too slow", force=True)
        # Asked to end; it has not ended.
        assert payload["run"]["state"] == "RUNNING"
        (run,) = await until(api, [run_id], "CANCELLED")
        assert processes_of_runs()[run_id] == 0
        assert run["reason"] == "CANCEL_REQUESTED"
        assert run["message"] == "Cancelled by admin: too slow"


async def test_cancel_arrives_with_the_heartbeat_while_redis_is_away(
    api: Api, services: Services, tmp_path: Path
) -> None:
    job_id = await command_job(api, MILD)
    nowhere = Services(services.database_url, f"unix://{tmp_path}/nobody.sock?db=0", tmp_path)
    async with a_worker(nowhere, lease_seconds=5, heartbeat_seconds=0.5):
        run_id = await trigger(api, job_id)
        await have_processes([run_id])
        await do(api, CANCEL, id=run_id)
        await until(api, [run_id], "CANCELLED")
        assert processes_of_runs()[run_id] == 0


async def test_heartbeats_do_not_cost_a_cancelled_run_its_time_to_tidy_up(
    api: Api, services: Services
) -> None:
    script = (
        "trap 'sleep 2; echo tidied; exit' TERM; (setsid sleep 1000 &); while :; do sleep 0.1; done"
    )
    job_id = await command_job(api, script)
    async with a_worker(services, lease_seconds=5, heartbeat_seconds=0.3):
        run_id = await trigger(api, job_id)
        await have_processes([run_id])
        await do(api, CANCEL, id=run_id)
        await until(api, [run_id], "CANCELLED")
    data = await api.data("query($id: ID!) { run(id: $id) { log { nodes { text } } } }", id=run_id)
    assert "tidied" in [line["text"] for line in data["run"]["log"]["nodes"]]


async def test_cancel_storm_leaves_no_survivor(api: Api, services: Services) -> None:
    """Fifty runs, each with a process that is deaf and has left its session: I8."""
    job_id = await command_job(api, STUBBORN)
    async with a_worker(services, **FAR_AWAY):
        ids = [await trigger(api, job_id) for _ in range(50)]
        # As many as there are slots for processes run; the others wait.
        await until(api, ids, "RUNNING")
        payload = await do(api, BULK, filter={"jobId": job_id}, action="CANCEL", reason="storm")
        assert payload["matched"] == 50
        assert all(item["ok"] for item in payload["results"])
        await until(api, ids, "CANCELLED")
        alive = processes_of_runs()
        assert [run_id for run_id in ids if alive[run_id]] == []


async def test_cancel_of_a_run_that_waits_for_its_retry_frees_its_schedule(
    api: Api, services: Services
) -> None:
    job_id = await command_job(
        api, "exit 1", retry={"maxAttempts": 5, "initialDelay": "PT10M", "jitter": False}
    )
    async with a_worker(services):
        run_id = await trigger(api, job_id)
        while not [run for run in await runs(api, ids=[run_id]) if run["attempt"] == 1]:
            await until(api, [run_id], "QUEUED")
        await until(api, [run_id], "QUEUED")
        payload = await do(api, CANCEL, id=run_id)
    assert payload["run"]["state"] == "CANCELLED"
