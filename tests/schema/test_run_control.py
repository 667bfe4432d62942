"""Trigger, repeat and cancel runs, one by one and many at once; control queues."""

from typing import Any

from sqlalchemy import text

from app.core.clock import utc_now
from app.core.vocabulary import Role
from app.services.access import issue_token
from tests.schema.api import Api
from tests.services.test_controlling import PROJECT
from tests.worker.control import (
    BULK,
    CANCEL,
    CONTROL,
    DRAIN,
    QUEUE,
    RERUN,
    TRIGGER,
    attempt,
    do,
    runs,
    status,
    trigger,
)


async def act(api: Api, role: Role, *, project: bool = True) -> None:
    """Go on as the holder of a new token."""
    row, token = issue_token(
        name=role.value, role=role, project_id=PROJECT if project else None, created_at=utc_now()
    )
    async with api.runtime.database.transaction() as transaction:
        transaction.add(row)
    api.token = token


async def is_forbidden(api: Api, mutation: str, **given: Any) -> bool:
    errors = (await attempt(api, mutation, **given))["errors"]
    return [error["code"] for error in errors] == ["FORBIDDEN"]


async def audit(api: Api, action: str) -> list[str]:
    async with api.runtime.database.reading(None) as connection:
        found = await connection.execute(
            text("SELECT summary FROM audit WHERE action = :action ORDER BY id"), {"action": action}
        )
        return list(found.scalars())


async def test_job_is_triggered_with_parameters_now_or_later(api: Api) -> None:
    job_id = await api.create_job(
        parameters={"a": 1, "b": 2},
        parametersSchema={"type": "object", "properties": {"b": {"type": "integer"}}},
    )
    now = await do(api, TRIGGER, id=job_id, parameters={"b": 3})
    assert now["run"]["parameters"] == {"a": 1, "b": 3}
    assert (now["run"]["cause"], now["run"]["state"]) == ("MANUAL", "QUEUED")
    later = await do(api, TRIGGER, id=job_id, at="2099-01-01T00:00:00Z")
    assert later["run"]["scheduledFor"].startswith("2099-01-01T00:00:00")
    for wrong, path in (
        ({"parameters": {"b": "x"}}, ["parameters", "b"]),
        ({"parameters": [1]}, ["parameters"]),
        ({"at": "2001-01-01T00:00:00Z"}, ["at"]),
        ({"priority": 5000}, ["priority"]),
        ({"id": "job_" + "0" * 32}, ["id"]),
    ):
        payload = await attempt(api, TRIGGER, **{"id": job_id, **wrong})
        assert payload["run"] is None
        assert payload["errors"][0]["path"] == path
    assert len(await runs(api)) == 2
    assert len(await audit(api, "jobTrigger")) == 2


async def test_repeated_trigger_and_rerun_give_the_first_result(api: Api) -> None:
    job_id = await api.create_job()
    once = await do(api, TRIGGER, id=job_id, idempotencyKey="a")
    again = await do(api, TRIGGER, id=job_id, idempotencyKey="a")
    assert again["replayed"]
    assert again["run"]["id"] == once["run"]["id"]
    other = await attempt(api, TRIGGER, id=job_id, idempotencyKey="a", priority=1)
    assert other["errors"][0]["code"] == "IDEMPOTENCY_CONFLICT"
    await do(api, CANCEL, id=once["run"]["id"])
    first = await do(api, RERUN, id=once["run"]["id"], idempotencyKey="b")
    second = await do(api, RERUN, id=once["run"]["id"], idempotencyKey="b")
    assert second["replayed"]
    assert second["run"]["id"] == first["run"]["id"]
    assert len(await runs(api)) == 2


async def test_rerun_repeats_what_is_over_for_the_same_occurrence(api: Api) -> None:
    run_id = await trigger(api, await api.create_job(parameters={"a": 1}), parameters={"b": 2})
    refused = await attempt(api, RERUN, id=run_id)
    assert refused["errors"][0]["currentState"] == "QUEUED"
    original = (await do(api, CANCEL, id=run_id))["run"]
    made = (await do(api, RERUN, id=run_id, parameters={"b": 3}))["run"]
    assert made["cause"] == "RERUN"
    assert made["rerunOf"] == {"id": run_id}
    assert made["scheduledFor"] == original["scheduledFor"]
    assert made["parameters"] == {"a": 1, "b": 3}


