"""The policies of a schedule through GraphQL: given, read again, changed, refused, previewed."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from tests.schema.api import Api

POLICIES = "spacing overlapLimit catchUpRatePerMinute probeAfter"
READ = f"query($id: ID!) {{ schedule(id: $id) {{ version {POLICIES} }} }}"
UPDATE = """
mutation($id: ID!, $fields: ScheduleFields!) {
  scheduleUpdate(input: {id: $id, fields: $fields}) {
    errors { path message ... on ValidationError { code } }
    schedule { versions(first: 1) { nodes { diff { path before after } snapshot } } }
  }
}"""
WHOLE: dict[str, Any] = {
    "overlap": "QUEUE_ALL",
    "overlapLimit": 20,
    "catchUp": "ALL",
    "catchUpRatePerMinute": 2,
    "spacing": "PT30S",
    "pauseAfterFailures": 3,
    "probeAfter": "PT10M",
}


async def test_policies_are_kept_and_told(api: Api) -> None:
    created = await api.create_schedule(await api.create_job(), cron="* * * * *", **WHOLE)
    found = (await api.data(READ, id=created["id"]))["schedule"]
    assert found == {
        "version": 1,
        **{name: WHOLE[name] for name in POLICIES.split()},
    }


async def test_a_change_of_a_policy_is_a_version_with_its_difference(api: Api) -> None:
    created = await api.create_schedule(await api.create_job(), cron="* * * * *", **WHOLE)
    fields = {"spacing": None, "overlapLimit": 5}
    payload = (await api.data(UPDATE, id=created["id"], fields=fields))["scheduleUpdate"]
    [version] = payload["schedule"]["versions"]["nodes"]
    assert sorted(version["diff"], key=lambda change: change["path"]) == [
        {"path": "overlapLimit", "before": 20, "after": 5},
        {"path": "spacing", "before": "PT30S", "after": None},
    ]
    assert version["snapshot"]["probeAfter"] == "PT10M"
    assert "lastStartAt" not in version["snapshot"]


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"spacing": "PT0S"}, "spacing", "at least"),
        ({"overlap": "QUEUE_ALL", "overlapLimit": 1001}, "overlapLimit", "between 1 and 1,000"),
        ({"overlapLimit": 5}, "overlapLimit", "QUEUE_ALL"),
        ({"catchUpRatePerMinute": 5}, "catchUpRatePerMinute", "ALL"),
        (
            {"catchUp": "ALL", "catchUpRatePerMinute": 0},
            "catchUpRatePerMinute",
            "between 1 and 6,000",
        ),
        ({"probeAfter": "PT1M"}, "probeAfter", "pauseAfterFailures"),
        ({"catchUp": "ALL", "spacing": "PT1M"}, "spacing", "catchUpRatePerMinute"),
        ({"endAt": "2020-01-01T00:00:00Z"}, "endAt", "in the past"),
    ],
)
async def test_what_contradicts_is_refused_with_reason_and_path(
    api: Api, fields: dict[str, Any], path: str, words: str
) -> None:
    given = {"timings": [{"frequency": "HOURLY"}], **fields}
    payload = await api.try_schedule(jobId=await api.create_job(), key="bad", fields=given)
    [error] = payload["errors"]
    assert error["path"] == ["fields", path]
    assert words in error["message"]
    assert payload["schedule"] is None


async def test_a_schedule_whose_window_is_over_may_still_be_renamed(api: Api) -> None:
    created = await api.create_schedule(await api.create_job(), cron="* * * * *")
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(text("UPDATE schedule SET end_at = now() - interval '1 hour'"))
    payload = (await api.data(UPDATE, id=created["id"], fields={"name": "Old"}))["scheduleUpdate"]
    assert payload["errors"] == []


async def test_a_preview_shows_what_spacing_passes_over(api: Api) -> None:
    preview = """query($fields: ScheduleFields!) {
      schedulePreview(fields: $fields, count: 4) {
        occurrences { willRun note } errors { message } } }"""
    fields = {"timings": [{"interval": {"every": "PT1M"}}], "spacing": "PT2M"}
    found = (await api.data(preview, fields=fields))["schedulePreview"]
    assert [one["willRun"] for one in found["occurrences"]] == [True, False, True, False]
    assert "spacing" in found["occurrences"][1]["note"]


def a_minute_after(instant: str) -> str:
    """Return the instant a minute later, as the API writes it."""
    return (datetime.fromisoformat(instant) + timedelta(minutes=1)).isoformat()


async def test_upcoming_and_why_not_know_of_spacing(api: Api) -> None:
    created = await api.create_schedule(await api.create_job(), cron="* * * * *", spacing="PT2M")
    query = "query($id: ID!) { schedule(id: $id) { upcoming(first: 3) { at } } }"
    upcoming = (await api.data(query, id=created["id"]))["schedule"]["upcoming"]
    first, second, _ = (one["at"] for one in upcoming)
    why = """query($id: ID!, $at: DateTime!) {
      schedule(id: $id) { whyNot(at: $at) { outcome reason } } }"""
    answers = [
        (await api.data(why, id=created["id"], at=at))["schedule"]["whyNot"]
        for at in (first, a_minute_after(first), second)
    ]
    assert answers == [
        {"outcome": "WILL_RUN", "reason": None},
        {"outcome": "WILL_SKIP", "reason": "SPACING"},
        {"outcome": "WILL_RUN", "reason": None},
    ]
