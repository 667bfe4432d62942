"""What stands in fenced blocks of our documents, for tests that execute it.

A block's info string is its language and, where it is a file, the file's name (`js urql.mjs`). A
comment before it says, unseen by readers, what a test needs to know: `<!-- test: … -->`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(
    r"(?:^<!-- test: (?P<note>[^\n]*?) -->\n\n?)?^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    name: str
    text: str
    note: str
    line: int


def blocks(document: str, *languages: str) -> list[Block]:
    """Return the blocks in `docs/…` of these languages, in order."""
    content = (ROOT / "docs" / document).read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(content):
        language, _, name = match["info"].partition(" ")
        if language in languages:
            line = content.count("\n", 0, match.start("info")) + 1
            found.append(Block(language, name, match["text"], match["note"] or "", line))
    return found


def named_files(document: str, *languages: str) -> dict[str, str]:
    """Return the blocks that are files, by name."""
    return {block.name: block.text for block in blocks(document, *languages) if block.name}
