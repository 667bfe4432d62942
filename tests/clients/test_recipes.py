"""The recipes of docs/graphql.md, run as they stand there against a whole instance."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.dev.postgres import EmbeddedPostgres
from tests.clients.node import NodeClients
from tests.documents import ROOT, named_files
from tests.faults.nursery import Nursery
from tests.live_instance import LiveInstance, live_instance
from tests.worker.control import trigger

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = ("urql", "apollo")
WATCH = """
subscription Watch($filter: RunFilter, $after: Cursor) {
  runEvents(filter: $filter, after: $after) {
    __typename
    ... on StreamMessage { cursor }
    ... on RunSnapshot { runs { id state } }
    ... on RunChange { run { id state } }
    ... on StreamReset { reason }
  }
}
"""
CONVERSATION = (
    """
query Who { viewer { role } }
mutation Pause($input: SchedulePauseInput!) {
  schedulePause(input: $input) { schedule { id } errors { code message path } }
}
"""
    + WATCH
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def instance(
    postgres: EmbeddedPostgres, nursery: Nursery, services_directory: Path
) -> AsyncIterator[LiveInstance]:
    async with live_instance(postgres, nursery, services_directory) as instance:
        yield instance


async def test_urql_and_apollo_ask_change_and_watch_through_a_cut_connection(
    instance: LiveInstance, node_clients: NodeClients
) -> None:
    """Fails without the line of the recipe that sets `variables.after`: a second snapshot comes."""
    job = await instance.api.create_job("watched")
    variables = {
        "watched": {"filter": {"jobId": job}},
        "refused": {"id": "schedule_" + "0" * 32, "reason": "x"},
    }
    async with node_clients.start(
        "recipes.mjs", instance.url, instance.token, CONVERSATION, variables
    ) as clients:
        heard: dict[str, list[dict[str, Any]]] = defaultdict(list)

        async def hear(enough: Callable[[list[dict[str, Any]]], bool]) -> None:
            async with asyncio.timeout(30):
                while not all(enough(_of(heard, client)) for client in CLIENTS):
                    message = await clients.message()
                    heard[message["client"]].append(message)

        await hear(lambda messages: len(messages) > 0)
        assert instance.door.slam() >= 2
        run = await trigger(instance.api, job)
        await hear(lambda messages: _has_ended(messages, run))
    for client in CLIENTS:
        who, refused = heard[client][:2]
        assert who["data"]["viewer"]["role"] == "ADMIN", client
        assert refused["data"]["schedulePause"]["errors"][0]["code"] == "NOT_FOUND", client
        kinds = [message["__typename"] for message in _of(heard, client)]
        assert kinds[0] == "RunSnapshot", client
        assert set(kinds[1:]) <= {"RunChange", "Heartbeat"}, client


def _of(heard: dict[str, list[dict[str, Any]]], client: str) -> list[dict[str, Any]]:
    """Return what a client's stream has brought."""
    return [each["data"]["runEvents"] for each in heard[client] if each["type"] == "message"]


def _has_ended(messages: list[dict[str, Any]], run_id: str) -> bool:
    runs = [message["run"] for message in messages if "run" in message]
    return any(run == {"id": run_id, "state": "SUCCEEDED"} for run in map(_plain, runs))


def _plain(run: dict[str, Any]) -> dict[str, Any]:
    """Return a run without what a client adds for its cache."""
    return {name: value for name, value in run.items() if name != "__typename"}


async def test_gql_follows_through_a_cut_connection(instance: LiveInstance) -> None:
    """Fails without the line of the recipe that keeps the cursor: it gives up at the cut."""
    recipe: dict[str, Any] = {}
    exec(named_files("graphql.md", "python")["follow.py"], recipe)
    job = await instance.api.create_job("followed")
    messages = recipe["follow"](instance.url, instance.token, WATCH, filter={"jobId": job})
    async with asyncio.timeout(30):
        assert (await anext(messages))["__typename"] == "RunSnapshot"
        instance.door.slam()
        run = await trigger(instance.api, job)
        kinds = set()
        async for message in messages:
            kinds.add(message["__typename"])
            if message.get("run") == {"id": run, "state": "SUCCEEDED"}:
                break
        await messages.aclose()
    assert "RunSnapshot" not in kinds


async def test_relay_compiler_takes_the_schema_as_it_is(
    node_clients: NodeClients, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "schema.graphql", tmp_path)
    (tmp_path / "src").mkdir()
    for name, text in named_files("graphql.md", "json", "js").items():
        if name.startswith(("src/", "relay.")):
            (tmp_path / name).write_text(text)
    cli = "relay-compiler/cli.js"
    code, said = await node_clients.run_tool(cli, "relay.config.json", cwd=tmp_path)
    assert code == 0, said
    made = {path.name for path in (tmp_path / "src" / "__generated__").iterdir()}
    assert {"SchedulesNextPageQuery.graphql.js", "ScheduleRefetchQuery.graphql.js"} <= made


@pytest.mark.parametrize(
    ("name", "words"), [("trigger.sh", '"nodes":'), ("watch.sh", "event: next")]
)
async def test_curl_does_what_the_line_says(
    instance: LiveInstance, tmp_path: Path, name: str, words: str
) -> None:
    script = tmp_path / name
    script.write_text(named_files("graphql.md", "sh")[name])
    process = await asyncio.create_subprocess_exec(
        "sh",
        script,
        env={
            "PATH": os.environ["PATH"],
            "TICKWHEEL_URL": instance.url.removesuffix("/graphql"),
            "TICKWHEEL_TOKEN": instance.token,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = b""
            while words.encode() not in said:
                more = await process.stdout.read(65536)
                assert more, said
                said += more
    finally:
        if process.returncode is None:
            # The shell's child, too: it would watch for ever.
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert b"error" not in said
