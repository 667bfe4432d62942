"""Whom a schedule acts as, and that what it fires is refused once that one may trigger nothing.

Breaks that were tried: a claim that does not ask about the owner, a reservation that does not, and
owners that anybody may name.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.vocabulary import RunState
from app.models.columns import new_id
from app.services.claiming import claim_runs
from app.services.firing import fire_due
from app.services.health.monitor import examine_when_due
from app.services.reserving import reserve_runs
from app.services.workers import register_worker
from app.store.workers import WorkerIdentity
from tests.engine import Engine
from tests.schema.api import Api
from tests.schema.test_mutations import UPDATE
from tests.schema.test_tokens import REVOKE, create
from tests.schema.test_why_not import verdict, why

OWNER = "query($id: ID!) { schedule(id: $id) { owner { kind id name } job { owner { name } } } }"
PREVIEW = """query($fields: ScheduleFields!) { schedulePreview(fields: $fields) {
    errors { code path } } }"""
FINDINGS = "{ healthFindings { nodes { code message schedule { key } } } }"
PROJECT = UUID("01900000-0000-7000-8000-000000000001")


async def owner_of(api: Api, schedule_id: str) -> dict[str, Any]:
    """Return whom a schedule acts as."""
    data = await api.data(OWNER, id=schedule_id)
    owner: dict[str, Any] = data["schedule"]["owner"]
    return owner


async def refusal(api: Api, schedule_id: str, owner_id: str | None) -> dict[str, Any]:
    """Return why somebody cannot be made the owner."""
    given = {"id": schedule_id, "fields": {"ownerId": owner_id}}
    [error] = (await api.data(UPDATE, input=given))["scheduleUpdate"]["errors"]
    assert error["path"] == ["fields", "ownerId"]
    return {"code": error["code"], "message": error["message"]}


async def due_a_moment_ago(engine: Engine) -> None:
    """Let everything that is active have been due a moment ago."""
    await engine.rows(
        "UPDATE schedule SET cursor_at = now() - interval '2 seconds',"
        " next_run_at = now() - interval '1 second',"
        " timings = jsonb_build_array(jsonb_build_object('interval', jsonb_build_object("
        " 'everySeconds', 3600, 'anchor', to_char(now() - interval '1 second',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00'))))"
    )


async def test_owner_is_the_creator_until_an_administrator_names_another(api: Api) -> None:
    administrator = api.token
    deployer = await create(api, name="deployer", role="EDITOR")
    other = await create(api, name="other", role="OPERATOR")
    reader = await create(api, name="reader", role="VIEWER")
    job_id = await api.create_job()
    api.token = deployer["secret"]
    schedule_id = (await api.create_schedule(job_id))["id"]
    assert (await owner_of(api, schedule_id))["name"] == "deployer"
    data = await api.data(OWNER, id=schedule_id)
    assert data["schedule"]["job"]["owner"] == {"name": "admin"}
    assert (await refusal(api, schedule_id, other["token"]["id"]))["code"] == "FORBIDDEN"

    api.token = administrator
    assert (await refusal(api, schedule_id, reader["token"]["id"]))["code"] == "INVALID"
    assert (await refusal(api, schedule_id, "nobody"))["code"] == "NOT_FOUND"
    for owner_id, name in ((other["token"]["id"], "other"), (None, "deployer")):
        given = {"id": schedule_id, "fields": {"ownerId": owner_id}}
        payload = (await api.data(UPDATE, input=given))["scheduleUpdate"]
        assert payload["errors"] == []
        assert (await owner_of(api, schedule_id))["name"] == name

    # Whoever is asking may take it over, by the id that `viewer` shows; previews agree.
    api.token = (await create(api, name="heir", role="EDITOR"))["secret"]
    me = (await api.data("{ viewer { actor { id } } }"))["viewer"]["actor"]["id"]
    given = {"id": schedule_id, "fields": {"ownerId": me}}
    assert (await api.data(UPDATE, input=given))["scheduleUpdate"]["errors"] == []
    assert (await owner_of(api, schedule_id))["name"] == "heir"
    timings = [{"frequency": "HOURLY"}]
    for owner_id, errors in (
        (me, []),
        (other["token"]["id"], [{"code": "FORBIDDEN", "path": ["fields", "ownerId"]}]),
    ):
        fields = {"timings": timings, "ownerId": owner_id}
        assert (await api.data(PREVIEW, fields=fields))["schedulePreview"]["errors"] == errors


async def test_what_fires_is_refused_once_its_owner_may_trigger_nothing(api: Api) -> None:
    engine = Engine(api.runtime, PROJECT)
    leaver = await create(api, name="leaver", role="EDITOR")
    job_id = await api.create_job()
    administrator, api.token = api.token, leaver["secret"]
    schedule_id = (await api.create_schedule(job_id))["id"]
    api.token = administrator
    await api.create_schedule(job_id, "mine")
    await due_a_moment_ago(engine)
    await fire_due(api.runtime)
    # Revoked after it fired and before it starts.
    assert (await api.data(REVOKE, id=leaver["token"]["id"]))["apiTokenRevoke"]["errors"] == []
    ids = [row["id"] for row in await engine.rows("SELECT id FROM run")]
    await engine.rows("UPDATE run SET next_attempt_at = now() + interval '1 minute'")
    reserved = await reserve_runs(api.runtime, ids)
    assert len(reserved) == 1
    await engine.rows("UPDATE run SET next_attempt_at = due_at")
    worker = WorkerIdentity(new_id(), host="host", pid=1, version="0", slots=10)
    await register_worker(api.runtime, worker)
    claim = await claim_runs(api.runtime, worker.id, limit=10)
    assert [run.id for run in claim.runs] == [run.id for run in reserved]

    [refused] = await engine.rows(
        "SELECT reason, scheduled_for FROM run WHERE state = :state", state=RunState.SKIPPED.value
    )
    assert refused["reason"] == "REJECTED"
    answer = await why(api, schedule_id, refused["scheduled_for"])
    assert verdict(answer) == ("SKIPPED", "REJECTED", True)
    later = await why(api, schedule_id, refused["scheduled_for"] + timedelta(hours=1))
    assert verdict(later) == ("WILL_SKIP", "REJECTED", True)
    assert "'leaver', a token that by then was revoked" in later["message"]

    await examine_when_due(api.runtime, every=timedelta(0))
    [finding] = (await api.data(FINDINGS))["healthFindings"]["nodes"]
    assert (finding["code"], finding["schedule"]["key"]) == ("OWNER_POWERLESS", "schedule")
    # By hand it still runs, as whoever asks for it.
    trigger = "mutation($id: ID!) { scheduleTrigger(input: {id: $id}) { run { id } } }"
    assert (await api.data(trigger, id=schedule_id))["scheduleTrigger"]["run"] is not None
    assert len((await claim_runs(api.runtime, worker.id, limit=10)).runs) == 1


async def test_run_says_with_which_key_it_was_asked_for(api: Api) -> None:
    job_id = await api.create_job()
    asked = """mutation($input: JobTriggerInput!) { jobTrigger(input: $input) {
        run { id idempotencyKey } } }"""
    run = (await api.data(asked, input={"id": job_id, "idempotencyKey": "once"}))["jobTrigger"]
    assert run["run"]["idempotencyKey"] == "once"
    run = (await api.data(asked, input={"id": job_id}))["jobTrigger"]
    assert run["run"]["idempotencyKey"] is None
