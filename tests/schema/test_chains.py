"""Chains through the API: what may be drawn, and who is told.

Breaks that were tried: `_check_links` does not look for circles; `_check_parameters` does not look
at the target; `archive_job` does not look for chains; `read_possible_users` leaves chains out.
"""

from itertools import pairwise
from typing import Any

from app.core.chaining import MOST_CHAINED
from app.sealing import new_key
from tests.schema.api import ERRORS, Api, running_api
from tests.schema.test_secrets import delete, put

CHAIN = "chain { id on parameters fanOut fanOutLimit job { key } target { key } }"
PUT = f"mutation($input: ChainInput!) {{ chainPut(input: $input) {{ {CHAIN} {ERRORS} }} }}"
DELETE = f"mutation($id: ID!) {{ chainDelete(id: $id) {{ {CHAIN} {ERRORS} }} }}"
ARCHIVE = f"mutation($id: ID!) {{ jobArchive(id: $id) {{ job {{ key }} {ERRORS} }} }}"
JOB = "query($id: ID!) { job(id: $id) { chains { id target { key } } } }"


async def put_chain(api: Api, job_id: str, target_id: str, **more: Any) -> dict[str, Any]:
    given = {"jobId": job_id, "targetId": target_id, **more}
    return dict((await api.data(PUT, input=given))["chainPut"])


async def refused(api: Api, job_id: str, target_id: str, **more: Any) -> set[tuple[str, ...]]:
    """Return the paths of what is wrong with a chain."""
    payload = await put_chain(api, job_id, target_id, **more)
    assert payload["chain"] is None
    return {tuple(error["path"]) for error in payload["errors"]}


async def jobs(api: Api, *keys: str) -> list[str]:
    return [await api.create_job(key) for key in keys]


async def test_a_chain_is_put_replaced_and_deleted(api: Api) -> None:
    a, b = await jobs(api, "a", "b")
    chain = (await put_chain(api, a, b))["chain"]
    assert (chain["on"], chain["parameters"], chain["fanOut"]) == ("SUCCEEDED", {}, None)
    assert (chain["job"]["key"], chain["target"]["key"]) == ("a", "b")
    again = (await put_chain(api, a, b, on="ANY", fanOut="files"))["chain"]
    assert (again["id"], again["on"], again["fanOutLimit"]) == (chain["id"], "ANY", 100)
    (listed,) = (await api.data(f"{{ chains {{ {CHAIN[8:-2]} }} }}"))["chains"]
    assert listed == again
    assert (await api.data(JOB, id=a))["job"]["chains"] == [
        {"id": chain["id"], "target": {"key": "b"}}
    ]
    node = await api.data("query($id: ID!) { node(id: $id) { id } }", id=chain["id"])
    assert node["node"] == {"id": chain["id"]}
    assert (await api.data(DELETE, id=chain["id"]))["chainDelete"]["errors"] == []
    (error,) = (await api.data(DELETE, id=chain["id"]))["chainDelete"]["errors"]
    assert error["__typename"] == "NotFoundError"
    assert (await api.data(JOB, id=a))["job"]["chains"] == []
    entries = (await api.data("{ audit { nodes { action summary } } }"))["audit"]["nodes"]
    told = [entry["summary"] for entry in entries if entry["action"].startswith("chain")]
    assert sorted(told) == [
        "Changed the chain from a to b.",
        "Created the chain from a to b.",
        "Deleted the chain from a to b.",
    ]


async def test_chains_lead_in_no_circle(api: Api) -> None:
    a, b, c = await jobs(api, "a", "b", "c")
    assert await refused(api, a, a) == {("targetId",)}
    assert (await put_chain(api, a, b))["errors"] == []
    assert (await put_chain(api, b, c))["errors"] == []
    payload = await put_chain(api, c, a)
    assert "c → a → b → c" in payload["errors"][0]["message"]
    assert (await put_chain(api, a, c))["errors"] == []


async def test_chains_are_not_longer_than_runs_may_follow_one_another(api: Api) -> None:
    ids = await jobs(api, *(f"job-{number}" for number in range(MOST_CHAINED + 2)))
    for job_id, target_id in pairwise(ids[:-1]):
        assert (await put_chain(api, job_id, target_id))["errors"] == []
    (error,) = (await put_chain(api, ids[-2], ids[-1]))["errors"]
    assert error["code"] == "LIMIT_EXCEEDED"


async def test_everything_wrong_with_a_chain_is_told_at_once(api: Api) -> None:
    a, b = await jobs(api, "a", "b")
    assert await refused(
        api, a, b, fanOut="a b[", fanOutLimit=0, parameters={"x": "{{ nothing }}"}
    ) == {("fanOut",), ("fanOutLimit",), ("parameters", "x")}
    assert await refused(api, a, b, fanOutLimit=5) == {("fanOutLimit",)}
    assert await refused(api, a, b, parameters=[]) == {("parameters",)}
    assert await refused(api, a, b, parameters={"x": {"secret": "nope"}}) == {("parameters", "x")}
    assert await refused(api, a, "job_" + "0" * 32) == {("targetId",)}
    assert (await api.data("{ chains { id } }"))["chains"] == []


async def test_what_the_target_would_certainly_refuse_is_refused_at_once(api: Api) -> None:
    a = await api.create_job("a")
    schema = {
        "type": "object",
        "properties": {"day": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["day"],
        "additionalProperties": False,
    }
    b = await api.create_job("b", parametersSchema=schema)
    assert await refused(api, a, b) == {("parameters",)}
    assert await refused(api, a, b, parameters={"day": 1}) == {("parameters", "day")}
    assert await refused(api, a, b, parameters={"count": "{{ result }}"}) == {("parameters",)}
    assert await refused(api, a, b, parameters={"day": "{{ result }}", "no": 1}) == {
        ("parameters", "no")
    }
    assert (await put_chain(api, a, b, parameters={"day": "{{ result.day }}"}))["errors"] == []
    assert (await put_chain(api, a, b, fanOut="days"))["errors"] == []


async def test_a_job_that_is_chained_is_not_archived(api: Api) -> None:
    a, b = await jobs(api, "a", "b")
    chain = (await put_chain(api, a, b))["chain"]
    for job_id, other in ((a, "b"), (b, "a")):
        (error,) = (await api.data(ARCHIVE, id=job_id))["jobArchive"]["errors"]
        assert (error["code"], f"({other})" in error["message"]) == ("STATE_CONFLICT", True)
    await api.data(DELETE, id=chain["id"])
    assert (await api.data(ARCHIVE, id=b))["jobArchive"]["errors"] == []
    assert await refused(api, a, b) == {("targetId",)}


async def test_a_secret_that_a_chain_gives_is_not_deleted(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, secret_keys=new_key("a")) as api:
        await put(api)
        a, b = await jobs(api, "a", "b")
        payload = await put_chain(api, a, b, parameters={"token": {"secret": "crm"}})
        assert payload["errors"] == []
        (error,) = await delete(api)
        assert "(chain from a to b)" in error["message"]
