"""What mutations accept, what they refuse and how they say so."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.core.clock import utc_now
from tests.schema.api import ERRORS, JOB_CREATE, SCHEDULE, Api

_TABLES = ("job", "schedule", "schedule_counters", "run", "event", "audit", "idempotency")
UPDATE = f"""mutation($input: ScheduleUpdateInput!) {{
    scheduleUpdate(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
PAUSE = f"""mutation($input: SchedulePauseInput!) {{
    schedulePause(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
RESUME = f"""mutation($input: ScheduleResumeInput!) {{
    scheduleResume(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
ARCHIVE = f"""mutation($input: ScheduleArchiveInput!) {{
    scheduleArchive(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
BULK = f"""mutation($inputs: [ScheduleCreateInput!]!) {{
    schedulesCreate(inputs: $inputs) {{
        matched results {{ index id key ok {ERRORS} }} {ERRORS} }} }}"""
JOB_UPDATE = f"""mutation($input: JobUpdateInput!) {{
    jobUpdate(input: $input) {{
        job {{ version name config parameters timeout tags {{ key value }} }} {ERRORS} }} }}"""


async def count_rows(api: Api) -> dict[str, int]:
    """Return how many rows each table has."""
    async with api.runtime.database.reading(None) as connection:
        return {
            table: (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            for table in _TABLES
        }


def only(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the one error of a payload without a result."""
    (error,) = payload["errors"]
    assert payload.get("schedule") is None
    return dict(error)


@pytest.mark.parametrize(
    ("timing", "path"),
    [
        ({"cron": {"expression": "0 0 31 2 *"}}, ["0", "cron", "expression"]),
        ({"cron": {"expression": "0 25 * * *"}}, ["0", "cron", "expression"]),
        ({"cron": {"expression": "* * *"}}, ["0", "cron", "expression"]),
        ({"cron": {"expression": "*/0 * * * *"}}, ["0", "cron", "expression"]),
        ({"cron": {"expression": "* " * 200}}, ["0", "cron", "expression"]),
        ({"interval": {"every": "PT0.5S"}}, ["0", "interval", "every"]),
        (
            {"calendarInterval": {"every": 0, "unit": "DAY", "anchor": "2030-01-01T00:00:00"}},
            ["0", "calendarInterval", "every"],
        ),
        ({"once": {"at": "2001-01-01T00:00:00Z"}}, ["0", "once", "at"]),
        ({"once": {}}, ["0", "once"]),
    ],
)
async def test_impossible_timing_is_refused_with_its_path_and_writes_nothing(
    api: Api, timing: dict[str, Any], path: list[str]
) -> None:
    job_id = await api.create_job()
    before = await count_rows(api)
    payload = await api.try_schedule(jobId=job_id, key="bad", fields={"timings": [timing]})
    error = only(payload)
    assert error["__typename"] == "ValidationError"
    assert error["path"] == ["fields", "timings", *path]
    assert await count_rows(api) == before


async def test_everything_wrong_is_said_at_once(api: Api) -> None:
    job_id = await api.create_job()
    before = await count_rows(api)
    payload = await api.try_schedule(
        jobId=job_id,
        key="not a key!",
        fields={
            "timings": [{"cron": {"expression": "0 0 31 2 *"}}, {"interval": {"every": "PT0S"}}],
            "timezone": "Europe/Berlyn",
            "startAt": "2030-01-02T00:00:00Z",
            "endAt": "2030-01-01T00:00:00Z",
            "catchUp": "ALL",
            "catchUpWindow": "PT0S",
            "maxRuns": 0,
            "priority": 5000,
            "parameters": [1],
        },
    )
    paths = {".".join(error["path"]) for error in payload["errors"]}
    assert paths == {
        "key",
        "fields.timings.0.cron.expression",
        "fields.timings.1.interval.every",
        "fields.timezone",
        "fields.endAt",
        "fields.catchUpWindow",
        "fields.maxRuns",
        "fields.priority",
        "fields.parameters",
    }
    (zone,) = [error for error in payload["errors"] if error["path"] == ["fields", "timezone"]]
    assert "Europe/Berlin" in zone["hint"]
    assert await count_rows(api) == before


async def test_unknown_job_is_not_found(api: Api) -> None:
    before = await count_rows(api)
    fields = {"timings": [{"frequency": "DAILY"}]}
    for job_id in ("job_" + "0" * 32, "nonsense", "schedule_" + "0" * 32):
        error = only(await api.try_schedule(jobId=job_id, key="a", fields=fields))
        assert (error["code"], error["path"]) == ("NOT_FOUND", ["jobId"])
    assert await count_rows(api) == before


async def test_key_in_use_is_refused_and_free_again_after_archiving(api: Api) -> None:
    job_id = await api.create_job()
    first = await api.create_schedule(job_id, "daily", cron="0 1 * * *")
    fields = {"timings": [{"cron": {"expression": "0 2 * * *"}}]}
    before = await count_rows(api)
    error = only(await api.try_schedule(jobId=job_id, key="daily", fields=fields))
    assert (error["code"], error["path"]) == ("ALREADY_EXISTS", ["key"])
    assert await count_rows(api) == before
    archived = (await api.data(ARCHIVE, input={"id": first["id"]}))["scheduleArchive"]
    assert archived["schedule"]["state"] == "ARCHIVED"
    again = await api.create_schedule(job_id, "daily", cron="0 2 * * *")
    assert again["id"] != first["id"]


async def test_two_concurrent_creations_of_one_key_make_one_schedule(api: Api) -> None:
    job_id = await api.create_job()
    requests = (
        api.try_schedule(
            jobId=job_id, key="same", fields={"timings": [{"cron": {"expression": f"{n} * * * *"}}]}
        )
        for n in range(5)
    )
    payloads = await asyncio.gather(*requests)
    assert sum(payload["schedule"] is not None for payload in payloads) == 1
    codes = {error["code"] for payload in payloads for error in payload["errors"]}
    assert codes == {"ALREADY_EXISTS"}


async def test_duplicate_definition_names_the_other_schedule(api: Api) -> None:
    job_id = await api.create_job()
    await api.create_schedule(job_id, "first", cron="0 1 * * *", parameters={"a": 1})
    fields = {"timings": [{"cron": {"expression": "0 1 * * *"}}], "parameters": {"a": 1}}
    error = only(await api.try_schedule(jobId=job_id, key="second", fields=fields))
    assert error["code"] == "ALREADY_EXISTS"
    assert "'first'" in error["message"]
    other = {**fields, "parameters": {"a": 2}}
    assert (await api.try_schedule(jobId=job_id, key="third", fields=other))["errors"] == []


@pytest.mark.parametrize(
    "again",
    [
        {"timings": [{"cron": {"expression": "0 0 * * MON"}}]},
        {"timings": [{"cron": {"expression": "00 0 ? */1 1-1"}}]},
        {"timings": [{"cron": {"expression": "0 0 * * 1", "timeMode": "WALL_CLOCK"}}]},
        {"timings": [{"cron": {"expression": "0 0 * * 1"}}, {"frequency": "WEEKLY"}]},
        # What is compared are job, timings, zone and parameters.
        {"timings": [{"frequency": "WEEKLY"}], "endAt": "2090-01-01T00:00:00Z"},
        {"timings": [{"frequency": "WEEKLY"}], "dstGap": "SKIP", "name": "Another"},
    ],
)
async def test_the_same_timings_in_another_spelling_are_a_duplicate(
    api: Api, again: dict[str, Any]
) -> None:
    job_id = await api.create_job()
    await api.create_schedule(job_id, "first", cron="0 0 * * 1", timezone="UTC")
    fields = {"timezone": "UTC", **again}
    error = only(await api.try_schedule(jobId=job_id, key="second", fields=fields))
    assert error["code"] == "ALREADY_EXISTS"
    assert "'first'" in error["message"]
    elsewhere = {**fields, "timezone": "Europe/Berlin"}
    assert (await api.try_schedule(jobId=job_id, key="third", fields=elsewhere))["errors"] == []
    allowed = await api.try_schedule(jobId=job_id, key="fourth", fields=fields, allowDuplicate=True)
    assert allowed["errors"] == []


async def test_of_many_who_create_the_same_at_once_one_succeeds(api: Api) -> None:
    """Seen to let several pass without `hold_definitions`."""
    job_id = await api.create_job()
    fields = {"timings": [{"frequency": "WEEKLY"}]}
    payloads = await asyncio.gather(
        *(api.try_schedule(jobId=job_id, key=f"twin-{n}", fields=fields) for n in range(8))
    )
    assert sum(payload["errors"] == [] for payload in payloads) == 1
    refused = [only(payload) for payload in payloads if payload["errors"]]
    assert {error["code"] for error in refused} == {"ALREADY_EXISTS"}


@pytest.mark.parametrize(
    ("kind", "config", "path"),
    [
        ("HTTP", {"url": "ftp://example.com"}, ["config", "url"]),
        ("HTTP", {"url": "https://example.com", "colour": "red"}, ["config", "colour"]),
        ("HTTP", {"argv": ["/bin/echo"]}, None),
        ("COMMAND", {"argv": []}, ["config", "argv"]),
        ("COMMAND", {"argv": ["/bin/echo"], "uid": 0}, ["config", "uid"]),
        ("PYTHON", {"function": "os.system"}, ["config", "function"]),
        ("PYTHON", {"url": "https://example.com"}, None),
    ],
)
async def test_wrong_configuration_is_refused_with_its_path_and_writes_nothing(
    api: Api, kind: str, config: dict[str, Any], path: list[str] | None
) -> None:
    before = await count_rows(api)
    given = {"key": "bad", "kind": kind, "config": config}
    payload = (await api.data(JOB_CREATE, input=given))["jobCreate"]
    assert payload["job"] is None
    assert {error["code"] for error in payload["errors"]} == {"INVALID"}
    paths = [error["path"] for error in payload["errors"]]
    assert all(each[0] == "config" for each in paths)
    assert path is None or path in paths
    assert await count_rows(api) == before


async def test_parameters_must_satisfy_the_schema_of_the_job(api: Api) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    job_id = await api.create_job(parametersSchema=schema)
    fields = {"timings": [{"frequency": "DAILY"}], "parameters": {"n": "one"}}
    error = only(await api.try_schedule(jobId=job_id, key="a", fields=fields))
    assert error["path"] == ["fields", "parameters", "n"]


async def test_repeated_request_returns_the_first_result(api: Api) -> None:
    job_id = await api.create_job()
    given = {
        "jobId": job_id,
        "key": "once",
        "fields": {"timings": [{"frequency": "DAILY"}]},
        "idempotencyKey": "k1",
    }
    first = await api.try_schedule(**given)
    after_first = await count_rows(api)
    again = await api.try_schedule(**given)
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert again["schedule"]["id"] == first["schedule"]["id"]
    assert await count_rows(api) == after_first
    error = only(await api.try_schedule(**{**given, "key": "other"}))
    assert (error["code"], error["path"]) == ("IDEMPOTENCY_CONFLICT", ["idempotencyKey"])


async def test_refused_request_does_not_use_up_its_idempotency_key(api: Api) -> None:
    job_id = await api.create_job()
    bad = {"timings": [{"cron": {"expression": "nonsense"}}]}
    good = {"timings": [{"frequency": "DAILY"}]}
    for fields, accepted in ((bad, False), (good, True)):
        payload = await api.try_schedule(jobId=job_id, key="a", fields=fields, idempotencyKey="k")
        assert (payload["schedule"] is not None) is accepted


async def test_absent_is_unchanged_and_null_clears(api: Api) -> None:
    schedule = await api.create_schedule(
        await api.create_job(), timezone="Europe/Berlin", parameters={"a": 1}
    )
    changed = await api.data(
        UPDATE, input={"id": schedule["id"], "fields": {"name": "New", "parameters": None}}
    )
    after = changed["scheduleUpdate"]["schedule"]
    assert (after["name"], after["parameters"], after["timezone"]) == ("New", {}, "Europe/Berlin")
    assert after["version"] == 2
    unchanged = await api.data(UPDATE, input={"id": schedule["id"], "fields": {"name": "New"}})
    assert unchanged["scheduleUpdate"]["schedule"]["version"] == 2


async def test_stale_version_is_a_conflict(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    given = {"id": schedule["id"], "expectedVersion": 7, "fields": {"name": "New"}}
    error = only((await api.data(UPDATE, input=given))["scheduleUpdate"])
    assert error["__typename"] == "VersionConflictError"
    assert (error["expectedVersion"], error["currentVersion"]) == (7, 1)


async def test_edit_moves_the_next_instant_and_reports_paths_under_fields(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 0 1 1 *")
    hourly = {"timings": [{"frequency": "HOURLY"}]}
    after = (await api.data(UPDATE, input={"id": schedule["id"], "fields": hourly}))[
        "scheduleUpdate"
    ]["schedule"]
    assert after["nextRunAt"] <= (utc_now() + timedelta(hours=1)).isoformat()
    bad = {"timings": [{"cron": {"expression": "0 25 * * *"}}]}
    error = only(
        (await api.data(UPDATE, input={"id": schedule["id"], "fields": bad}))["scheduleUpdate"]
    )
    assert error["path"] == ["fields", "timings", "0", "cron", "expression"]


async def test_pause_and_resume_leave_one_record_of_the_pause(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="* * * * * *")
    paused = (await api.data(PAUSE, input={"id": schedule["id"], "reason": "Maintenance"}))[
        "schedulePause"
    ]["schedule"]
    assert (paused["state"], paused["stateReason"]) == ("PAUSED", "Maintenance")
    assert paused["nextRunAt"] is None
    await _rewind(api, seconds=30)
    resumed = (await api.data(RESUME, input={"id": schedule["id"]}))["scheduleResume"]["schedule"]
    assert resumed["state"] == "ACTIVE"
    assert resumed["missCount"] >= 30
    runs = await api.data("{ runs { nodes { state reason cause rangeCount rangeEnd } } }")
    (record,) = runs["runs"]["nodes"]
    assert (record["state"], record["reason"]) == ("MISSED", "PAUSED")
    assert record["rangeCount"] == resumed["missCount"]


@pytest.mark.parametrize(
    ("choice", "queued"),
    [
        ({"missed": "LATEST"}, 1),
        ({"missed": "ALL"}, 5),
        ({"missed": "DRIP", "dripPerMinute": 60}, 5),
    ],
)
async def test_resume_catches_up_what_it_is_told_to(
    api: Api, choice: dict[str, Any], queued: int
) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="* * * * * *", catchUpLimit=5)
    await api.data(PAUSE, input={"id": schedule["id"], "reason": "Maintenance"})
    await _rewind(api, seconds=30)
    await api.data(RESUME, input={"id": schedule["id"], **choice})
    runs = await api.data(
        "{ runs(first: 100, orderBy: {field: SCHEDULED_FOR, direction: ASC})"
        " { nodes { state cause dueAt scheduledFor rangeEnd } } }"
    )
    missed, *caught_up = runs["runs"]["nodes"]
    assert missed["state"] == "MISSED"
    assert [run["cause"] for run in caught_up] == ["CATCH_UP"] * queued
    assert missed["rangeEnd"] < caught_up[0]["scheduledFor"]
    due = [run["dueAt"] for run in caught_up]
    assert len(set(due)) == (queued if choice["missed"] == "DRIP" else 1)


async def test_archive_cancels_what_waits_and_refuses_further_changes(api: Api) -> None:
    job_id = await api.create_job()
    schedule = await api.create_schedule(job_id)
    trigger = "mutation($i: ScheduleTriggerInput!) { scheduleTrigger(input: $i) { run { id } } }"
    await api.data(trigger, i={"id": schedule["id"]})
    await api.data(ARCHIVE, input={"id": schedule["id"], "reason": "Done"})
    runs = (await api.data("{ runs { nodes { state reason } } }"))["runs"]["nodes"]
    assert runs == [{"state": "CANCELLED", "reason": "ARCHIVED"}]
    again = (await api.data(ARCHIVE, input={"id": schedule["id"]}))["scheduleArchive"]
    assert again["errors"] == []
    error = only((await api.data(RESUME, input={"id": schedule["id"]}))["scheduleResume"])
    assert (error["code"], error["currentState"]) == ("STATE_CONFLICT", "ARCHIVED")


async def test_job_with_schedules_is_not_archived(api: Api) -> None:
    job_id = await api.create_job()
    await api.create_schedule(job_id, "user")
    archive = f"mutation($id: ID!) {{ jobArchive(id: $id) {{ job {{ archivedAt }} {ERRORS} }} }}"
    payload = (await api.data(archive, id=job_id))["jobArchive"]
    assert "user" in payload["errors"][0]["message"]


async def test_job_is_changed_field_by_field(api: Api) -> None:
    job_id = await api.create_job(timeout="PT5M", tags=[{"key": "team", "value": "ops"}])
    payload = (await api.data(JOB_UPDATE, input={"id": job_id, "name": "Renamed", "tags": None}))[
        "jobUpdate"
    ]
    assert payload["job"] == {
        "version": 2,
        "name": "Renamed",
        "config": {"function": "app.handlers.builtin.noop", "isolation": "inline"},
        "parameters": {},
        "timeout": "PT5M",
        "tags": [],
    }
    error = (await api.data(JOB_UPDATE, input={"id": job_id, "retry": {"maxAttempts": 0}}))[
        "jobUpdate"
    ]["errors"][0]
    assert error["path"] == ["retry", "maxAttempts"]


async def test_bulk_creates_all_or_nothing(api: Api) -> None:
    job_id = await api.create_job()
    inputs = [
        {
            "jobId": job_id,
            "key": f"bulk-{n}",
            "fields": {"timings": [{"cron": {"expression": f"{n % 60} * * * *"}}]},
            "allowDuplicate": True,
        }
        for n in range(200)
    ]
    broken = [*inputs, {**inputs[0], "key": "x", "fields": {"timings": []}}, inputs[3]]
    before = await count_rows(api)
    refused = (await api.data(BULK, inputs=broken))["schedulesCreate"]
    assert refused["errors"]
    assert not any(result["ok"] for result in refused["results"])
    assert refused["results"][200]["errors"][0]["path"] == ["inputs", "200", "fields", "timings"]
    assert await count_rows(api) == before
    accepted = (await api.data(BULK, inputs=inputs))["schedulesCreate"]
    assert accepted["matched"] == 200
    assert all(result["ok"] for result in accepted["results"])
    after = await count_rows(api)
    assert after["schedule"] - before["schedule"] == 200
    assert after["audit"] - before["audit"] == 200
    assert after["event"] - before["event"] == 1


async def test_same_key_twice_in_one_bulk_is_refused(api: Api) -> None:
    job_id = await api.create_job()
    one = {"jobId": job_id, "key": "same", "fields": {"timings": [{"frequency": "DAILY"}]}}
    two = {**one, "fields": {"timings": [{"frequency": "HOURLY"}]}}
    payload = (await api.data(BULK, inputs=[one, two]))["schedulesCreate"]
    assert payload["results"][1]["errors"][0]["path"] == ["inputs", "1", "key"]


async def test_instant_in_the_past_runs_at_once_when_told_to(api: Api) -> None:
    job_id = await api.create_job()
    at = (utc_now() - timedelta(hours=1)).isoformat()
    payload = await api.try_schedule(
        jobId=job_id, key="late", fields={"timings": [{"once": {"at": at, "runIfPast": True}}]}
    )
    assert payload["schedule"]["state"] == "COMPLETED"
    (run,) = (await api.data("{ runs { nodes { state cause scheduledFor dueAt } } }"))["runs"][
        "nodes"
    ]
    assert (run["state"], run["cause"]) == ("QUEUED", "SCHEDULE")
    assert run["scheduledFor"] < run["dueAt"]


async def test_every_accepted_mutation_leaves_one_audit_entry(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job())
    await api.data(UPDATE, input={"id": schedule["id"], "fields": {"name": "New"}})
    await api.data(PAUSE, input={"id": schedule["id"], "reason": "Because"})
    await api.data(RESUME, input={"id": schedule["id"]})
    await api.data(ARCHIVE, input={"id": schedule["id"]})
    async with api.runtime.database.reading(None) as connection:
        rows = (
            await connection.execute(
                text("SELECT action, actor->>'name', request_id FROM audit ORDER BY id")
            )
        ).all()
    assert [row[0] for row in rows] == [
        "jobCreate",
        "scheduleCreate",
        "scheduleUpdate",
        "schedulePause",
        "scheduleResume",
        "scheduleArchive",
    ]
    assert {row[1] for row in rows} == {"admin"}
    assert len({row[2] for row in rows}) == len(rows)


async def _rewind(api: Api, *, seconds: int) -> None:
    """Let the cursors of all schedules lie further back, as if time had passed."""
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text("UPDATE schedule SET cursor_at = cursor_at - make_interval(secs => :seconds)"),
            {"seconds": seconds},
        )
