"""The first day of a new user: `tickwheel dev`, the line it offers, two outside clients.

The tests of this file share one instance, each with jobs and schedules of its own.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from gql import gql

from tests.clients.gql_client import websocket_client
from tests.clients.node import NodeClients
from tests.dev.processes import PATIENCE_SECONDS
from tests.journey.accounts import (
    assert_each_second_has_one_record,
    assert_told_in_order,
    instants_of,
)
from tests.journey.processes import SOON_MISSED, Command, free_ports, running
from tests.journey.visitor import UNFINISHED, Record, Visitor, visiting
from tests.journey.watchers import Watcher, watching_with_gql, watching_with_npm, websocket_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEAP_DAY = "0 0 29 2 *"
ECHO = {"function": "app.handlers.builtin.echo"}


@dataclass
class Instance:
    """A running `tickwheel dev` and what its banner said."""

    command: Command
    banner: str

    @property
    def url(self) -> str:
        """Return the address of the endpoint."""
        return self._found(r"GraphQL +(\S+)")

    @property
    def token(self) -> str:
        """Return the admin token."""
        return self._found(r"Token +(\S+)")

    @property
    def line_to_paste(self) -> str:
        """Return the command that creates a job and a schedule."""
        return self._found(r"(?m)^(curl .*)$")

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.banner)
        assert found, self.banner
        return found[1]


@asynccontextmanager
async def developing(
    directory: Path, ports: list[int], **settings: object
) -> AsyncIterator[Instance]:
    """`tickwheel dev` on a data directory, ready."""
    async with running(
        "dev",
        directory,
        data_dir=directory / "data",
        port=ports[0],
        worker_port=ports[1],
        allow_commands="true",
        http_allow_networks="127.0.0.0/8",
        **settings,
    ) as command:
        yield Instance(command, await command.says("the data stays"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def instance() -> AsyncIterator[Instance]:
    with short_directory() as directory:
        async with developing(directory, free_ports(2)) as instance:
            yield instance


@contextmanager
def short_directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tickwheel-test-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(instance: Instance) -> AsyncIterator[Visitor]:
    async with visiting(instance.url, instance.token) as visitor:
        yield visitor


@pytest_asyncio.fixture(loop_scope="module")
async def watchers(instance: Instance, node_clients: NodeClients) -> AsyncIterator[list[Watcher]]:
    """One on Node and one on Python, both watching every run."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                watching_with_npm(node_clients, instance.url, instance.token)
            ),
            await stack.enter_async_context(watching_with_gql(instance.url, instance.token)),
        ]


@dataclass
class Called:
    """A small real server that HTTP jobs call, and by whom it was called."""

    url: str = ""
    keys: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Remember the call."""
        self.keys.append(request.headers["Idempotency-Key"])
        return web.json_response({"number": len(self.keys)})


@pytest_asyncio.fixture(loop_scope="module")
async def called() -> AsyncIterator[Called]:
    called = Called()
    application = web.Application()
    application.router.add_post("/orders", called.answer)
    async with TestServer(application) as server:
        called.url = f"http://127.0.0.1:{server.port}/orders"
        yield called


async def test_the_line_that_is_offered_works_as_it_stands(
    instance: Instance, visitor: Visitor, watchers: list[Watcher]
) -> None:
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", instance.line_to_paste, stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await asyncio.wait_for(shell.communicate(), 30)
    assert shell.returncode == 0
    assert b'"state":"ACTIVE"' in answer.replace(b" ", b"")
    schedule = (await visitor.ask('{ schedule(key: "hello-every-5-seconds") { id } }'))["schedule"]
    for watcher in watchers:
        await watcher.until_final(schedule["id"], 1)
        [run, *_] = watcher.finals(schedule["id"])
        assert run["state"] == "SUCCEEDED"
        assert run["result"] == {"message": "Hello from Tickwheel"}
    await visitor.pause(schedule["id"])


async def test_conversation_in_the_readme_works_as_it_stands(
    instance: Instance, visitor: Visitor
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    job, schedule, subscription, trigger = re.findall(r"(?s)```graphql\n(.*?)```", readme)
    created = (await visitor.ask(job))["jobCreate"]
    created = (await visitor.ask(with_id(schedule, created["job"]["id"])))["scheduleCreate"]
    async with (
        websocket_client(websocket_url(instance.url), instance.token) as session,
        aclosing(session.subscribe(gql(subscription))) as told,
    ):
        await anext(told)
        triggered = await visitor.ask(with_id(trigger, created["schedule"]["id"]))
        run = await result_of(triggered["scheduleTrigger"]["run"]["id"], told)
    assert created["schedule"]["state"] == "ACTIVE"
    assert run["result"] == {"message": "Good evening"}


def with_id(document: str, id_: str) -> str:
    assert "the id you just got" in document
    return document.replace("the id you just got", id_)


async def result_of(run_id: str, told: AsyncIterator[Record]) -> Record:
    """Return the run as it was told when it had ended."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in told:
            run: Record = message["runEvents"].get("run") or {}
            if run.get("id") == run_id and run["state"] not in UNFINISHED:
                return run
    raise AssertionError("The stream ended.")


