"""Count what was recorded without a count, so that the counters of schedules become complete.

A long outage or pause of a busy schedule is one row, and counting its occurrences may take longer
than a tick may hold its locks. The sweep counts it afterwards: a slice at a time, in a thread,
without any lock. The range gets its count and the counters grow by it in one transaction, once,
whichever worker is the first to be through. How far a worker has come is kept in its memory alone:
should it die, another begins anew.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import structlog

from app.core.changes import Change
from app.core.clock import elapsed_seconds
from app.core.counting import RangeCount
from app.core.ids import Kind, public_id
from app.core.vocabulary import ChangeKind
from app.models import Run
from app.runtime import Runtime
from app.services.schedules.timetables import load_calendars, timetable_of
from app.store.counters import OutcomeCounts, count_outcomes, count_record
from app.store.database import ReadConnection
from app.store.events import record_changes
from app.store.ledger import read_uncounted_range, set_range_count
from app.store.versions import columns_of, read_definition

_BUDGET_SECONDS = 0.1
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Counting:
    run: Run
    progress: RangeCount


class RangeCounter:
    """The counting of one worker: one range at a time."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._current: _Counting | None = None
        # Those that cannot be counted: their timings can no longer be read.
        self._given_up: set[UUID] = set()

    async def step(self) -> bool:
        """Count for a tenth of a second; return whether there may be more to count."""
        if self._current is None:
            self._current = await self._begin()
        if self._current is None:
            return False
        try:
            await asyncio.to_thread(_advance, self._current.progress)
        except Exception as error:
            self._give_up(self._current.run, error)
            return True
        if self._current.progress.is_done:
            done, self._current = self._current, None
            await self._write(done.run, done.progress.count)
        return True

    async def _begin(self) -> _Counting | None:
        async with self._runtime.database.reading(None) as connection:
            run = await read_uncounted_range(connection, besides=self._given_up)
            if run is None:
                return None
            try:
                return _Counting(run, await _range_of(connection, run))
            except Exception as error:
                self._give_up(run, error)
                return None

    def _give_up(self, run: Run, error: Exception) -> None:
        self._given_up.add(run.id)
        self._current = None
        _log.warning("range.uncountable", run_id=public_id(Kind.RUN, run.id), error=str(error))

    async def _write(self, run: Run, count: int) -> None:
        assert run.schedule_id is not None, "only a schedule has ranges"
        async with self._runtime.database.transaction() as transaction:
            revision = await set_range_count(transaction, run.id, count)
            if revision is None:
                # Somebody else was through before, or its time was over and it was removed.
                return
            counts: dict[UUID, OutcomeCounts] = {}
            count_record(counts, run.schedule_id, run.state, count)
            counted = await count_outcomes(transaction, counts.values())
            project_id, of = run.project_id, (run.schedule_id,)
            changes = [Change(project_id, "RUN", "COUNTED", (run.id,), (revision,), of)]
            for row in counted:
                kind = ChangeKind.RUN_FINISHED.value
                changes.append(Change(project_id, "SCHEDULE", kind, of, (row.revision,)))
            await record_changes(transaction, changes)
        await self._runtime.announce(changes)


def _advance(progress: RangeCount) -> None:
    until = elapsed_seconds() + _BUDGET_SECONDS
    while not progress.is_done and elapsed_seconds() < until:
        progress.advance()


async def _range_of(connection: ReadConnection, run: Run) -> RangeCount:
    """Return the range by the timings that its schedule had when it was recorded."""
    assert run.schedule_id is not None, "only a schedule has ranges"
    assert run.schedule_version is not None, "a range is of a version"
    assert run.range_end is not None, "a range has an end"
    definition = await read_definition(connection, run.schedule_id, run.schedule_version)
    if definition is None:
        raise ValueError(f"its schedule has no version {run.schedule_version}")
    columns = columns_of(definition.snapshot)
    timetable = timetable_of(columns, await load_calendars(connection, columns))
    return RangeCount.of(timetable, run.scheduled_for, run.range_end)
