"""What can be watched: a kind of entity in one project, narrowed by a filter.

Equal topics are equal values, so that subscribers who watch the same share one feed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from app.core.changes import INSTANCE
from app.models import HealthFinding, Run
from app.services.live.positions import Entry
from app.services.writing import Subject
from app.store.database import ReadConnection
from app.store.filters import RunFilter, ScheduleFilter
from app.store.findings import read_findings, read_newest_open_findings
from app.store.live import (
    read_matching_runs,
    read_matching_schedules,
    read_newest_runs,
)
from app.store.schedules import ScheduleRecord, read_newest_schedules

Row = TypeVar("Row")

EVERY_RUN = RunFilter()
EVERY_SCHEDULE = ScheduleFilter()


class Topic(Protocol[Row]):
    """A kind of rows that subscribers watch."""

    @property
    def project_id(self) -> UUID:
        """Return the project whose rows these are."""

    @property
    def may_lose(self) -> bool:
        """Return whether a row that stays can cease to be one of these."""

    def concerns(self, entry: Entry) -> bool:
        """Return whether an entry may be about one of these rows; may err towards yes."""

    async def read_matching(
        self, connection: ReadConnection, ids: Sequence[UUID]
    ) -> dict[UUID, Row]:
        """Return those of the rows that pass the filter."""

    async def read_newest(self, connection: ReadConnection, limit: int) -> list[Row]:
        """Return the newest rows that pass the filter."""

    def id_of(self, row: Row) -> UUID:
        """Return a row's id."""


@dataclass(frozen=True, slots=True)
class RunTopic:
    """Runs: of a schedule, a single one, or all that pass a filter."""

    project_id: UUID
    narrowed: RunFilter = EVERY_RUN
    run_id: UUID | None = None
    schedule_id: UUID | None = None

    @property
    def may_lose(self) -> bool:
        """Return whether there is a filter: a run stays with its schedule."""
        return self.narrowed != EVERY_RUN

    def concerns(self, entry: Entry) -> bool:
        """Compare ids only."""
        return (
            entry.subject == Subject.RUN
            and entry.project_id == self.project_id
            and self.run_id in (None, entry.entity_id)
            and self.schedule_id in (None, entry.parent_id)
        )

    async def read_matching(
        self, connection: ReadConnection, ids: Sequence[UUID]
    ) -> dict[UUID, Run]:
        """Return those of the runs that pass the filter."""
        return await read_matching_runs(connection, self.project_id, ids, self._filter())

    async def read_newest(self, connection: ReadConnection, limit: int) -> list[Run]:
        """Return the newest runs that pass the filter."""
        return await read_newest_runs(connection, self.project_id, self._filter(), limit)

    def id_of(self, row: Run) -> UUID:
        """Return the run's id."""
        return row.id

    def _filter(self) -> RunFilter:
        ids = None if self.run_id is None else (self.run_id,)
        return RunFilter(ids=ids, schedule_id=self.schedule_id, all_of=(self.narrowed,))


@dataclass(frozen=True, slots=True)
class ScheduleTopic:
    """Schedules that pass a filter."""

    project_id: UUID
    narrowed: ScheduleFilter = EVERY_SCHEDULE

    @property
    def may_lose(self) -> bool:
        """Return true: schedules are archived."""
        return True

    def concerns(self, entry: Entry) -> bool:
        """Compare ids only."""
        return entry.subject == Subject.SCHEDULE and entry.project_id == self.project_id

    async def read_matching(
        self, connection: ReadConnection, ids: Sequence[UUID]
    ) -> dict[UUID, ScheduleRecord]:
        """Return those of the schedules that pass the filter."""
        return await read_matching_schedules(connection, self.project_id, ids, self.narrowed)

    async def read_newest(self, connection: ReadConnection, limit: int) -> list[ScheduleRecord]:
        """Return the newest schedules that pass the filter."""
        return await read_newest_schedules(connection, self.project_id, self.narrowed, limit)

    def id_of(self, row: ScheduleRecord) -> UUID:
        """Return the schedule's id."""
        return row.schedule.id


@dataclass(frozen=True, slots=True)
class FindingTopic:
    """Findings about a project's schedules and about the instance.

    It begins with the open ones; of those that change it tells whatever becomes of them.
    """

    project_id: UUID

    @property
    def may_lose(self) -> bool:
        """Return false: a finding that is over is told of as such."""
        return False

    def concerns(self, entry: Entry) -> bool:
        """Compare ids only."""
        mine = (self.project_id, INSTANCE)
        return entry.subject == Subject.FINDING and entry.project_id in mine

    async def read_matching(
        self, connection: ReadConnection, ids: Sequence[UUID]
    ) -> dict[UUID, HealthFinding]:
        """Return the findings, open or not."""
        return await read_findings(connection, self.project_id, ids)

    async def read_newest(self, connection: ReadConnection, limit: int) -> list[HealthFinding]:
        """Return the newest open findings."""
        return await read_newest_open_findings(connection, self.project_id, limit)

    def id_of(self, row: HealthFinding) -> UUID:
        """Return the finding's id."""
        return row.id
