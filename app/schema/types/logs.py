"""The logs of runs."""

from datetime import UTC, datetime
from uuid import UUID

import strawberry

from app.core.errors import LimitExceeded
from app.core.vocabulary import LogLevel
from app.schema.context import Context, Info
from app.schema.scalars import Cursor
from app.schema.types.common import PageInfo
from app.services.live.log_watching import read_position
from app.store.run_logs import StoredLine, count_dropped_lines, read_log_page

_MOST_LINES = 1_000
_LEVELS = list(LogLevel)


def levels_from(least: LogLevel | None) -> frozenset[str]:
    """Return the stored words of this level and the graver ones."""
    return frozenset(level.value for level in _LEVELS[_LEVELS.index(least or LogLevel.DEBUG) :])


@strawberry.type(description="A line of a run's log.")
class LogLine:
    """A line."""

    cursor: Cursor = strawberry.field(description="Its position.")
    sequence: int = strawberry.field(description="Counts from 1, over all attempts.")
    at: datetime = strawberry.field(description="When it was written.")
    level: LogLevel = strawberry.field(description="Its level.")
    stream: str = strawberry.field(description="Where it was written: stdout, stderr or log.")
    attempt: int = strawberry.field(description="The attempt that wrote it.")
    text: str = strawberry.field(description="Without its line end; colours are kept.")

    @classmethod
    def of(cls, line: StoredLine) -> "LogLine":
        """Return the public form."""
        return cls(
            cursor=Cursor(str(line.sequence)),
            sequence=line.sequence,
            at=datetime.fromtimestamp(line.at_milliseconds / 1000, UTC),
            level=LogLevel(line.level),
            stream=line.stream,
            attempt=line.attempt,
            text=line.text,
        )


@strawberry.type(description="A line in a log.")
class LogEdge:
    """An edge."""

    cursor: str = strawberry.field(description="Its position.")
    node: LogLine = strawberry.field(description="The line.")


@strawberry.type(description="One page of a log.")
class LogConnection:
    """A connection."""

    edges: list[LogEdge] = strawberry.field(description="The lines with their positions.")
    nodes: list[LogLine] = strawberry.field(description="The lines.")
    page_info: PageInfo = strawberry.field(description="Where the page lies.")
    run_id: strawberry.Private[UUID]
    attempt: strawberry.Private[int | None]

    @strawberry.field(description="Whether lines of this log were dropped, on any page.")
    async def truncated(self, info: Info) -> bool:
        """Look whether any were dropped."""
        return await self._count_dropped(info.context) > 0

    @strawberry.field(
        description="How many lines of this log were dropped, because it was full or too many came."
    )
    async def dropped(self, info: Info) -> int:
        """Count them."""
        return await self._count_dropped(info.context)

    async def _count_dropped(self, context: Context) -> int:
        async with context.reading() as connection:
            return await count_dropped_lines(connection, self.run_id, attempt=self.attempt)

    @classmethod
    async def read(
        cls,
        context: Context,
        run_id: UUID,
        *,
        first: int,
        after: str | None,
        attempt: int | None,
        min_level: LogLevel | None,
    ) -> "LogConnection":
        """Return one page, from the beginning on."""
        if not 0 <= first <= _MOST_LINES:
            raise LimitExceeded(f"first lies between 0 and {_MOST_LINES:,}.", path=("first",))
        async with context.reading() as connection:
            page = await read_log_page(
                connection,
                run_id,
                after=0 if after is None else read_position(after),
                limit=first,
                attempt=attempt,
                levels=levels_from(min_level),
            )
        nodes = [LogLine.of(line) for line in page.lines]
        return cls(
            edges=[LogEdge(cursor=str(node.cursor), node=node) for node in nodes],
            nodes=nodes,
            page_info=PageInfo(
                has_next_page=page.has_more,
                has_previous_page=after is not None,
                start_cursor=str(nodes[0].cursor) if nodes else None,
                end_cursor=str(nodes[-1].cursor) if nodes else None,
            ),
            run_id=run_id,
            attempt=attempt,
        )
