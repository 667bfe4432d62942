"""Load what rows refer to in one query a kind, instead of one a row."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from strawberry.dataloader import DataLoader

from app.models import (
    Attempt,
    Calendar,
    Chain,
    HealthFinding,
    Job,
    OccurrenceOverride,
    Project,
    Run,
    Worker,
)
from app.services.statistics import (
    RunStatistics,
    WindowRequest,
    read_lateness_of,
    read_run_statistics,
)
from app.services.status import Lateness
from app.store.backfills import BackfillRecord, read_backfills
from app.store.calendars import read_calendars
from app.store.chains import read_chains_of_jobs
from app.store.database import Database, ReadConnection
from app.store.findings import read_findings
from app.store.jobs import read_jobs
from app.store.overrides import read_overrides
from app.store.projects import read_project
from app.store.runs import read_attempts, read_runs, read_workers_by_id
from app.store.schedules import ScheduleRecord, read_schedules
from app.store.statistics import Of

MOST_OVERRIDES = 200
"""How many overrides of a schedule are shown, the newest ones."""

Loaded = TypeVar("Loaded")


class Loaders:
    """The loaders of one operation in one project."""

    def __init__(self, database: Database, project_id: UUID) -> None:
        self._database = database
        self._project_id = project_id

    @cached_property
    def jobs(self) -> DataLoader[UUID, Job | None]:
        """Load jobs by id."""
        return self._by_id(lambda connection, ids: read_jobs(connection, self._project_id, ids))

    @cached_property
    def schedules(self) -> DataLoader[UUID, ScheduleRecord | None]:
        """Load schedules by id."""
        return self._by_id(
            lambda connection, ids: read_schedules(connection, self._project_id, ids)
        )

    @cached_property
    def chains_of_jobs(self) -> DataLoader[UUID, list[Chain] | None]:
        """Load the chains that lead on from jobs by the job's id."""
        return self._by_id(
            lambda connection, ids: read_chains_of_jobs(connection, self._project_id, ids)
        )

    @cached_property
    def calendars(self) -> DataLoader[UUID, Calendar | None]:
        """Load calendars by id."""
        return self._by_id(read_calendars)

    @cached_property
    def overrides(self) -> DataLoader[UUID, list[OccurrenceOverride] | None]:
        """Load what was decided about occurrences by the schedule's id."""
        return self._by_id(
            lambda connection, ids: read_overrides(connection, ids, most=MOST_OVERRIDES)
        )

    @cached_property
    def runs(self) -> DataLoader[UUID, Run | None]:
        """Load runs by id."""
        return self._by_id(lambda connection, ids: read_runs(connection, self._project_id, ids))

    @cached_property
    def backfills(self) -> DataLoader[UUID, BackfillRecord | None]:
        """Load backfills by id."""
        return self._by_id(
            lambda connection, ids: read_backfills(connection, self._project_id, ids)
        )

    @cached_property
    def attempts(self) -> DataLoader[UUID, list[Attempt] | None]:
        """Load the attempts of runs by the run's id."""
        return self._by_id(read_attempts)

    @cached_property
    def workers(self) -> DataLoader[UUID, Worker | None]:
        """Load workers by id."""
        return self._by_id(read_workers_by_id)

    @cached_property
    def findings(self) -> DataLoader[UUID, HealthFinding | None]:
        """Load findings of the project and of the instance by id."""
        return self._by_id(lambda connection, ids: read_findings(connection, self._project_id, ids))

    @cached_property
    def projects(self) -> DataLoader[UUID, Project | None]:
        """Load projects by id."""
        return self._by_id(_read_projects)

    @cached_property
    def lateness(self) -> DataLoader[UUID, Lateness | None]:
        """Load how late schedules' newest runs started, by the schedule's id."""
        return self._by_id(read_lateness_of)

    @cached_property
    def run_statistics(self) -> DataLoader[tuple[Of, UUID, WindowRequest], RunStatistics]:
        """Load statistics of jobs or schedules; those of one window together."""

        async def load(keys: list[tuple[Of, UUID, WindowRequest]]) -> list[RunStatistics]:
            found: dict[tuple[Of, UUID, WindowRequest], RunStatistics] = {}
            groups: defaultdict[tuple[Of, WindowRequest], list[UUID]] = defaultdict(list)
            for of, id_, request in keys:
                groups[of, request].append(id_)
            async with self._database.reading(self._project_id) as connection:
                for (of, request), ids in groups.items():
                    read = await read_run_statistics(connection, of, ids, request)
                    found.update({(of, id_, request): each for id_, each in read.items()})
            return [found[key] for key in keys]

        return DataLoader(load_fn=load)

    def _by_id(
        self,
        read: Callable[[ReadConnection, Sequence[UUID]], Awaitable[dict[UUID, Loaded]]],
    ) -> DataLoader[UUID, Loaded | None]:
        async def load(ids: list[UUID]) -> list[Loaded | None]:
            async with self._database.reading(self._project_id) as connection:
                found = await read(connection, ids)
            return [found.get(id_) for id_ in ids]

        return DataLoader(load_fn=load)


async def _read_projects(connection: ReadConnection, ids: Sequence[UUID]) -> dict[UUID, Project]:
    projects = [await read_project(connection, id_) for id_ in ids]
    return {project.id: project for project in projects if project is not None}
