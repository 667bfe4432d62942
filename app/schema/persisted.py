"""Persisted documents: those that a request names instead of sending them.

They come from a directory of `.graphql` files, or a JSON file that maps identifiers to documents,
as the builds of clients write it. Every document is also known as `sha256:` and the hash of its
text. They are read, and checked against the schema, when the process starts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import orjson
from graphql import GraphQLError

from app.core.errors import Invalid, InvalidInput

NOT_FOUND = "PERSISTED_DOCUMENT_NOT_FOUND"
REQUIRED = "PERSISTED_DOCUMENT_REQUIRED"
AMBIGUOUS = "PERSISTED_DOCUMENT_AMBIGUOUS"
_PREFIX = "sha256:"
_SETTING = ("TICKWHEEL_PERSISTED_DOCUMENTS",)


@dataclass(frozen=True, slots=True)
class PersistedDocuments:
    """The texts by their identifiers; `only` them may be executed, or any other, too."""

    texts: Mapping[str, str] = field(default_factory=dict)
    only: bool = False

    def text_of(self, query: str | None, document_id: str | None) -> str | GraphQLError:
        """Return the text that is meant, or why there is none."""
        if document_id is None:
            if self.only:
                return _error("Only persisted documents are executed here: name one.", REQUIRED)
            return query or ""
        if query is not None:
            return _error("Send query or documentId, not both.", AMBIGUOUS)
        text = self.texts.get(document_id)
        if text is None:
            return _error(f"There is no persisted document {document_id[:200]!r}.", NOT_FOUND)
        return text


def id_of(text: str) -> str:
    """Return the identifier that every document has."""
    return f"{_PREFIX}{sha256(text.encode()).hexdigest()}"


def read_persisted(
    path: Path, *, only: bool, check: Callable[[str], GraphQLError | None]
) -> PersistedDocuments:
    """Read the documents below a directory, or in a file. Raises `InvalidInput`."""
    try:
        given = _read_directory(path) if path.is_dir() else _read_file(path)
    except (OSError, UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise InvalidInput([Invalid(f"{path} cannot be read: {error}", path=_SETTING)]) from error
    problems = [
        Invalid(f"The persisted document {name} {problem}", path=_SETTING)
        for name, text in given.items()
        if (problem := _problem(name, text, check)) is not None
    ]
    if problems:
        raise InvalidInput(problems)
    by_hash = {id_of(text): text for text in given.values()}
    return PersistedDocuments({**given, **by_hash}, only)


def _read_directory(path: Path) -> dict[str, str]:
    files = sorted(path.rglob("*.graphql"))
    return {str(file.relative_to(path)): file.read_text(encoding="utf-8") for file in files}


def _read_file(path: Path) -> dict[str, str]:
    content = orjson.loads(path.read_bytes())
    if not isinstance(content, dict) or not all(isinstance(text, str) for text in content.values()):
        raise InvalidInput(
            [Invalid(f"{path} must map identifiers to documents, as texts.", path=_SETTING)]
        )
    return content


def _problem(name: str, text: str, check: Callable[[str], GraphQLError | None]) -> str | None:
    if name.startswith(_PREFIX) and name != id_of(text):
        return "has another hash than its identifier says."
    error = check(text)
    return None if error is None else f"is not right: {error.message}"


def _error(message: str, code: str) -> GraphQLError:
    return GraphQLError(message, extensions={"code": code})
