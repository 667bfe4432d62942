"""Turn a batch of events into the letters of one feed, once for all its subscribers."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, NamedTuple
from uuid import UUID

from app.services.live.messages import Changed, Gone, Letter
from app.services.live.positions import Batch, Entry
from app.services.live.topics import Row, Topic
from app.store.database import ReadConnection

_MOST_HELD = 10_000


class Concerned(NamedTuple, Generic[Row]):
    """An entry that concerns a feed, and its place in the batch.

    No letter: the row does not pass the filter, and who of the subscribers has it is for each to
    know.
    """

    place: int
    entry: Entry
    letter: Letter[Row] | None


@dataclass(frozen=True)
class Delivery(Generic[Row]):
    """What a batch holds for one feed, shared by its subscribers."""

    batch: Batch
    concerned: Sequence[Concerned[Row]]

    @cached_property
    def folded(self) -> dict[UUID, Letter[Row]]:
        """Return one letter an entity, in the order of their last changes."""
        found: dict[UUID, Letter[Row]] = {}
        for _, entry, letter in self.concerned:
            if letter is not None:
                found[entry.entity_id] = folded(letter, found.pop(entry.entity_id, None))
        return found


class Held:
    """The rows that some subscriber of a feed has been told of, and that may leave its filter.

    Bounded; the oldest are forgotten.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[UUID, None] = OrderedDict()

    def add(self, ids: Iterable[UUID]) -> None:
        """Remember that somebody has these."""
        for id_ in ids:
            self._ids[id_] = None
            self._ids.move_to_end(id_)
        while len(self._ids) > _MOST_HELD:
            self._ids.popitem(last=False)

    def take(self, id_: UUID) -> bool:
        """Forget a row that has left, and return whether somebody had it."""
        return self._ids.pop(id_, self) is None


class Reading(NamedTuple, Generic[Row]):
    """The entries of a batch that concern a topic, and those of their rows that pass its filter."""

    concerned: list[tuple[int, Entry]]
    rows: dict[UUID, Row]


async def read_rows(connection: ReadConnection, batch: Batch, topic: Topic[Row]) -> Reading[Row]:
    """Read what a batch holds for one topic, with its rows as the batch's snapshot sees them."""
    concerned = [
        (index, entry) for index, entry in enumerate(batch.entries) if topic.concerns(entry)
    ]
    ids = list({entry.entity_id for _, entry in concerned})
    return Reading(concerned, await topic.read_matching(connection, ids) if ids else {})


def delivery_of(
    batch: Batch, reading: Reading[Row], topic: Topic[Row], held: Held | None = None
) -> Delivery[Row]:
    """Write the letters. Without `held` nobody knows yet who had the rows that have left."""
    letters: list[Concerned[Row]] = []
    gone: set[UUID] = set()
    made: dict[Hashable, Any] = {}
    for index, entry in reading.concerned:
        id_, row = entry.entity_id, reading.rows.get(entry.entity_id)
        letter: Letter[Row] | None = None
        if row is not None:
            cursor = batch.cursor(index + 1, None)
            letter = Changed(id_, cursor, row, entry.change, made_for_batch=made)
        elif id_ in gone or not topic.may_lose or (held is not None and held.take(id_)):
            gone.add(id_)
            letter = Gone(id_, batch.cursor(index + 1, None))
        letters.append(Concerned(index, entry, letter))
    if held is not None and topic.may_lose:
        held.add(reading.rows)
    return Delivery(batch, letters)


def folded(letter: Letter[Row], earlier: Letter[Row] | None) -> Letter[Row]:
    """Return a letter that stands for an earlier one of the same entity, too."""
    if earlier is None:
        return letter
    return replace(letter, coalesced=letter.coalesced + earlier.coalesced + 1)
