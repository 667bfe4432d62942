"""The schema as others judge it: linted by rules we did not write, and breaking nobody's client."""

import re
from pathlib import Path

import pytest

from tests.clients.node import NodeClients, node_clients
from tests.schema.breaking import BASELINE, TODAY, breaks

__all__ = ["node_clients"]

# Fields, inputs and values stand in the order of their meaning, the telling ones first.
LEFT_OUT = {
    "enum-values-sorted-alphabetically",
    "input-object-fields-sorted-alphabetically",
    "type-fields-sorted-alphabetically",
}
RULES = (
    "arguments-have-descriptions",
    "defined-types-are-used",
    "deprecations-have-a-reason",
    "descriptions-are-capitalized",
    "enum-values-all-caps",
    "enum-values-have-descriptions",
    "fields-are-camel-cased",
    "fields-have-descriptions",
    "input-object-values-are-camel-cased",
    "input-object-values-have-descriptions",
    "interface-fields-sorted-alphabetically",
    "relay-connection-arguments-spec",
    "relay-connection-types-spec",
    "relay-page-info-spec",
    "types-are-capitalized",
    "types-have-descriptions",
)


async def lint(node_clients: NodeClients, schema: Path) -> tuple[int, str]:
    """Return the linter's exit code and what it says."""
    rules = ["--rules", ",".join(RULES), "--format", "compact"]
    entry = "graphql-schema-linter/lib/cli.js"
    return await node_clients.run_tool(entry, *rules, str(schema), cwd=schema.parent)


async def test_the_schema_is_clean(node_clients: NodeClients) -> None:
    code, said = await lint(node_clients, TODAY)
    assert code == 0, said


def test_no_other_rule_is_left_out(node_clients: NodeClients) -> None:
    files = (node_clients.packages / "graphql-schema-linter" / "lib" / "rules").glob("*.js")
    assert {file.stem.replace("_", "-") for file in files} == {*RULES, *LEFT_OUT}


async def test_the_linter_notices_what_is_not(node_clients: NodeClients, tmp_path: Path) -> None:
    spoiled = tmp_path / "schema.graphql"
    spoiled.write_text(TODAY.read_text() + "\ntype lower_case { Odd_Field: Int }\n")
    code, said = await lint(node_clients, spoiled)
    assert code == 1
    for rule in ("types-are-capitalized", "fields-are-camel-cased", "types-have-descriptions"):
        assert rule in said


def test_no_client_is_broken() -> None:
    found = breaks(BASELINE.read_text(), TODAY.read_text())
    assert found == [], (
        "Clients that rely on the schema as it was would break. Keep the old names working; if it "
        "must be, `make schema-baseline` accepts it, and CHANGELOG.md says so."
    )


DESCRIBED = r'\n  """[^"]*"""\n  '


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (rf"{DESCRIBED}nextRunAt: DateTime\n", "\n", "Schedule.nextRunAt was removed"),
        (rf"{DESCRIBED}MISSED\n", "\n", "RunState.MISSED was removed"),
        (r"\n  lateness: Duration\n", "\n  lateness: Float\n", "Run.lateness changed type"),
        (
            r"\n  expectedVersion: Int\n",
            "\n  expectedVersion: Int!\n",
            "expectedVersion changed type",
        ),
    ],
)
def test_a_break_is_noticed(before: str, after: str, said: str) -> None:
    """Deliberate breaks: a field and a value that go, another type, an input that is required."""
    today = TODAY.read_text()
    broken = re.sub(before, after, today)
    assert broken != today
    found = breaks(today, broken)
    assert any(said in each.replace('"', "'") for each in found), found
