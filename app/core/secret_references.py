"""References to secrets in configuration and parameters: `{"secret": "key"}` where a text may be.

The reference is what is stored, shown, compared and audited; the value takes its place in the
worker, when the run starts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_NAME = "secret"


def reference_to(value: Any) -> str | None:
    """Return the key that a value refers to, or None when it is no reference."""
    if isinstance(value, Mapping) and len(value) == 1:
        key = value.get(_NAME)
        return key if isinstance(key, str) else None
    return None


def references_in(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield every reference inside a JSON value: where it stands, and the key it names."""
    key = reference_to(value)
    if key is not None:
        yield path, key
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from references_in(item, *path, str(name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from references_in(item, *path, str(index))


def with_secrets(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return a JSON value with each reference replaced. Raises KeyError for one that is unknown."""
    key = reference_to(value)
    if key is not None:
        return secrets[key]
    if isinstance(value, Mapping):
        return {name: with_secrets(item, secrets) for name, item in value.items()}
    if isinstance(value, list):
        return [with_secrets(item, secrets) for item in value]
    return value


class AnySecret(dict[str, str]):
    """Stands in for secrets whose values are not to be known: every key has the same text."""

    def __missing__(self, key: str) -> str:
        return "not-the-secret"
