"""What of a schema, changed, would break a client that was written for it as it was.

    python -m tests.schema.breaking    accept today's schema as what clients rely on

`make schema-baseline` says the same: from then on, what was broken before is not noticed any more.
"""

from pathlib import Path

from graphql import build_schema
from graphql.utilities import find_breaking_changes

_ROOT = Path(__file__).parents[2]
TODAY = _ROOT / "schema.graphql"
BASELINE = Path(__file__).with_name("baseline.graphql")


def breaks(before: str, after: str) -> list[str]:
    """Return each change between two schemas that breaks clients, in words."""
    changes = find_breaking_changes(build_schema(before), build_schema(after))
    return [change.description for change in changes]


def main() -> None:
    """Accept."""
    today = TODAY.read_text(encoding="utf-8")
    for broken in breaks(BASELINE.read_text(encoding="utf-8"), today):
        print(f"Accepted: {broken}")
    BASELINE.write_text(today, encoding="utf-8")
    print("Clients may now rely on the schema as it is. Say in CHANGELOG.md what breaks.")


if __name__ == "__main__":
    main()
