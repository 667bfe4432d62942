"""What a job's configuration asks for beyond itself, so that it can be had before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.secret_references import references_in
from app.core.vocabulary import JobKind


@dataclass(frozen=True, slots=True)
class Needs:
    """The keys of the secrets that a configuration refers to."""

    secrets: frozenset[str] = frozenset()


def needs_of(kind: JobKind, config: Mapping[str, Any]) -> Needs:
    """Return what a configuration needs. Never raises: what is wrong with it is told elsewhere."""
    keys = {key for _, key in references_in(config)}
    if kind is JobKind.HTTP and isinstance(config.get("sign"), str):
        keys.add(config["sign"])
    return Needs(frozenset(keys))
