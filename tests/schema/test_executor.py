"""Our executor against graphql-core's own: whatever is asked, both answer the same.

Documents are made at random over the real schema, with fragments, aliases, directives and lists in
lists, and executed by both on real rows. Then faults: values that no field may have.
"""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from graphql import (
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
)
from graphql.execution import Executor
from sqlalchemy import text
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from app.core.vocabulary import ActorKind, Role
from app.models.columns import ActorRecord
from app.schema.context import Context
from app.schema.executor import TickwheelExecutor
from app.schema.schema import build_schema
from app.schema.types.schedules import Schedule
from app.services.access import Principal
from app.services.live.hub import FeedHub
from app.services.status import StatusReader
from app.store.jobs import read_jobs
from app.store.schedules import ScheduleRecord
from tests.schema.api import Api

SCHEMA = build_schema()
STOCK: type[Executor[Any]] = StrawberryGraphQLCoreExecutionContext
# They answer otherwise each time they are asked.
_MOVING = {"stats", "upcoming"}
_ROOTS = ("schedules", "runs", "jobs", "calendars", "projects", "audit", "viewer", "__typename")


class Documents:
    """Makes documents that are valid, by chance."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._fragments: list[str] = []
        self._fields = 0
        self._names = 0

    def make(self) -> str:
        """Return a document with a query."""
        query = SCHEMA._schema.query_type
        assert query is not None
        roots = self._random.sample(_ROOTS, self._random.randint(1, 3))
        parts = [field for root in roots if (field := self._field(query, root, 0))]
        return " ".join([f"{{ {' '.join(parts or ['__typename'])} }}", *self._fragments])

    def _selection(self, type_: Any, depth: int) -> str:
        names = ["__typename", *getattr(type_, "fields", {})]
        chosen = self._random.sample(names, min(len(names), self._random.randint(1, 9)))
        parts = [field for name in chosen if (field := self._field(type_, name, depth))]
        parts = parts or ["__typename"]
        if self._random.random() < 0.15:
            parts.append(self._random.choice(parts))
        match self._random.random():
            case chance if chance < 0.12:
                self._names += 1
                name = f"f{self._names}"
                self._fragments.append(f"fragment {name} on {type_} {{ {' '.join(parts)} }}")
                return f"__typename ...{name} {parts[0]}"
            case chance if chance < 0.25:
                return f"... on {type_} @include(if: true) {{ {' '.join(parts)} }}"
        return " ".join(parts)

    def _field(self, type_: Any, name: str, depth: int) -> str | None:
        if name == "__typename":
            return name
        field = type_.fields[name]
        needed = any(
            isinstance(each.type, GraphQLNonNull) and each.default_value is None
            for each in field.args.values()
        )
        if needed or name in _MOVING or depth > 4 or self._fields > 120:
            return None
        arguments = "(first: 3)" if "first" in field.args and self._random.random() < 0.9 else ""
        if any(isinstance(a.type, GraphQLNonNull) for a in field.args.values()):
            return None
        self._fields += 1
        prefix, suffix = "", ""
        if self._random.random() < 0.08:
            self._names += 1
            prefix = f"a{self._names}: "
        if self._random.random() < 0.05:
            suffix = f" @skip(if: {self._random.choice(['true', 'false'])})"
        named = get_named_type(field.type)
        if is_leaf_type(named):
            return f"{prefix}{name}{arguments}{suffix}"
        return f"{prefix}{name}{arguments}{suffix} {{ {self._inside(named, depth)} }}"

    def _inside(self, named: Any, depth: int) -> str:
        if isinstance(named, GraphQLUnionType | GraphQLInterfaceType):
            possible = self._random.choice(SCHEMA._schema.get_possible_types(named))
            return f"__typename ... on {possible} {{ {self._selection(possible, depth + 1)} }}"
        return self._selection(named, depth + 1)


@dataclass
class Both:
    """Executes by both."""

    context: Any

    async def same(self, query: str) -> dict[str, Any]:
        """Return the answer that both give."""
        answers = []
        for executor in (STOCK, TickwheelExecutor):
            SCHEMA.executor_class = executor
            ready = SCHEMA.make_ready(query)
            assert not isinstance(ready, PreExecutionError), (query, ready.errors)
            answers.append(_shown(await SCHEMA.run(ready, self.context())))
        assert answers[0] == answers[1], query
        return answers[1]


def _shown(result: ExecutionResult) -> dict[str, Any]:
    errors = [
        {"message": error.message, "path": error.path, "locations": error.locations}
        for error in result.errors or ()
    ]
    errors.sort(key=lambda error: json.dumps(error, default=str))
    # The order of an object's fields is a part of the answer.
    return {"data": json.dumps(result.data), "errors": errors}


@pytest.fixture(autouse=True)
def usual_executor() -> Iterator[None]:
    """Leave the schema as it was."""
    yield
    SCHEMA.executor_class = TickwheelExecutor


@pytest_asyncio.fixture
async def both(api: Api) -> AsyncIterator[Both]:
    """Return both executors over a small world."""
    first, second = await api.create_job("first"), await api.create_job("second")
    for number in range(4):
        await api.create_schedule(
            (first, second)[number % 2],
            f"schedule-{number}",
            cron=f"{number} 5 * * *",
            tags=[{"key": "team", "value": f"t{number}"}],
            description="It does something." if number % 2 else None,
        )
    for job in (first, second, first):
        payload = await api.data(
            "mutation($id: ID!) { jobTrigger(input: {id: $id}) { run { id } errors { code } } }",
            id=job,
        )
        assert payload["jobTrigger"]["errors"] == []
    async with api.runtime.database.transaction() as transaction:
        await transaction.execute(
            text(
                "UPDATE schedule_counters SET last_run_id = (SELECT id FROM run LIMIT 1)"
                " WHERE schedule_id IN (SELECT id FROM schedule LIMIT 2)"
            )
        )
        project = (await transaction.execute(text("SELECT id FROM project LIMIT 1"))).scalar_one()
    actor = ActorRecord(kind=ActorKind.TOKEN.value, id=None, name="admin")
    principal = Principal(actor, Role.ADMIN, project, governs=True)
    hub, status = FeedHub(api.runtime), StatusReader(api.runtime)
    yield Both(lambda: Context(api.runtime, hub, status, principal))


async def test_both_executors_answer_documents_made_by_chance_alike(both: Both) -> None:
    """Made to fail by writing enums in small letters."""
    filled = 0
    for seed in range(60):
        answer = await both.same(Documents(Random(seed)).make())
        filled += '"nodes": [{' in answer["data"]
    assert filled > 10


_LIST = "{ schedules(first: 9) { nodes { key job { key name } lastRun { id job { key } } } } }"


async def test_rows_of_a_list_are_loaded_together(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    async def counting(connection: Any, project_id: Any, ids: Any) -> Any:
        calls.append(len(ids))
        return await read_jobs(connection, project_id, ids)

    monkeypatch.setattr("app.schema.loaders.read_jobs", counting)
    answer = await both.same(_LIST)
    assert json.loads(answer["data"])["schedules"]["nodes"][0]["job"]["key"]
    # Once for each of the executors: the runs' jobs are there already.
    assert calls == [2, 2]


@pytest.mark.parametrize("is_broken", [True, False])
async def test_rows_that_cannot_be_loaded_are_missed_alike(
    both: Both, monkeypatch: pytest.MonkeyPatch, is_broken: bool
) -> None:
    async def missing(*_: Any) -> Any:
        if is_broken:
            raise RuntimeError("broken")
        return {}

    for loader in ("read_jobs", "read_runs"):
        with monkeypatch.context() as patch:
            patch.setattr(f"app.schema.loaders.{loader}", missing)
            # Of several errors that take the same list with them, which one is told depends on
            # which is first; so there is one kind of them here.
            answer = await both.same("{ schedules { nodes { key job { key } lastRun { id } } } }")
        assert bool(answer["errors"]) is (is_broken or loader == "read_jobs")


_IMPOSSIBLE: list[tuple[str, Any]] = [
    ("key", None),
    ("version", "many"),
    ("version", 2**40),
    ("state", "NO_SUCH_STATE"),
    ("created_at", "yesterday"),
    ("created_at", None),
    ("description", 7),
    ("description", ValueError("broken")),
    ("paused_at", ValueError("broken")),
    ("tags", None),
    ("tags", {"a": None}),
    ("created_by", {"kind": "NOBODY", "id": None, "name": "x"}),
]


async def test_values_that_no_field_may_have_are_answered_alike(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A null where none may be takes its list with it, at the same path, with the same words.

    Made to fail by a path without the index.
    """
    fields = """key version state createdAt description pausedAt tags { key value }
        createdBy { kind }"""
    selected = f"schedules(first: 3) {{ nodes {{ {fields} }} }}"
    queries = (f"{{ a: {selected} }}", f"{{ jobs(first: 1) {{ nodes {{ key {selected} }} }} }}")
    made = Schedule.of
    for attribute, value in _IMPOSSIBLE:

        def broken(
            record: ScheduleRecord, principal: Principal, change: Any = (attribute, value)
        ) -> Schedule:
            if record.schedule.key == "schedule-1":
                setattr(record.schedule, *change)
            return made(record, principal)

        with monkeypatch.context() as patch:
            patch.setattr(Schedule, "of", broken)
            for query in queries:
                answer = await both.same(query)
                # A number is a text as far as GraphQL is concerned.
                assert answer["errors"] or isinstance(value, int), (attribute, value)
