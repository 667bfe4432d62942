"""What many ask alike is executed once, and tells nobody more than they may know."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import websockets
from graphql import OperationDefinitionNode, parse
from sqlalchemy import text

from app.core.changes import Change
from app.core.vocabulary import Role
from app.models import Job
from app.models.columns import ActorRecord
from app.schema import loaders
from app.schema.context import Context
from app.schema.documents import Prepared
from app.schema.executing import Ready
from app.schema.groups import Group, Payload, variables_of_selection
from app.services.access import Principal, issue_token
from app.store.database import ReadConnection
from app.store.instants import read_now
from app.store.jobs import read_jobs
from tests.schema.api import Api, Stream, running_api
from tests.schema.test_path import TRIGGER
from tests.schema.test_sockets import subscribers, take

PAUSE = 'mutation($id: ID!) { schedulePause(input: {id: $id, reason: "x"}) { errors { code } } }'
RESUME = "mutation($id: ID!) { scheduleResume(input: {id: $id}) { errors { code } } }"
PERMITTED = """subscription($after: Cursor, $deep: Boolean = false) {
    scheduleChanged(after: $after, snapshot: false) { __typename
        ... on StreamMessage { cursor }
        ... on ScheduleChange { schedule {
            revision job @include(if: $deep) { key }
            permissions { pause { allowed code } update { allowed } } } } } }"""
TOUCH_ALL = """
WITH changed AS (
    UPDATE run SET revision = revision + 1 RETURNING id, project_id, revision, schedule_id)
INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
SELECT project_id, 'RUN', 'CHANGED', array_agg(id), array_agg(revision), array_agg(schedule_id)
  FROM changed GROUP BY project_id
"""
PRINCIPAL = Principal(
    ActorRecord(kind="TOKEN", id="1", name="one"),
    Role.EDITOR,
    UUID(int=1),
    expires_at=datetime(2027, 1, 1, tzinfo=UTC),
    request_id="r",
    address="127.0.0.1",
)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Every event that some group executes, once for each time."""
    found: list[object] = []
    execute = Group._execute

    async def count(group: Group, event: object, context: Context) -> Payload:
        found.append(event)
        return await execute(group, event, context)

    monkeypatch.setattr(Group, "_execute", count)
    return found


async def token(api: Api, role: Role) -> str:
    """Return a new token of the default project."""
    viewer = await api.data("{ viewer { project { id } } }")
    async with api.runtime.database.transaction() as transaction:
        row, secret = issue_token(
            name=role.value,
            role=role,
            project_id=UUID(viewer["viewer"]["project"]["id"].rpartition("_")[2]),
            created_at=await read_now(transaction),
        )
        transaction.add(row)
    return secret


@asynccontextmanager
async def everybody(api: Api, *tokens: str, **variables: Any) -> AsyncIterator[list[Stream]]:
    """Subscribe once for each token, and wait until all of them have begun."""
    mine = api.token
    async with AsyncExitStack() as stack:
        streams = []
        for each in tokens:
            api.token = each
            streams.append(await stack.enter_async_context(api.watching(PERMITTED, **variables)))
        api.token = mine
        for stream in streams:
            assert (await anext(stream))["__typename"] == "Heartbeat"
        yield streams


async def test_a_change_is_executed_once_for_all_who_ask_the_same(
    api: Api, executed: list[object]
) -> None:
    """Made to fail by executing each event anew, and by a memory that knows no group."""
    schedule = await api.create_schedule(await api.create_job())
    editor = await token(api, Role.EDITOR)
    async with (
        everybody(api, *[api.token] * 5, editor, editor) as plain,
        everybody(api, *[api.token] * 2, deep=True) as deep,
    ):
        executed.clear()
        await api.data(PAUSE, id=schedule["id"])
        told = [await anext(stream) for stream in (*plain, *deep)]
    # Administrators, editors, and those who want to see the job.
    assert len(executed) == 3
    assert len({each["schedule"]["revision"] for each in told}) == 1
    assert [each["schedule"].get("job") for each in told] == [None] * 7 + [{"key": "job"}] * 2


async def test_those_who_resume_from_different_positions_are_one_group(
    api: Api, executed: list[object]
) -> None:
    schedule = await api.create_schedule(await api.create_job())
    async with api.watching(PERMITTED) as stream:
        begun = (await anext(stream))["cursor"]
        await api.data(PAUSE, id=schedule["id"])
        paused = (await anext(stream))["cursor"]
        await api.data(RESUME, id=schedule["id"])
        resumed = (await anext(stream))["schedule"]
    async with (
        api.watching(PERMITTED, after=begun) as early,
        api.watching(PERMITTED, after=paused) as late,
        api.watching(PERMITTED) as new,
    ):
        assert (await anext(early))["schedule"] == resumed
        assert (await anext(late))["schedule"] == resumed
        assert (await anext(new))["__typename"] == "Heartbeat"
        executed.clear()
        await api.data(PAUSE, id=schedule["id"])
        told = [await anext(stream) for stream in (early, late, new)]
    assert len(executed) == 1
    assert told[0] == told[1] == told[2]


