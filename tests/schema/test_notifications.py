"""Notification rules are put, replaced, shown and deleted; one that means nothing is refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.schema.api import ERRORS, Api, running_api

KEYS = "test:" + "A" * 43 + "="
SECRET = "correct-horse-battery-staple"
RULE = "id key events target filter version lastDeliveredAt lastError"
RULES = f"{{ notificationRules {{ {RULE} }} }}"
PUT = f"""mutation($input: NotificationRuleInput!) {{
    notificationRulePut(input: $input) {{ rule {{ {RULE} }} {ERRORS} }} }}"""
DELETE = f"""mutation($key: String!) {{
    notificationRuleDelete(key: $key) {{ rule {{ key }} {ERRORS} }} }}"""
SECRET_PUT = f"""mutation($input: SecretPutInput!) {{
    secretPut(input: $input) {{ secret {{ key }} {ERRORS} }} }}"""
SECRET_DELETE = f"""mutation($key: String!) {{
    secretDelete(key: $key) {{ secret {{ key }} {ERRORS} }} }}"""
AUDIT = "{ audit(first: 5) { nodes { action summary } } }"
NODE = "query($id: ID!) { node(id: $id) { ... on NotificationRule { key } } }"
HOOK = {"type": "webhook", "url": "http://127.0.0.1:9/hook", "sign": "hook"}


@pytest_asyncio.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A server that can seal secrets, and has no mail server."""
    async with running_api(database_url, redis_url, secret_keys=KEYS) as client:
        await client.data(SECRET_PUT, input={"key": "hook", "value": SECRET})
        yield client


async def put(api: Api, **given: Any) -> dict[str, Any]:
    values = {"key": "on-call", "events": ["RUN_FAILED"], "target": HOOK, **given}
    payload: dict[str, Any] = (await api.data(PUT, input=values))["notificationRulePut"]
    return payload


async def test_rule_is_created_replaced_shown_and_deleted(api: Api) -> None:
    assert (await put(api))["rule"]["version"] == 1
    assert (await put(api))["rule"]["version"] == 1
    wanted = {"events": ["RUN_RECOVERED", "RUN_FAILED"], "filter": {"tags": {"team": "money"}}}
    rule = (await put(api, **wanted))["rule"]
    assert (rule["version"], rule["events"]) == (2, ["RUN_FAILED", "RUN_RECOVERED"])
    assert (await api.data(RULES))["notificationRules"] == [rule]
    assert (await api.data(NODE, id=rule["id"]))["node"] == {"key": "on-call"}
    deleted = (await api.data(DELETE, key="on-call"))["notificationRuleDelete"]
    assert (deleted["rule"], deleted["errors"]) == ({"key": "on-call"}, [])
    assert (await api.data(RULES))["notificationRules"] == []
    audit = (await api.data(AUDIT))["audit"]["nodes"]
    assert [each["summary"] for each in audit][:3] == [
        "Deleted notification rule on-call.",
        "Changed notification rule on-call.",
        "Created notification rule on-call.",
    ]


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        ({"key": "no key"}, "INVALID", ["key"]),
        ({"events": []}, "INVALID", ["events"]),
        ({"target": {"type": "pigeon"}}, "INVALID", ["target", "type"]),
        ({"target": {**HOOK, "url": "http://10.1.2.3/"}}, "INVALID", ["target", "url"]),
        ({"target": {**HOOK, "url": "file:///etc/passwd"}}, "INVALID", ["target", "url"]),
        ({"target": {**HOOK, "colour": "red"}}, "INVALID", ["target", "colour"]),
        ({"target": {**HOOK, "sign": "none"}}, "NOT_FOUND", ["target", "sign"]),
        ({"target": {"type": "email", "to": []}}, "INVALID", ["target", "to"]),
        ({"target": {"type": "email", "to": ["a\nb@c"]}}, "INVALID", ["target", "to", "0"]),
        (
            {"target": {"type": "email", "to": ["a@example.org"]}},
            "DEPENDENCY_UNAVAILABLE",
            ["target"],
        ),
        ({"filter": {"jobs": "all"}}, "INVALID", ["filter", "jobs"]),
        ({"filter": {"minSeverity": "LOUD"}}, "INVALID", ["filter", "minSeverity"]),
        ({"filter": {"job": []}}, "INVALID", ["filter", "job"]),
    ],
)
async def test_rule_that_means_nothing_is_refused_and_nothing_is_written(
    api: Api, given: dict[str, Any], code: str, path: list[str]
) -> None:
    payload = await put(api, **given)
    assert payload["rule"] is None
    assert [(error["code"], error["path"][-len(path) :]) for error in payload["errors"]] == [
        (code, path)
    ]
    assert (await api.data(RULES))["notificationRules"] == []


async def test_secret_that_signs_for_a_rule_is_not_deleted(api: Api) -> None:
    await put(api)
    payload = (await api.data(SECRET_DELETE, key="hook"))["secretDelete"]
    assert payload["errors"][0]["code"] == "STATE_CONFLICT"
    assert "notification rule on-call" in payload["errors"][0]["message"]
    await api.data(DELETE, key="on-call")
    assert (await api.data(SECRET_DELETE, key="hook"))["secretDelete"]["errors"] == []


async def test_rule_that_does_not_exist_is_not_deleted(api: Api) -> None:
    payload = (await api.data(DELETE, key="nobody"))["notificationRuleDelete"]
    assert payload["errors"][0]["code"] == "NOT_FOUND"
