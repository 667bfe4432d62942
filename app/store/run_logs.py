"""The logs of runs: rows of some lines each, written together.

A line's number counts from 1 over all attempts of its run. One worker at a time writes the log of
a run, in order, so "every line up to number n" is a position that loses nothing. A row that holds
no line but a count of dropped ones takes a number, too.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, func
from sqlmodel import col, select

from app.core.vocabulary import LogLevel
from app.models import RunLogChunk
from app.store.database import ReadConnection, Transaction
from app.store.firing import as_columns

_CHUNKS_AT_ONCE = 50
_LAST_NUMBER: ColumnElement[int] = (
    col(RunLogChunk.sequence) + func.greatest(RunLogChunk.line_count, 1) - 1
)
EVERY_LEVEL = frozenset(level.value for level in LogLevel)


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Some lines of one run's log; `lines` is the stored form, as JSON text."""

    run_id: UUID
    fencing_token: int
    sequence: int
    line_count: int
    attempt: int
    dropped: int
    lines: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, between 0 and 1."""

    run_id: UUID
    fencing_token: int
    progress: float
    message: str | None


async def append_run_logs(transaction: Transaction, chunks: Sequence[LogChunk]) -> None:
    """Add chunks to the logs of runs that are still their writer's."""
    if chunks:
        await transaction.run_file("append_run_logs", as_columns(chunks, LogChunk))


async def note_progress(
    transaction: Transaction, noted: Sequence[Progress]
) -> Sequence[RowMapping]:
    """Write how far runs are; return the rows that changed."""
    if not noted:
        return []
    result = await transaction.run_file("note_progress", as_columns(noted, Progress))
    return result.mappings().all()


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line of a run's log."""

    sequence: int
    at_milliseconds: int
    level: str
    stream: str
    text: str
    attempt: int


@dataclass(slots=True)
class LogPage:
    """Some lines, oldest first.

    `position`: every line up to this number is on the page, or was not asked for, or lies before
    it. `dropped`: how many were never kept, in the rows that end on this page. `has_more`: whether
    there is another line that was asked for.
    """

    position: int
    lines: list[StoredLine] = field(default_factory=list)
    dropped: int = 0
    has_more: bool = False

    def take(self, chunk: RunLogChunk, *, limit: int, levels: Set[str]) -> bool:
        """Take a row's lines from the position on; return whether all of them fitted."""
        for line in _lines(chunk):
            if line.sequence <= self.position:
                continue
            if line.level in levels:
                if len(self.lines) == limit:
                    self.has_more = True
                    return False
                self.lines.append(line)
            self.position = line.sequence
        self.position = max(self.position, chunk.sequence + max(chunk.line_count, 1) - 1)
        self.dropped += chunk.dropped
        return True


async def read_log_page(
    connection: ReadConnection,
    run_id: UUID,
    *,
    after: int,
    limit: int,
    attempt: int | None = None,
    levels: Set[str] = EVERY_LEVEL,
) -> LogPage:
    """Return up to `limit` lines after number `after`."""
    page = LogPage(after)
    while True:
        wanted = limit + 1 - len(page.lines)
        chunks = await _read_chunks(connection, run_id, page.position, wanted, attempt)
        if not chunks or not all(page.take(chunk, limit=limit, levels=levels) for chunk in chunks):
            return page


async def read_log_end(
    connection: ReadConnection, run_id: UUID, *, lines: int, levels: Set[str]
) -> int:
    """Return the position behind which the last `lines` lines of those levels lie."""
    before, left = None, lines
    while left > 0:
        query = (
            select(RunLogChunk)
            .where(col(RunLogChunk.run_id) == run_id)
            .order_by(col(RunLogChunk.sequence).desc())
            .limit(_CHUNKS_AT_ONCE)
        )
        if before is not None:
            query = query.where(col(RunLogChunk.sequence) < before)
        chunks = (await connection.exec(query)).all()
        for chunk in chunks:
            for line in reversed(list(_lines(chunk))):
                left -= line.level in levels
                if left == 0:
                    return line.sequence - 1
            before = chunk.sequence
        if not chunks:
            return 0
    return await read_last_number(connection, run_id)


async def read_last_number(connection: ReadConnection, run_id: UUID) -> int:
    """Return the number of a log's last line; 0 for an empty log."""
    query = select(func.max(_LAST_NUMBER)).where(col(RunLogChunk.run_id) == run_id)
    return (await connection.exec(query)).one() or 0


async def count_dropped_lines(
    connection: ReadConnection, run_id: UUID, *, attempt: int | None
) -> int:
    """Return how many lines were never kept, in the whole log."""
    query = select(func.sum(RunLogChunk.dropped)).where(col(RunLogChunk.run_id) == run_id)
    if attempt is not None:
        query = query.where(col(RunLogChunk.attempt) == attempt)
    return (await connection.exec(query)).one() or 0


async def _read_chunks(
    connection: ReadConnection, run_id: UUID, after: int, lines: int, attempt: int | None
) -> Sequence[RunLogChunk]:
    """Return the rows behind number `after`, as many as it takes for so many lines."""
    number, count = col(RunLogChunk.sequence), col(RunLogChunk.line_count)
    is_of_run = col(RunLogChunk.run_id) == run_id
    # By the primary key to the row that holds the position: a log may have thousands before it.
    first = select(func.max(number)).where(is_of_run, number <= after + 1).scalar_subquery()
    behind = func.least(count, number + count - 1 - after)
    rows = (
        select(number, (func.sum(behind).over(order_by=number) - behind).label("lines_before"))
        .where(is_of_run, number >= func.coalesce(first, 0), after < _LAST_NUMBER)
        .order_by(number)
        .limit(_CHUNKS_AT_ONCE)
    )
    if attempt is not None:
        rows = rows.where(col(RunLogChunk.attempt) == attempt)
    found = rows.subquery()
    query = (
        select(RunLogChunk)
        .join(found, number == found.c.sequence)
        .where(is_of_run, found.c.lines_before < lines)
        .order_by(number)
    )
    return (await connection.exec(query)).all()


def _lines(chunk: RunLogChunk) -> Iterator[StoredLine]:
    for index, (at, level, stream, text) in enumerate(chunk.lines):
        yield StoredLine(chunk.sequence + index, at, level, stream, text, chunk.attempt)
