"""The line that the banner offers, pasted into a shell against a server that only listens."""

import asyncio
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.dev.banner import first_request

# For a machine that has no curl: the options that the line uses, and nothing else.
_STAND_IN = """#!{python}
import sys, urllib.request
_, _, url, *options = sys.argv
pairs = list(zip(options[::2], options[1::2]))
body = next(value for name, value in pairs if name == "-d")
body = sys.stdin.read() if body == "@-" else body
headers = dict(value.split(": ", 1) for name, value in pairs if name == "-H")
request = urllib.request.Request(url, body.encode(), headers)
sys.stdout.write(urllib.request.urlopen(request, timeout=20).read().decode())
"""


@pytest.fixture
def search_path(tmp_path: Path) -> str:
    """Where the shell finds its programs, curl among them."""
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        stand_in = tmp_path / "curl"
        stand_in.write_text(_STAND_IN.format(python=sys.executable))
        stand_in.chmod(0o755)
    return f"/usr/bin:/bin:{tmp_path}"


@pytest.mark.parametrize("token_is_set", [False, True])
async def test_job_is_created_and_its_id_is_used_for_the_schedule(
    tmp_path: Path, search_path: str, token_is_set: bool
) -> None:
    directory = tmp_path / "a place with 'quotes'"
    directory.mkdir()
    (directory / "admin-token").write_text("t" * 40 + "\n")
    heard: list[tuple[str, dict[str, Any]]] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append((request.headers["Authorization"], await request.json()))
        return web.json_response(
            {"data": {"jobCreate": {"job": {"id": "Sm9iOjE=" * 8}, "errors": []}}}
        )

    application = web.Application()
    application.router.add_post("/graphql", answer)
    async with TestServer(application) as server:
        line = first_request(
            url=f"http://127.0.0.1:{server.port}", directory=directory, token_is_set=token_is_set
        )
        shell = await asyncio.create_subprocess_exec(
            "bash", "-c", line, env={"PATH": search_path, "TICKWHEEL_ADMIN_TOKEN": "t" * 40}
        )
        assert await asyncio.wait_for(shell.wait(), 30) == 0

    assert [authorization for authorization, _ in heard] == ["Bearer " + "t" * 40] * 2
    job, schedule = (body for _, body in heard)
    assert job["variables"]["input"]["key"] == "hello"
    assert schedule["variables"]["input"]["jobId"] == "Sm9iOjE=" * 8
    assert "scheduleCreate" in schedule["query"]
    assert json.dumps(schedule["variables"]["input"]["fields"])
