"""Calendars over the API."""

from typing import Any

from tests.schema.api import ERRORS, Api

PUT = f"""mutation($input: CalendarInput!) {{
    calendarPut(input: $input) {{ calendar {{ id key name version dates rules }} {ERRORS} }} }}"""
DELETE = f"""mutation($key: String!) {{
    calendarDelete(key: $key) {{ calendar {{ key }} {ERRORS} }} }}"""


async def test_a_calendar_is_put_listed_followed_and_deleted_when_nobody_follows(api: Api) -> None:
    # 25 December is a holiday in Germany whatever the year.
    given = {"key": "de", "name": "Germany", "rules": {"holidays": [{"country": "DE"}]}}
    calendar = (await _put(api, **given))["calendar"]
    assert (calendar["version"], calendar["dates"]) == (1, [])
    schedule = await api.create_schedule(
        await api.create_job(),
        "christmas",
        cron="0 12 24,25,27 12 *",
        timezone="Europe/Berlin",
        calendarIds=[calendar["id"]],
        calendarMode="EXCLUDE",
    )
    data = await api.data(
        """query($id: ID!, $calendar: ID!) { node(id: $calendar) { ... on Calendar { key } }
             schedule(id: $id) { nextRunAt calendarMode calendars { key }
             upcoming(first: 4) { local willRun } } calendars { key name } }""",
        id=schedule["id"],
        calendar=calendar["id"],
    )
    assert data["node"] == {"key": "de"}
    assert data["calendars"] == [{"key": "de", "name": "Germany"}]
    assert data["schedule"]["calendars"] == [{"key": "de"}]
    days = {each["local"][5:10] for each in data["schedule"]["upcoming"]}
    assert days == {"12-24", "12-27"}
    refused = (await api.data(DELETE, key="de"))["calendarDelete"]
    assert refused["errors"][0]["code"] == "STATE_CONFLICT"
    assert "christmas" in refused["errors"][0]["message"]


async def test_a_calendar_that_is_wrong_says_where_and_writes_nothing(api: Api) -> None:
    payload = await _put(api, key="bad", name="Bad", dates=["2026-02-30"], rules={"weekday": []})
    paths = {tuple(error["path"]) for error in payload["errors"]}
    assert paths == {("dates", "0"), ("rules", "weekday")}
    assert (await api.data("{ calendars { key } }"))["calendars"] == []


async def test_the_calendar_of_another_kind_of_id_is_refused(api: Api) -> None:
    job_id = await api.create_job()
    payload = await api.try_schedule(
        jobId=job_id,
        key="noon",
        fields={"timings": [{"frequency": "DAILY"}], "calendarIds": [job_id]},
    )
    assert payload["errors"][0]["code"] == "NOT_FOUND"


async def _put(api: Api, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.data(PUT, input=given))["calendarPut"]
    return found
