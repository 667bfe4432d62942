"""Chained jobs, run by a real worker from the first to the last."""

from typing import Any

from tests.schema.api import Api
from tests.schema.test_chains import put_chain
from tests.worker.control import Services, a_worker, trigger, until

BUILT_IN = "app.handlers.builtin"
FOLLOWERS = """query($id: ID!) { run(id: $id) { state chained {
    totalCount { value }
    nodes { id cause state reason message parameters result chainedFrom { id } chained {
        nodes { id state parameters chainedFrom { id } } } } } } }"""


async def echo(api: Api, key: str) -> str:
    """Create a job whose result are its parameters."""
    return await api.create_job(key, config={"function": f"{BUILT_IN}.echo"})


async def followers(api: Api, run_id: str) -> list[dict[str, Any]]:
    return list((await api.data(FOLLOWERS, id=run_id))["run"]["chained"]["nodes"])


async def test_one_run_leads_to_many_and_each_of_them_on(api: Api, services: Services) -> None:
    """Made to fail by leaving `start_chained` out of `finish_attempts`."""
    listing, copying, telling = [await echo(api, key) for key in ("list", "copy", "tell")]
    first = await put_chain(
        api, listing, copying, fanOut="files", fanOutLimit=2, parameters={"file": "{{ item }}"}
    )
    second = await put_chain(
        api, copying, telling, parameters={"text": "Copied {{ result.file }} of {{ run.job }}."}
    )
    assert (first["errors"], second["errors"]) == ([], [])
    async with a_worker(services):
        run_id = await trigger(api, listing, parameters={"files": ["a", "b", "c"]})
        await until(api, [run_id], "SUCCEEDED")
        copies = await followers(api, run_id)
        started = [copy for copy in copies if copy["state"] != "SKIPPED"]
        (refused,) = [copy for copy in copies if copy["state"] == "SKIPPED"]
        await until(api, [copy["id"] for copy in started], "SUCCEEDED")
        started = [copy for copy in await followers(api, run_id) if copy["id"] != refused["id"]]
        told = [tell for copy in started for tell in copy["chained"]["nodes"]]
        await until(api, [tell["id"] for tell in told], "SUCCEEDED")
    assert refused["reason"] == "LIMIT"
    assert sorted(copy["parameters"]["file"] for copy in started) == ["a", "b"]
    assert {copy["cause"] for copy in started} == {"CHAIN"}
    assert {copy["chainedFrom"]["id"] for copy in copies} == {run_id}
    texts = sorted(tell["parameters"]["text"] for tell in told)
    assert texts == ["Copied a of copy.", "Copied b of copy."]


async def test_what_follows_a_failure_is_recorded_as_skipped(api: Api, services: Services) -> None:
    failing = await api.create_job("fail", config={"function": f"{BUILT_IN}.fail"})
    after_success, after_failure = await echo(api, "never"), await echo(api, "always")
    await put_chain(api, failing, after_success)
    await put_chain(api, failing, after_failure, on="FAILED", parameters={"why": "{{ run.state }}"})
    async with a_worker(services):
        run_id = await trigger(api, failing)
        await until(api, [run_id], "FAILED")
        (queued,) = [row for row in await followers(api, run_id) if row["state"] != "SKIPPED"]
        await until(api, [queued["id"]], "SUCCEEDED")
    assert queued["parameters"] == {"why": "FAILED"}
    (skipped,) = [row for row in await followers(api, run_id) if row["state"] == "SKIPPED"]
    assert (skipped["reason"], skipped["cause"]) == ("DEPENDENCY", "CHAIN")
    assert "asks for a success" in skipped["message"]
