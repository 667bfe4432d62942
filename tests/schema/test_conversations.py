"""What docs/graphql.md says is done, from its first line to its last, against a whole instance.

Each GraphQL block is one step. Comments before a block, which readers do not see, say what the test
has to know: `with id = schedule` gives a variable what an earlier step has kept, `keep run =
scheduleTrigger.run.id` keeps something, `expect … = …` says what an answer holds (and that it may
hold errors), `until … = …` waits for it. Variables without a word are known by their names. The
tabs of the explorer are another such conversation.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from graphql import FieldNode, OperationDefinitionNode, OperationType, parse

from app.dev.postgres import EmbeddedPostgres
from app.sealing import new_key
from tests.documents import ROOT, Block, blocks
from tests.faults.nursery import Nursery
from tests.live_instance import LiveInstance, live_instance
from tests.schema.api import Api, Stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABS = ROOT / "graphiql"
_ABSENT = object()


@dataclass(frozen=True)
class Note:
    """What the comment before a block asks for."""

    given: dict[str, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    until: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Note":
        """Read a comment."""
        note = cls()
        parts = {
            "with": note.given,
            "keep": note.kept,
            "expect": note.expected,
            "until": note.until,
        }
        for sentence in filter(None, (each.strip() for each in text.split(";"))):
            word, _, rest = sentence.partition(" ")
            left, equals, right = rest.partition(" = ")
            assert equals, f"What does {sentence!r} mean?"
            parts[word][left] = right
        return note

    @property
    def may_fail(self) -> bool:
        """Return whether errors are what is expected."""
        return any("errors" in path for path in self.expected)


@dataclass
class Conversation:
    """One caller who goes from step to step, and what is known by now."""

    api: Api
    known: dict[str, Any]

    async def step(self, document: str, note: Note, variables: Mapping[str, Any]) -> None:
        """Do one step, judge the answer, and keep what is to be kept."""
        operation = _operation(document)
        given = self._variables(operation, note) | dict(variables)
        if operation.operation is OperationType.SUBSCRIPTION:
            answer = await self._watch(document, note, given)
        else:
            answer = await self._ask(document, note, given)
        data = answer.get("data")
        if not note.may_fail:
            assert "errors" not in answer, answer
            for payload in (data or {}).values():
                assert not (isinstance(payload, dict) and payload.get("errors")), payload
        for path, value in note.expected.items():
            found = _at(answer if path.startswith("errors.") else data, path)
            assert _text(found) == value, (path, found, answer)
        for name, path in note.kept.items():
            self.known[name] = _at(data, path)
            assert self.known[name] not in (None, _ABSENT), (name, answer)

    def _variables(self, operation: OperationDefinitionNode, note: Note) -> dict[str, Any]:
        names = [each.variable.name.value for each in operation.variable_definitions or ()]
        given = {name: self.known.get(note.given.get(name, name)) for name in names}
        return {name: value for name, value in given.items() if value is not None}

    async def _ask(self, document: str, note: Note, given: Mapping[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                answer = await self.api.ask(document, **given)
                if _holds(note.until, answer.get("data")):
                    return answer
                await asyncio.sleep(0.05)

    async def _watch(self, document: str, note: Note, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the message that was waited for: by default the first."""
        [root] = _operation(document).selection_set.selections
        assert isinstance(root, FieldNode)
        name = root.name.value
        heard = []
        try:
            async with asyncio.timeout(30), self.api.watching(document, **given) as stream:
                if note.until.get("silence"):
                    await _is_taken(stream)
                    return {"data": {}}
                async for message in stream:
                    heard.append(message)
                    if _holds(note.until, {name: message}):
                        return {"data": {name: message}}
        except TimeoutError as error:
            raise AssertionError(f"No more than {heard}") from error
        raise AssertionError(f"The stream ended after {heard}")


async def _is_taken(stream: Stream) -> None:
    """See that a subscription which may stay silent was not refused: a ping comes back first."""
    await stream._connection.send('{"type": "ping"}')
    message = json.loads(await stream._connection.recv())
    assert message["type"] in ("pong", "next"), message


def _operation(document: str) -> OperationDefinitionNode:
    operations = [
        each for each in parse(document).definitions if isinstance(each, OperationDefinitionNode)
    ]
    assert len(operations) == 1, "A block holds one operation."
    return operations[0]


def _holds(conditions: Mapping[str, str], data: Any) -> bool:
    return all(
        any(_text(_at(data, path)) == value for path in paths.split(" or "))
        for paths, value in conditions.items()
    )


def _at(data: Any, path: str) -> Any:
    """Return what lies at a path like `schedules.nodes.0.key`."""
    for step in path.split("."):
        if isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
        elif isinstance(data, dict) and step in data:
            data = data[step]
        else:
            return _ABSENT
    return data


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value is not _ABSENT else "-"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def instance(
    postgres: EmbeddedPostgres, nursery: Nursery, services_directory: Path
) -> AsyncIterator[LiveInstance]:
    settings = {"secret_keys": new_key("first")}
    async with live_instance(postgres, nursery, services_directory, **settings) as instance:
        yield instance


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def conversation(instance: LiveInstance) -> Conversation:
    """Return one for the document: two more jobs are there, as it supposes."""
    known = {name: await instance.api.create_job(name) for name in ("list", "copy")}
    known["finding"] = "finding_" + "0" * 32
    return Conversation(instance.api, known)


@pytest.mark.parametrize(
    "block", blocks("graphql.md", "graphql"), ids=lambda block: f"line-{block.line}"
)
async def test_the_document_does_what_it_says(conversation: Conversation, block: Block) -> None:
    """The steps build on one another: run them all."""
    await conversation.step(block.text, Note.of(block.note), {})


TAB_NOTES = {
    "create-job": "keep job = jobCreate.job.id",
    "create-schedule": "keep schedule = scheduleCreate.schedule.id",
    "watch-runs": "until runEvents.run.state = SUCCEEDED",
}


async def test_each_tab_of_the_explorer_does_what_it_says(instance: LiveInstance) -> None:
    """Every tab, in the order of the page; an id is put where its text asks for one."""
    source = (TABS / "src" / "examples.js").read_text()
    order = re.findall(r"tab\((\w+)[,)]", source)
    files = dict(re.findall(r"import (\w+) from '\.\./examples/([\w-]+)\.graphql'", source))
    conversation = Conversation(instance.api, {})
    names = [files[each] for each in order if each in files]
    assert sorted(names) == sorted(path.stem for path in (TABS / "examples").glob("*.graphql"))
    for name in names:
        variables = TABS / "examples" / f"{name}.json"
        text = variables.read_text() if variables.exists() else "{}"
        for kind in ("job", "schedule"):
            text = text.replace(f"the id of the {kind}", str(conversation.known.get(kind)))
        document = (TABS / "examples" / f"{name}.graphql").read_text()
        await conversation.step(document, Note.of(TAB_NOTES.get(name, "")), json.loads(text))
