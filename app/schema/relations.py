"""What one thing refers to, in a form that a whole list can be answered by.

A resolver that awaits a loader costs a coroutine and a task for each row. A relation says in three
parts what such a resolver does: which loader, which key, and how the row is shown. The resolver is
made of the same parts, so both ways give the same; the executor loads a list's keys at once.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Generic, TypeVar, cast

from strawberry.dataloader import DataLoader

from app.schema.context import Context, Info
from app.schema.loaders import Loaders

Source = TypeVar("Source")
Shown = TypeVar("Shown")
Resolver = TypeVar("Resolver", bound=Callable[..., Any])
UNKNOWN: Any = object()
"""What a shortcut returns that has to leave it to the resolver."""


@dataclass(frozen=True, slots=True)
class Relation(Generic[Source, Shown]):
    """From a source to what it refers to: by a loader's key, None where it refers to nothing."""

    loader: Callable[[Loaders], DataLoader[Any, Any]]
    key: Callable[[Source], Hashable | None]
    show: Callable[[Any, Context], Shown]

    async def follow(self, source: Source, info: Info) -> Shown:
        """Return what the source refers to."""
        key = self.key(source)
        row = None if key is None else await self.loader(info.context.loaders).load(key)
        return self.show(row, info.context)

    def start(self, sources: list[Source], loader: DataLoader[Any, Any]) -> list[Awaitable[Any]]:
        """Begin to load what many sources refer to, and return what is not there yet."""
        keys = dict.fromkeys(key for source in sources if (key := self.key(source)) is not None)
        futures = [loader.load(key) for key in keys]
        return [future for future in futures if not cast("Any", future).done()]

    def known(self, source: Source, loader: DataLoader[Any, Any]) -> Any:
        """Return the row that the source refers to if it has been loaded, or `UNKNOWN`."""
        key = self.key(source)
        if key is None:
            return None
        future: Any = loader.cache_map.get(key)
        if future is None or not future.done() or future.cancelled() or future.exception():
            return UNKNOWN
        return future.result()


def lazily(reads: Mapping[str, Callable[[Any], Any]]) -> Callable[[type[Shown]], type[Shown]]:
    """Let a type read its plain fields from its row when somebody asks for them, not before.

    A list selects a dozen of fifty fields. `reads` says for each of them how it is read.
    """

    def decorate(cls: type[Shown]) -> type[Shown]:
        fields = cast("Any", cls).__strawberry_definition__.fields
        plain = {field.python_name for field in fields if field.base_resolver is None}
        assert plain == reads.keys(), f"{cls.__name__}: {sorted(plain ^ reads.keys())}"

        def read(self: Any, name: str) -> Any:
            found = reads.get(name)
            if found is None:
                raise AttributeError(name)
            return found(self)

        cls.__getattr__ = read  # type: ignore[attr-defined] # it has none of its own
        cls.__reads__ = reads  # type: ignore[attr-defined] # for the executor
        return cls

    return decorate


def attributes_of(path: str, *names: str) -> dict[str, Callable[[Any], Any]]:
    """Return reads of attributes that have the same name below a path."""
    return {name: attrgetter(f"{path}.{name}") for name in names}


def follows(relation: Relation[Any, Any]) -> Callable[[Resolver], Resolver]:
    """Mark a resolver that does nothing but follow a relation."""

    def mark(resolver: Resolver) -> Resolver:
        resolver.__dict__["relation"] = relation
        return resolver

    return mark


def at_first(shortcut: Callable[[Any], Any]) -> Callable[[Resolver], Resolver]:
    """Mark a resolver that is not asked where a shortcut knows the value already."""

    def mark(resolver: Resolver) -> Resolver:
        resolver.__dict__["shortcut"] = shortcut
        return resolver

    return mark