async def test_bulk_does_what_it_can_and_says_what_it_cannot(api: Api) -> None:
    job_id = await api.create_job()
    ids = [await trigger(api, job_id) for _ in range(4)]
    await do(api, CANCEL, id=ids[0])
    unknown = "run_" + "0" * 32
    payload = await do(api, BULK, ids=[*ids[:2], unknown], action="CANCEL")
    assert [item["ok"] for item in payload["results"]] == [False, True, False]
    codes = [item["errors"][0]["code"] for item in payload["results"] if item["errors"]]
    assert codes == ["STATE_CONFLICT", "NOT_FOUND"]
    # By filter only those are meant for which it is possible.
    dry = await do(api, BULK, filter={"jobId": job_id}, action="CANCEL", dryRun=True)
    assert dry["matched"] == 2
    assert len(await runs(api, state=["QUEUED"])) == 2
    too_many = await attempt(api, BULK, filter={"jobId": job_id}, action="CANCEL", maxAffected=1)
    assert too_many["errors"][0]["code"] == "LIMIT_EXCEEDED"
    assert len(await runs(api, state=["QUEUED"])) == 2
    await do(api, BULK, filter={"jobId": job_id}, action="CANCEL", reason="enough")
    assert len(await runs(api, state=["CANCELLED"])) == 4
    again = await do(api, BULK, filter={"jobId": job_id}, action="RERUN")
    assert again["matched"] == 4
    assert {run["id"] for run in await runs(api, state=["QUEUED"])} == {
        item["id"] for item in again["results"]
    }
    neither = await attempt(api, BULK, action="CANCEL")
    assert neither["errors"][0]["path"] == ["ids"]


async def test_queue_keeps_what_is_not_mentioned(api: Api) -> None:
    await do(api, QUEUE, name="gpu", limit=2)
    paused = (await do(api, QUEUE, name="gpu", paused=True, reason="driver"))["queue"]
    assert (paused["paused"], paused["limit"]) == (True, 2)
    cleared = (await do(api, QUEUE, name="gpu", limit=None))["queue"]
    assert (cleared["paused"], cleared["limit"]) == (True, None)
    (shown,) = (await status(api))["queues"]
    assert shown["name"] == "gpu"
    for wrong, path in (
        ({"limit": 0}, ["limit"]),
        ({}, ["paused"]),
        ({"name": "a b", "paused": True}, ["name"]),
    ):
        payload = await attempt(api, QUEUE, **{"name": "gpu", **wrong})
        assert payload["errors"][0]["path"] == path
    assert [summary.split(":")[0] for summary in await audit(api, "queueControl")] == [
        "Limited queue gpu.",
        "Paused queue gpu",
        "Limited queue gpu.",
    ]


async def test_each_role_may_do_what_it_says(api: Api) -> None:
    admin = api.token
    job_id = await api.create_job()
    run_id = await trigger(api, job_id)
    worker_id = "worker_" + "0" * 32
    everything: list[tuple[str, dict[str, Any]]] = [
        (TRIGGER, {"id": job_id}),
        (CANCEL, {"id": run_id}),
        (RERUN, {"id": run_id}),
        (BULK, {"ids": [run_id], "action": "CANCEL"}),
        (CONTROL, {"action": "PAUSE", "reason": "test"}),
        (QUEUE, {"name": "q", "paused": True}),
        (DRAIN, {"id": worker_id}),
    ]
    allowed: dict[str, list[bool]] = {}
    for role, project in (
        (Role.VIEWER, True),
        (Role.OPERATOR, True),
        (Role.ADMIN, True),
        (Role.OPERATOR, False),
        (Role.ADMIN, False),
    ):
        api.token = admin
        await act(api, role, project=project)
        allowed[f"{role} {project}"] = [
            not await is_forbidden(api, what, **given) for what, given in everything
        ]
    assert allowed == {
        "VIEWER True": [False] * 7,
        "OPERATOR True": [True] * 4 + [False] * 3,
        "ADMIN True": [True] * 4 + [False] * 3,
        "OPERATOR False": [True] * 4 + [False] * 3,
        "ADMIN False": [True] * 7,
    }
