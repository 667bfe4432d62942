"""Built-in functions that ask, export and purge, run by a real worker."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import text

from tests.schema.api import Api
from tests.worker.control import Services, a_worker, trigger, until

BUILT_IN = "app.handlers.builtin"
RUN = "query($id: ID!) { run(id: $id) { state result error { type message } } }"
FORMATS = ("csv", "json", "markdown", "html")
OPEN = {"http_allow_networks": "127.0.0.0/8"}


async def job(api: Api, function: str) -> str:
    return await api.create_job(function, config={"function": f"{BUILT_IN}.{function}"})


async def result(api: Api, job_id: str, **parameters: Any) -> dict[str, Any]:
    """Run a job and return the run."""
    run_id = await trigger(api, job_id, parameters=parameters)
    await until(api, [run_id], "SUCCEEDED", "FAILED")
    return dict((await api.data(RUN, id=run_id))["run"])


@asynccontextmanager
async def receiving(answer: str = "taken") -> AsyncIterator[tuple[str, list[tuple[str, str, str]]]]:
    """Serve a URL that takes what it is given."""
    taken: list[tuple[str, str, str]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append((request.method, request.content_type, await request.text()))
        return web.Response(text=answer)

    application = web.Application(client_max_size=10**7)
    application.router.add_route("*", "/exports", take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/exports", taken
    finally:
        await runner.cleanup()


async def test_a_check_looks_at_status_text_and_time(api: Api, services: Services) -> None:
    job_id = await job(api, "http_check")
    async with a_worker(services, **OPEN), receiving() as (url, _):
        good = await result(api, job_id, url=url, contains="taken", at_most_milliseconds=60_000)
        assert good["state"] == "SUCCEEDED"
        assert good["result"]["status"] == 200
        wrong = await result(api, job_id, url=f"{url}/nothing")
        assert "404" in wrong["error"]["message"]
        lacking = await result(api, job_id, url=url, contains="given")
        assert lacking["error"]["message"] == "The answer does not contain 'given'."
        slow = await result(api, job_id, url=url, at_most_milliseconds=0)
        assert "and may take 0" in slow["error"]["message"]


async def test_a_check_finds_a_text_where_a_long_line_is_cut(api: Api, services: Services) -> None:
    """Made to fail by hearing a line end in the middle of it."""
    job_id = await job(api, "http_check")
    async with a_worker(services, **OPEN), receiving("." * (16 * 1024 - 3) + "needle") as (url, _):
        found = await result(api, job_id, url=url, contains="needle")
    assert found["state"] == "SUCCEEDED", found


async def test_a_check_goes_through_the_guard_like_every_request(
    api: Api, services: Services
) -> None:
    """Made to fail by asking with a client of its own."""
    job_id = await job(api, "http_check")
    async with a_worker(services), receiving() as (url, taken):
        refused = await result(api, job_id, url=url)
    assert refused["state"] == "FAILED"
    assert "127.0.0.1" in refused["error"]["message"]
    assert taken == []


async def test_runs_are_exported_to_a_file_below_the_operators_directory(
    api: Api, services: Services, tmp_path: Path
) -> None:
    failing = await job(api, "fail")
    exports = tmp_path / "exports"
    exports.mkdir()
    job_id = await job(api, "export_runs")
    async with a_worker(services, export_dir=exports):
        for message in ("=1+1", "{{ parameters.secret }}"):
            await result(api, failing, message=message)
        told = await result(api, job_id, to="2026/failed.csv", states=["FAILED"], job="fail")
        assert told["result"] == {
            "runs": 2,
            "bytes": (exports / "2026/failed.csv").stat().st_size,
            "file": "2026/failed.csv",
        }
        for format_ in ("json", "markdown", "html"):
            assert (await result(api, job_id, to=format_, format=format_))["state"] == "SUCCEEDED"
    rows = list(csv.DictReader(io.StringIO((exports / "2026/failed.csv").read_text())))
    assert [row["error"] for row in rows] == ["{{ parameters.secret }}", "'=1+1"]
    assert {row["job"] for row in rows} == {"fail"}
    assert len(json.loads((exports / "json").read_text())) >= 3
    # Nothing unfinished is left.
    assert sorted(path.name for path in exports.iterdir()) == ["2026", "html", "json", "markdown"]


@pytest.mark.parametrize(
    "to", ["/etc/passwd", "../out.csv", "a/../../out.csv", ".hidden", "", "link/x"]
)
async def test_no_name_leads_out_of_the_directory(
    to: str, api: Api, services: Services, tmp_path: Path
) -> None:
    """Made to fail by joining the name to the directory."""
    exports = tmp_path / "exports"
    exports.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (exports / "link").symlink_to(outside)
    async with a_worker(services, export_dir=exports):
        refused = await result(api, await job(api, "export_runs"), to=to)
    assert refused["state"] == "FAILED"
    assert list(outside.iterdir()) == []
    assert [path.name for path in exports.iterdir()] == ["link"]


async def test_without_a_directory_no_file_is_written(api: Api, services: Services) -> None:
    async with a_worker(services):
        refused = await result(api, await job(api, "export_runs"), to="x.csv")
    assert "TICKWHEEL_EXPORT_DIR" in refused["error"]["message"]


async def test_runs_are_exported_to_a_url_as_they_are(api: Api, services: Services) -> None:
    """What a run has said is no template. Made to fail by sending the text as the body itself."""
    failing, job_id = await job(api, "fail"), await job(api, "export_runs")
    async with a_worker(services, **OPEN), receiving() as (url, taken):
        await result(api, failing, message="{{ 7 * 7 }}")
        told = await result(api, job_id, to=url, format="json", job="fail")
        assert told["result"]["runs"] == 1
    [(method, content_type, body)] = taken
    assert (method, content_type) == ("PUT", "application/json")
    [record] = json.loads(body)
    assert record["error"] == "{{ 7 * 7 }}"


async def test_every_format_reaches_file_and_url_alike(
    api: Api, services: Services, tmp_path: Path
) -> None:
    failing, job_id = await job(api, "fail"), await job(api, "export_runs")
    async with a_worker(services, export_dir=tmp_path, **OPEN), receiving() as (url, taken):
        await result(api, failing, message='a|b <i> "c", d')
        for format_ in FORMATS:
            given = {"format": format_, "job": "fail"}
            for to in (url, format_):
                told = await result(api, job_id, to=to, **given)
                assert told["result"]["runs"] == 1, told
    sent = {format_: body for format_, (_, _, body) in zip(FORMATS, taken, strict=True)}
    assert sent == {format_: (tmp_path / format_).read_bytes().decode() for format_ in FORMATS}
    assert [kind for _, kind, _ in taken] == [
        "text/csv",
        "application/json",
        "text/markdown",
        "text/html",
    ]
    [row] = csv.DictReader(io.StringIO(sent["csv"]))
    [record] = json.loads(sent["json"])
    assert row["error"] == record["error"] == 'a|b <i> "c", d'
    header, _, line = sent["markdown"].splitlines()
    assert header.startswith("| id |")
    assert "a\\|b" in line
    assert "<td>a|b &lt;i&gt; &quot;c&quot;, d</td>" in sent["html"]


async def test_purge_removes_what_is_past_its_time(api: Api, services: Services) -> None:
    noop, job_id = await job(api, "noop"), await job(api, "purge")
    async with a_worker(services):
        await asyncio.gather(*(result(api, noop) for _ in range(3)))
        async with api.runtime.database.transaction() as transaction:
            await transaction.execute(
                text("UPDATE event SET at = at - interval '30 days' WHERE subject = 'RUN'")
            )
        purged = await result(api, job_id)
    assert purged["state"] == "SUCCEEDED"
    async with api.runtime.database.reading(None) as connection:
        left = await connection.execute(
            text("SELECT count(*) FROM event WHERE at < now() - interval '7 days'")
        )
        assert left.scalar_one() == 0