async def test_each_second_of_each_kind_of_job_reaches_both_clients(
    visitor: Visitor, watchers: list[Watcher], called: Called
) -> None:
    jobs = {
        "http": await visitor.create_job("call", "HTTP", {"url": called.url}),
        "command": await visitor.create_job("say", "COMMAND", {"argv": ["/bin/echo", "tick"]}),
        "python": await visitor.create_job("echo", "PYTHON", ECHO, parameters={"n": 1}),
    }
    schedules = {
        kind: await visitor.every_second(job_id, f"each-second-{kind}")
        for kind, job_id in jobs.items()
    }
    for schedule_id in schedules.values():
        await watchers[0].until_final(schedule_id, 4)
    runs = {kind: await visitor.settled(each) for kind, each in schedules.items()}

    for kind, schedule_id in schedules.items():
        assert_each_second_has_one_record(runs[kind])
        assert {run["state"] for run in runs[kind]} == {"SUCCEEDED"}
        for watcher in watchers:
            await watcher.until_all_final(schedule_id, runs[kind])
            told = watcher.finals(schedule_id)
            assert sorted(run["id"] for run in told) == sorted(run["id"] for run in runs[kind])
            assert_told_in_order(watcher.changes(schedule_id))
    assert sorted(called.keys) == sorted(run["id"] for run in runs["http"])
    assert [run["result"] for run in runs["python"]] == [{"n": 1}] * len(runs["python"])
    last = await visitor.run(runs["command"][-1]["id"])
    assert "tick" in [line["text"] for line in last["log"]["nodes"]]


async def test_failing_job_is_tried_again_and_fails_with_its_reason(
    visitor: Visitor, watchers: list[Watcher]
) -> None:
    job_id = await visitor.create_job(
        "doomed",
        "PYTHON",
        {"function": "app.handlers.builtin.fail"},
        parameters={"message": "The moon is wrong."},
        retry={"maxAttempts": 3, "initialDelay": "PT0.2S", "jitter": False},
    )
    schedule_id = await visitor.create_schedule(job_id, "doomed", LEAP_DAY)
    triggered = await visitor.trigger(schedule_id)
    for watcher in watchers:
        await watcher.until_final(schedule_id, 1)
        [run] = watcher.finals(schedule_id)
        assert run["id"] == triggered["id"]
        assert (run["state"], run["reason"]) == ("FAILED", "ERROR")
        assert "The moon is wrong." in run["error"]["message"]
        assert [attempt["state"] for attempt in run["attempts"]] == ["FAILED"] * 3
        attempts = [change["attempt"] for change in watcher.changes(schedule_id)]
        assert attempts == sorted(attempts)


async def test_run_triggered_by_hand_has_the_parameters_it_was_given(
    visitor: Visitor, watchers: list[Watcher]
) -> None:
    job_id = await visitor.create_job(
        "greet", "PYTHON", ECHO, parameters={"greeting": "Hello", "name": "nobody", "mark": "."}
    )
    schedule_id = await visitor.create_schedule(
        job_id, "greet", LEAP_DAY, parameters={"name": "everybody", "mark": "!"}
    )
    await visitor.trigger(schedule_id, {"name": "Ada"})
    for watcher in watchers:
        await watcher.until_final(schedule_id, 1)
        [run] = watcher.finals(schedule_id)
        assert (run["cause"], run["state"]) == ("MANUAL", "SUCCEEDED")
        assert run["result"] == {"greeting": "Hello", "name": "Ada", "mark": "!"}


