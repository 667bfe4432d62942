"""Previews over the API: what is previewed is what is saved."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from tests.schema.api import ERRORS, Api

OCCURRENCE = "at nominal local offset nominalLocals willRun adjustments note schedule { key }"
PREVIEW = f"""
query($jobId: ID, $key: String, $fields: ScheduleFields!, $from: DateTime, $until: DateTime,
      $count: Int! = 20) {{
    schedulePreview(jobId: $jobId, key: $key, fields: $fields, from: $from, until: $until,
                    count: $count) {{
        truncated occurrences {{ {OCCURRENCE} }} warnings {{ code message }}
        conflicts {{ kind severity at message suggestion schedules {{ key }} }} {ERRORS} }} }}
"""
CHANGE = f"""
query($id: ID!, $fields: ScheduleFields!, $effectiveFrom: DateTime, $horizon: Duration! = "P30D") {{
    scheduleChangePreview(id: $id, fields: $fields, effectiveFrom: $effectiveFrom,
                          horizon: $horizon) {{
        unchanged nextBefore nextAfter truncated added {{ at }} removed {{ at }}
        warnings {{ code }} {ERRORS} }} }}
"""
UPDATE = f"""mutation($input: ScheduleUpdateInput!) {{
    scheduleUpdate(input: $input) {{ schedule {{ version nextRunAt effectiveFrom
        upcoming(first: 50) {{ at }} }} {ERRORS} }} }}"""
PAUSE = """mutation($input: SchedulePauseInput!) {
    schedulePause(input: $input) { schedule { state } errors { message } } }"""


async def test_a_preview_shows_the_gap_before_it_happens(api: Api) -> None:
    # In 2027 Berlin's clocks go from 02:00 to 03:00 on Sunday, 28 March, at 01:00 UTC.
    preview = await _preview(
        api,
        fields=_cron("30 2 * * *", timezone="Europe/Berlin"),
        **{"from": "2027-03-27T00:00:00Z", "until": "2027-03-30T00:00:00Z"},
    )
    shown = [(each["at"], each["local"], each["adjustments"]) for each in preview["occurrences"]]
    assert shown == [
        ("2027-03-27T01:30:00Z", "2027-03-27T02:30:00", []),
        ("2027-03-28T01:00:00Z", "2027-03-28T02:30:00", ["GAP_MOVED"]),
        ("2027-03-29T00:30:00Z", "2027-03-29T02:30:00", []),
    ]
    assert preview["truncated"] is False


async def test_a_preview_shows_what_a_gap_swallows_and_a_calendar_excludes(api: Api) -> None:
    await api.data(
        """mutation { calendarPut(input: {key: "easter", name: "Easter", dates: ["2027-03-29"]}) {
             errors { message } } }"""
    )
    (calendar,) = (await api.data("{ calendars { id key dates } }"))["calendars"]
    preview = await _preview(
        api,
        fields=_cron(
            "30 2 * * *", timezone="Europe/Berlin", dstGap="SKIP", calendarIds=[calendar["id"]]
        ),
        **{"from": "2027-03-27T12:00:00Z", "count": 2},
    )
    gap, monday = preview["occurrences"]
    assert (gap["willRun"], gap["adjustments"]) == (False, ["GAP_SKIPPED"])
    assert (monday["willRun"], monday["adjustments"]) == (False, ["CALENDAR_EXCLUDED"])
    assert "Easter" in monday["note"]
    assert preview["truncated"] is True


async def test_an_unusable_calendar_id_is_an_error_of_the_preview_like_any_other(api: Api) -> None:
    """Seen to fail where reading the fields refuses the whole answer."""
    fields = _cron("0 12 * * *", calendarIds=["nope"])
    job_id = await api.create_job()
    schedule = await api.create_schedule(job_id, "noon", timings=fields["timings"])
    change = await api.data(CHANGE, id=schedule["id"], fields=fields)
    preview = await api.data(PREVIEW, fields=fields)
    for answer in (preview["schedulePreview"], change["scheduleChangePreview"]):
        (error,) = answer["errors"]
        assert error["code"] == "NOT_FOUND"
        assert error["path"] == ["fields", "calendarIds", "0"]


async def test_what_is_previewed_is_what_is_saved(api: Api) -> None:
    # H and jitter depend on the key: preview, creation, list and cronExplain must agree on it.
    job_id = await api.create_job()
    fields = _cron("H H(1-4) * * *", timezone="America/New_York", jitter="PT10M")
    preview = await _preview(api, jobId=job_id, key="nightly", fields=fields, count=10)
    schedule = await api.create_schedule(job_id, "nightly", **fields)
    data = await api.data(
        """query($id: ID!) { schedule(id: $id) { upcoming(first: 10) { at nominal } }
             cronExplain(expression: "H H(1-4) * * *", timezone: "America/New_York",
                         key: "nightly", count: 10) { next { nominal } }
             upcoming(until: "2100-01-01T00:00:00Z", limit: 1) { at schedule { key } } }""".replace(
            "2100-01-01T00:00:00Z", _iso(datetime.now(UTC) + timedelta(days=3))
        ),
        id=schedule["id"],
    )
    saved = data["schedule"]["upcoming"]
    assert [each["at"] for each in preview["occurrences"]] == [each["at"] for each in saved]
    explained = [each["nominal"] for each in data["cronExplain"]["next"]]
    assert explained == [each["nominal"] for each in saved]
    assert data["upcoming"] == [{"at": saved[0]["at"], "schedule": {"key": "nightly"}}]


async def test_a_preview_says_what_is_wrong_and_which_schedules_are_in_the_way(api: Api) -> None:
    job_id = await api.create_job()
    await api.create_schedule(job_id, "noon", cron="0 12 * * *", timezone="UTC")
    wrong = await _preview(
        api, jobId=job_id, fields=_cron("0 25 * * *", timezone="Europe/Berlyn", maxRuns=0)
    )
    paths = {tuple(error["path"]) for error in wrong["errors"]}
    assert ("fields", "timings", "0", "cron", "expression") in paths
    assert ("fields", "timezone") in paths
    assert ("fields", "maxRuns") in paths
    assert wrong["occurrences"] == []
    twin = await _preview(api, jobId=job_id, fields=_cron("0 12 * * *", timezone="UTC"))
    assert [(c["kind"], c["schedules"]) for c in twin["conflicts"]] == [
        ("DUPLICATE", [{"key": "noon"}])
    ]
    near = await _preview(api, jobId=job_id, fields=_cron("0 */6 * * *", timezone="UTC"))
    assert [c["kind"] for c in near["conflicts"]] == ["SAME_JOB_SAME_INSTANT"]


async def test_a_change_preview_is_what_the_change_does(api: Api) -> None:
    schedule = await api.create_schedule(
        await api.create_job(), "noon", cron="0 12 * * *", timezone="UTC"
    )
    fields = _cron("0 12 * * MON-FRI", timezone="UTC")
    preview = await _change(api, id=schedule["id"], fields=fields, horizon="P28D")
    # Four weeks have eight days of weekend.
    assert len(preview["removed"]) == 8
    assert (preview["added"], preview["unchanged"]) == ([], 20)
    assert preview["nextBefore"] == schedule["nextRunAt"]
    payload = await _update(api, id=schedule["id"], fields=fields)
    assert payload["schedule"]["nextRunAt"] == preview["nextAfter"]
    instants = {each["at"] for each in payload["schedule"]["upcoming"]}
    assert not instants & {each["at"] for each in preview["removed"]}


async def test_a_change_from_later_on_leaves_what_comes_before(api: Api) -> None:
    schedule = await api.create_schedule(
        await api.create_job(), "noon", cron="0 12 * * *", timezone="UTC"
    )
    noon = datetime.fromisoformat(schedule["nextRunAt"])
    turn = _iso(noon + timedelta(days=2, hours=1))
    fields = _cron("0 18 * * *", timezone="UTC")
    preview = await _change(
        api, id=schedule["id"], fields=fields, effectiveFrom=turn, horizon="P10D"
    )
    assert preview["unchanged"] == 3
    assert preview["nextAfter"] == schedule["nextRunAt"]
    payload = await _update(api, id=schedule["id"], fields=fields, effectiveFrom=turn)
    upcoming = [each["at"] for each in payload["schedule"]["upcoming"][:4]]
    days = [noon + timedelta(days=day) for day in range(3)]
    assert upcoming == [_iso(each) for each in [*days, noon + timedelta(days=2, hours=6)]]
    assert payload["schedule"]["effectiveFrom"] == turn
    late = await _update(
        api, id=schedule["id"], fields=fields, effectiveFrom="2020-01-01T00:00:00Z"
    )
    assert late["errors"][0]["path"] == ["effectiveFrom"]


async def test_a_change_preview_of_nothing_is_an_error_and_of_a_wrong_one_too(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), "noon", cron="0 12 * * *")
    preview = await _change(api, id=schedule["id"], fields={"timezone": "Mars"})
    assert preview["errors"][0]["path"] == ["fields", "timezone"]
    unknown = "schedule_" + "0" * 32
    preview = await _change(api, id=unknown, fields={})
    assert preview["errors"][0]["code"] == "NOT_FOUND"


async def test_a_resume_plan_counts_what_the_pause_has_missed(api: Api) -> None:
    schedule = await api.create_schedule(await api.create_job(), "often", cron="* * * * * *")
    await api.data(PAUSE, input={"id": schedule["id"], "reason": "A test."})
    async with api.runtime.database.transaction() as transaction:
        # As if it had been paused for 37 seconds.
        await transaction.execute(
            text("UPDATE schedule SET cursor_at = date_trunc('second', now()) - interval '37 s'")
        )
    plan = """query($id: ID!, $missed: ResumeChoice!) { resumePlan(scheduleId: $id, missed: $missed)
        { missed exact from until wouldRun { at } } }"""
    skip = (await api.data(plan, id=schedule["id"], missed="SKIP"))["resumePlan"]
    assert skip["missed"] >= 37
    assert (skip["exact"], skip["wouldRun"]) == (True, [])
    latest = (await api.data(plan, id=schedule["id"], missed="LATEST"))["resumePlan"]
    assert [each["at"] for each in latest["wouldRun"]] == [latest["until"]]


async def test_a_resume_plan_counts_what_was_decided_by_hand_in_the_pause(api: Api) -> None:
    """What was added is missed with the others, what somebody skips is not: as the resume says.

    Made to fail by planning without the overrides.
    """
    schedule = await api.create_schedule(await api.create_job(), "rarely", cron="0 0 1 1 *")
    await api.data(PAUSE, input={"id": schedule["id"], "reason": "A test."})
    at = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    added = {"scheduleId": schedule["id"], "at": at, "action": "ADD", "reason": "A test."}
    override = "mutation ($input: OccurrenceOverrideInput!) { occurrenceOverride(input: $input)"
    await api.data(override + " { errors { message } } }", input=added)
    async with api.runtime.database.transaction() as transaction:
        # As if its instant had come.
        await transaction.execute(
            text(
                "UPDATE occurrence_override SET at = now() - interval '1 minute',"
                " fires_at = now() - interval '1 minute'"
            )
        )
    plan = """query($id: ID!, $missed: ResumeChoice!) { resumePlan(scheduleId: $id, missed: $missed)
        { missed exact from until wouldRun { nominal } } }"""
    skip = (await api.data(plan, id=schedule["id"], missed="SKIP"))["resumePlan"]
    assert (skip["missed"], skip["exact"], skip["wouldRun"]) == (1, True, [])
    latest = (await api.data(plan, id=schedule["id"], missed="LATEST"))["resumePlan"]
    assert [each["nominal"] for each in latest["wouldRun"]] == [latest["from"]] == [latest["until"]]
    resume = """mutation ($input: ScheduleResumeInput!) { scheduleResume(input: $input)
        { schedule { missCount } } }"""
    resumed = await api.data(resume, input={"id": schedule["id"]})
    assert resumed["scheduleResume"]["schedule"]["missCount"] == skip["missed"]


async def test_presets_and_zones_are_listed(api: Api) -> None:
    data = await api.data('{ cronPresets { name expression } timezones(search: "new york") }')
    assert {"name": "Every hour", "expression": "0 * * * *"} in data["cronPresets"]
    assert data["timezones"] == ["America/New_York"]


async def _preview(api: Api, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.data(PREVIEW, **variables))["schedulePreview"]
    return found


async def _change(api: Api, **variables: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.data(CHANGE, **variables))["scheduleChangePreview"]
    return found


async def _update(api: Api, **given: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await api.data(UPDATE, input=given))["scheduleUpdate"]
    return found


def _cron(expression: str, **fields: Any) -> dict[str, Any]:
    return {"timings": [{"cron": {"expression": expression}}], **fields}


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