async def test_what_the_changes_of_one_batch_refer_to_is_loaded_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made to fail by executing each change with loaders of its own."""
    schedule = await api.create_schedule(await api.create_job(), overlap="ALLOW")
    for _ in range(3):
        await api.data(TRIGGER, input={"id": schedule["id"]})
    loaded: list[UUID] = []

    async def count(connection: ReadConnection, project_id: UUID, ids: Any) -> dict[UUID, Job]:
        loaded.extend(ids)
        return await read_jobs(connection, project_id, ids)

    query = "subscription { runEvents { ... on RunChange { run { job { key } } } } }"
    async with api.watching(query) as stream:
        await anext(stream)
        monkeypatch.setattr(loaders, "read_jobs", count)
        async with api.runtime.database.transaction() as transaction:
            await transaction.execute(text(TOUCH_ALL))
        await api.runtime.announce([Change(UUID(int=0), "RUN", "CHANGED", (), ())])
        told = [await anext(stream) for _ in range(3)]
    assert told == [{"run": {"job": {"key": "job"}}}] * 3
    assert len(loaded) == 1


async def test_nobody_is_told_what_another_may_do(api: Api) -> None:
    """Made to fail by leaving the rights out of what makes a group."""
    schedule = await api.create_schedule(await api.create_job())
    roles = (Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN)
    tokens = [await token(api, role) for role in roles]
    async with everybody(api, *tokens) as streams:
        await api.data(PAUSE, id=schedule["id"])
        told = [(await anext(stream))["schedule"]["permissions"] for stream in streams]
    assert [each["pause"]["allowed"] for each in told] == [False, True, True, True]
    assert [each["update"]["allowed"] for each in told] == [False, False, True, True]
    assert [each["pause"]["code"] for each in told] == ["FORBIDDEN", None, None, None]


async def test_one_who_leaves_takes_nothing_from_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made to fail by waiting for the shared execution without a shield."""
    schedule = await api.create_schedule(await api.create_job())
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    execute = Group._execute

    async def dawdle(group: Group, event: object, context: Context) -> Payload:
        begun.set()
        await may_go_on.wait()
        return await execute(group, event, context)

    async with everybody(api, api.token, api.token) as [leaves, stays]:
        monkeypatch.setattr(Group, "_execute", dawdle)
        await api.data(PAUSE, id=schedule["id"])
        async with asyncio.timeout(10):
            await begun.wait()
            await leaves.drop()
            while await subscribers(api) > 1:
                pass
        may_go_on.set()
        assert (await anext(stays))["__typename"] == "ScheduleChange"


@pytest.mark.parametrize("id_", ["1", 'a"b\\c', "ä\n✓", "x" * 200])
async def test_the_id_of_an_operation_is_spliced_in_as_it_was_given(api: Api, id_: str) -> None:
    query = "subscription { runEvents(snapshot: false) { __typename } }"
    async with api.socket() as connection:
        message = {"id": id_, "type": "subscribe", "payload": {"query": query}}
        await connection.send(json.dumps(message))
        async with asyncio.timeout(10):
            frame = await connection.recv()
    assert isinstance(frame, str)
    data = {"runEvents": {"__typename": "Heartbeat"}}
    assert json.loads(frame) == {"id": id_, "type": "next", "payload": {"data": data}}


async def test_a_caller_has_a_bounded_number_of_subscriptions(
    database_url: str, redis_url: str
) -> None:
    subscribe = {"query": "subscription { runEvents(snapshot: false) { __typename } }"}

    async def ask(connection: websockets.ClientConnection, id_: str) -> dict[str, Any]:
        await connection.send(json.dumps({"id": id_, "type": "subscribe", "payload": subscribe}))
        return await take(connection)

    async with (
        running_api(database_url, redis_url, subscriptions_per_caller=2) as api,
        api.socket() as one,
        api.socket() as other,
    ):
        assert (await ask(one, "1"))["type"] == "next"
        assert (await ask(other, "1"))["type"] == "next"
        refused = await ask(other, "2")
        assert refused["type"] == "error"
        assert refused["payload"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        api.token = await token(api, Role.VIEWER)
        async with api.socket() as somebody_else:
            assert (await ask(somebody_else, "1"))["type"] == "next"
        await one.close()
        async with asyncio.timeout(10):
            while (await ask(other, "2"))["type"] == "error":
                pass


def test_rights_are_all_that_is_not_personal() -> None:
    """Made to fail by naming what counts instead of what does not."""
    again = replace(PRINCIPAL, request_id="s", actor=ActorRecord(kind="USER", id="2", name="two"))
    assert again.rights == PRINCIPAL.rights
    assert again.unnamed() == PRINCIPAL.unnamed()
    assert PRINCIPAL.unnamed().rights == PRINCIPAL.rights
    assert PRINCIPAL.unnamed().actor != PRINCIPAL.actor
    for other in (
        replace(PRINCIPAL, role=Role.VIEWER),
        replace(PRINCIPAL, project_id=UUID(int=2)),
        replace(PRINCIPAL, governs=True),
    ):
        assert other.rights != PRINCIPAL.rights


@pytest.mark.parametrize(
    ("document", "used"),
    [
        ("subscription($a: X, $b: X) { f(a: $a, b: {c: [$b]}) { g } }", set()),
        ("subscription($a: X) { f(a: $a) { g(a: $a) } }", {"a"}),
        ("subscription($a: X) { f @include(if: $a) { g } }", {"a"}),
        ("subscription($a: X) { ...p } fragment p on S { f(a: $a) }", {"a"}),
        ("subscription($a: X) { f { ...q } } fragment q on T { g @skip(if: $a) }", {"a"}),
        ("subscription($a: X) { ... on S { f(a: $a) } }", {"a"}),
        ("subscription($a: X = 1 @d(e: 2)) { f }", set()),
    ],
)
def test_only_the_variables_of_the_selection_part_groups(document: str, used: set[str]) -> None:
    parsed = parse(document)
    [operation, *_] = parsed.definitions
    assert isinstance(operation, OperationDefinitionNode)
    ready = Ready(Prepared(document, parsed), operation, {}, 0)
    assert variables_of_selection(ready) == used