async def test_pause_is_one_row_and_every_second_is_accounted_for(
    visitor: Visitor, watchers: list[Watcher]
) -> None:
    job_id = await visitor.create_job("tick", "PYTHON", ECHO)
    schedule_id = await visitor.every_second(job_id, "pause-me")
    clock_id = await visitor.every_second(job_id, "goes-on", parameters={"clock": True})
    watcher = watchers[0]
    await watcher.until_final(schedule_id, 2)
    paused = await visitor.pause(schedule_id, "The shop is closed.")
    assert (paused["state"], paused["stateReason"]) == ("PAUSED", "The shop is closed.")
    assert paused["nextRunAt"] is None
    await watcher.until_final(clock_id, len(watcher.finals(clock_id)) + 4)

    resumed = await visitor.resume(schedule_id)
    assert resumed["state"] == "ACTIVE"
    ran = len(await visitor.runs(schedule_id))
    await watcher.until_final(schedule_id, ran + 2)
    runs = await visitor.settled(schedule_id)
    await visitor.pause(clock_id)

    assert_each_second_has_one_record(runs)
    [stretch] = [run for run in runs if run["state"] == "MISSED"]
    assert stretch["reason"] == "PAUSED"
    assert stretch["rangeCount"] == len(instants_of(stretch)) >= 3
    assert {run["state"] for run in runs if run is not stretch} == {"SUCCEEDED"}


async def test_subscription_resumed_from_its_last_cursor_misses_nothing_and_doubles_nothing(
    instance: Instance, visitor: Visitor, watchers: list[Watcher]
) -> None:
    schedule_id = await visitor.every_second(
        await visitor.create_job("steady", "PYTHON", ECHO), "resume-me"
    )
    async with watching_with_gql(instance.url, instance.token) as first:
        await first.until_final(schedule_id, 2)
    await watchers[0].until_final(schedule_id, 5)
    async with watching_with_gql(instance.url, instance.token, after=first.cursor) as second:
        runs = await visitor.settled(schedule_id)
        await second.until_all_final(schedule_id, runs[len(first.finals(schedule_id)) :])

    assert "RunSnapshot" not in {message["__typename"] for message in second.messages}
    both = first.changes(schedule_id) + second.changes(schedule_id)
    assert_told_in_order(both)
    told = [run["id"] for run in both if run["state"] == "SUCCEEDED"]
    assert sorted(told) == sorted(run["id"] for run in runs)


async def test_npm_client_goes_on_where_it_was_when_the_api_dies(
    instance: Instance, visitor: Visitor, node_clients: NodeClients
) -> None:
    schedule_id = await visitor.every_second(
        await visitor.create_job("unshaken", "PYTHON", ECHO), "outlives-the-api"
    )
    async with watching_with_npm(node_clients, instance.url, instance.token, "--resume") as watcher:
        await watcher.until_final(schedule_id, 2)
        await instance.command.kill_part("api")
        await watcher.until_final(schedule_id, 6)
        runs = await visitor.settled(schedule_id)
        await watcher.until_all_final(schedule_id, runs)
    assert [message["__typename"] for message in watcher.messages].count("RunSnapshot") == 1
    assert_each_second_has_one_record(runs)
    assert_told_in_order(watcher.changes(schedule_id))
    assert sorted(run["id"] for run in watcher.finals(schedule_id)) == sorted(
        run["id"] for run in runs
    )


async def test_history_and_schedules_outlive_a_crash_of_everything() -> None:
    ports = free_ports(2)
    with short_directory() as directory:
        async with developing(directory, ports, **SOON_MISSED) as before:
            async with at_home(before) as (visitor, watcher):
                job_id = await visitor.create_job("lasting", "PYTHON", ECHO)
                schedule_id = await visitor.every_second(job_id, "lasting")
                await watcher.until_final(schedule_id, 2)
            await before.command.kill()
        async with (
            developing(directory, ports, **SOON_MISSED) as after,
            at_home(after) as (visitor, watcher_after),
        ):
            await watcher_after.until_final(schedule_id, 2)
            runs = await visitor.settled(schedule_id)
    assert after.token == before.token
    assert_each_second_has_one_record(runs)
    assert {run["id"] for run in watcher.finals(schedule_id)} <= {run["id"] for run in runs}


@asynccontextmanager
async def at_home(instance: Instance) -> AsyncIterator[tuple[Visitor, Watcher]]:
    async with (
        visiting(instance.url, instance.token) as visitor,
        watching_with_gql(instance.url, instance.token) as watcher,
    ):
        yield visitor, watcher
