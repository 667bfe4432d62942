"""What would never run is refused when it is saved, and the field at fault is named."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.schema.api import ERRORS, SCHEDULE, Api

UPDATE = f"""mutation($input: ScheduleUpdateInput!) {{
    scheduleUpdate(input: $input) {{ {SCHEDULE} {ERRORS} }} }}"""
PREVIEW = f"""query($key: String, $fields: ScheduleFields!) {{
    schedulePreview(key: $key, fields: $fields) {{ occurrences {{ at }} {ERRORS} }} }}"""
CHANGE = f"""query($id: ID!, $fields: ScheduleFields!, $from: DateTime) {{
    scheduleChangePreview(id: $id, fields: $fields, effectiveFrom: $from) {{
        unchanged {ERRORS} }} }}"""
WEEKEND = f"""mutation {{ calendarPut(input: {{
    key: "weekend", name: "Weekend", rules: {{ weekdays: ["SAT", "SUN"] }} }}) {{
        calendar {{ id }} {ERRORS} }} }}"""

# 2 February 2050 is a Wednesday; February never has a 30th, and a window of a day has one noon.
NARROW = {"startAt": "2050-02-02T13:00:00Z", "endAt": "2050-02-03T11:00:00Z"}


def noon(expression: str = "0 12 * * *", **fields: Any) -> dict[str, Any]:
    return {"timings": [{"cron": {"expression": expression}}], "timezone": "UTC", **fields}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (noon(**NARROW), "endAt"),
        (
            {
                "timings": [{"once": {"at": "2050-01-01T00:00:00Z"}}],
                "startAt": "2051-01-01T00:00:00Z",
            },
            "startAt",
        ),
        (noon("0 12 1 1 *", startAt="2050-02-02T00:00:00Z", endAt="2050-12-31T00:00:00Z"), "endAt"),
        (
            {
                "timings": [{"once": {"at": "2050-01-01T00:00:00Z"}}],
                "endAt": "2049-01-01T00:00:00Z",
            },
            "endAt",
        ),
    ],
)
async def test_a_window_in_which_nothing_is_due_is_refused(
    api: Api, fields: dict[str, Any], path: str
) -> None:
    """Seen to fail without `refuse_never_due`: then it is accepted, and over at that moment."""
    job_id = await api.create_job()
    error = only(await api.try_schedule(jobId=job_id, key="never", fields=fields))
    assert (error["code"], error["path"]) == ("INVALID", ["fields", path])
    assert "would never run" in error["message"]
    listed = await api.data("{ schedules { nodes { key } } }")
    assert listed["schedules"]["nodes"] == []
    previewed = await api.data(PREVIEW, key="never", fields=fields)
    assert previewed["schedulePreview"]["errors"] == [error]


async def test_calendars_that_exclude_every_occurrence_are_refused(api: Api) -> None:
    job_id = await api.create_job()
    weekend = (await api.data(WEEKEND))["calendarPut"]["calendar"]["id"]
    fields = noon("0 12 * * SAT", calendarIds=[weekend])
    error = only(await api.try_schedule(jobId=job_id, key="never", fields=fields))
    assert (error["code"], error["path"]) == ("INVALID", ["fields", "calendarIds"])
    moved = {**fields, "calendarMode": "MOVE_NEXT"}
    assert (await api.try_schedule(jobId=job_id, key="moved", fields=moved))["errors"] == []


async def test_one_timing_that_is_due_is_enough(api: Api) -> None:
    job_id = await api.create_job()
    fields = noon("0 14 2 2 *", **NARROW)
    fields["timings"].append({"cron": {"expression": "0 12 * * *"}})
    assert (await api.try_schedule(jobId=job_id, key="some", fields=fields))["errors"] == []


async def test_what_runs_although_it_has_passed_is_enough(api: Api) -> None:
    job_id = await api.create_job()
    fields = {"timings": [{"once": {"at": "2020-01-01T00:00:00Z", "runIfPast": True}}]}
    assert (await api.try_schedule(jobId=job_id, key="past", fields=fields))["errors"] == []


async def test_an_edit_after_which_nothing_is_due_is_refused_and_changes_nothing(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 12 * * *", timezone="UTC")
    given = {"id": schedule["id"], "fields": NARROW}
    error = only((await api.data(UPDATE, input=given))["scheduleUpdate"])
    assert (error["code"], error["path"]) == ("INVALID", ["fields", "endAt"])
    previewed = await api.data(CHANGE, id=schedule["id"], fields=NARROW)
    assert previewed["scheduleChangePreview"]["errors"] == [error]
    later = {"from": "2060-01-01T00:00:00Z", "fields": {"endAt": "2059-01-01T00:00:00Z"}}
    ending = (await api.data(CHANGE, id=schedule["id"], **later))["scheduleChangePreview"]
    assert ending["errors"] == []
    both = {"endAt": "2059-01-01T00:00:00Z", "timezone": "Europe/Berlin"}
    error = only(
        (await api.data(CHANGE, id=schedule["id"], **later | {"fields": both}))[
            "scheduleChangePreview"
        ]
    )
    assert error["path"] == ["fields", "endAt"]


async def test_an_edit_of_the_end_alone_may_end_a_schedule(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), cron="0 12 * * *", timezone="UTC")
    before_the_next = datetime.fromisoformat(schedule["nextRunAt"]) - timedelta(microseconds=1)
    given = {"id": schedule["id"], "fields": {"endAt": before_the_next.isoformat()}}
    ended = (await api.data(UPDATE, input=given))["scheduleUpdate"]
    assert ended["errors"] == []
    assert ended["schedule"]["state"] == "EXPIRED"
    named = {"id": schedule["id"], "fields": {"name": "Over"}}
    assert (await api.data(UPDATE, input=named))["scheduleUpdate"]["errors"] == []


def only(payload: dict[str, Any]) -> dict[str, Any]:
    """Return the single error of a payload."""
    (error,) = payload["errors"]
    found: dict[str, Any] = error
    return found
