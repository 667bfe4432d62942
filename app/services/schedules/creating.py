"""Create schedules: one, or up to a thousand, all or none.

However many there are, they cost a fixed number of statements.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.defaults import Defaults
from app.core.errors import AlreadyExists, LimitExceeded, NotFound, TickwheelError
from app.core.firing import PlannedRecord
from app.core.time import Timetable
from app.core.vocabulary import ChangeKind, Role, RunCause, RunState, ScheduleState
from app.models import Job, Schedule, ScheduleCounters
from app.models.columns import new_id
from app.models.new_rows import new_row
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.projects import defaults_of
from app.services.rules import check_key
from app.services.schedules.accounting import next_columns, run_row, write_runs
from app.services.schedules.definition import (
    ScheduleFields,
    check_calendars,
    check_for_job,
    default_columns,
    definition_hash,
    given_calendar_ids,
    past_instants,
    read_fields,
)
from app.services.schedules.owning import Owners
from app.services.schedules.reaching import refuse_never_due
from app.services.schedules.timetables import (
    NO_CALENDARS,
    Calendars,
    known_calendars,
    timetable_of,
)
from app.services.secret_references import check_references, share_referenced
from app.services.writing import (
    Accepted,
    Subject,
    Written,
    claim_key,
    note_audit,
    note_change,
)
from app.store.calendars import share_calendars
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.jobs import read_jobs
from app.store.schedules import (
    SameDefinition,
    ScheduleRecord,
    find_same_definitions,
    hold_definitions,
    insert_schedules,
    read_schedule,
    read_taken_keys,
)
from app.store.versions import record_versions

MOST_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class ScheduleRequest:
    """A schedule to create."""

    job_id: UUID
    key: str
    fields: ScheduleFields
    paused: bool = False
    allow_duplicate: bool = False
    idempotency_key: str | None = None


class BulkRefused(Exception):
    """Some of many requests are wrong, so none was written; `errors` are by index."""

    def __init__(self, errors: Mapping[int, Sequence[TickwheelError]]) -> None:
        super().__init__("some of the schedules are not right")
        self.errors = errors


async def create_schedule(
    runtime: Runtime, principal: Principal, request: ScheduleRequest
) -> Accepted[ScheduleRecord]:
    """Create one schedule."""
    principal.require(Role.EDITOR)
    written, schedule_id = Written(), new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="scheduleCreate",
            key=request.idempotency_key,
            content=asdict(request),
            result_id=schedule_id,
        )
        if earlier is not None:
            record = await read_schedule(transaction, principal.project_id, earlier)
            assert record is not None, "a schedule outlives its idempotency key"
            return Accepted(record, replayed=True)
        creation = await _Creation.begin(runtime, principal, transaction)
        found = await creation.prepare(transaction, [request], [schedule_id])
        if found:
            complaints = Complaints()
            complaints.errors = list(found[0])
            complaints.raise_if_any()
        (schedule,) = await creation.write(transaction, written, "scheduleCreate")
    await runtime.announce(written.changes, ring=written.rings)
    counters = ScheduleCounters(schedule_id=schedule.id)
    return Accepted(ScheduleRecord(schedule, counters))


async def create_schedules(
    runtime: Runtime, principal: Principal, requests: Sequence[ScheduleRequest]
) -> list[Schedule]:
    """Create many schedules, or none: then `BulkRefused` says what is wrong with which."""
    principal.require(Role.EDITOR)
    if not requests or len(requests) > MOST_AT_ONCE:
        raise LimitExceeded(f"Give 1 to {MOST_AT_ONCE:,} schedules at once.", path=("inputs",))
    written = Written()
    async with runtime.database.transaction(principal.project_id) as transaction:
        creation = await _Creation.begin(runtime, principal, transaction)
        found = await creation.prepare(transaction, requests, [new_id() for _ in requests])
        if found:
            raise BulkRefused(found)
        schedules = await creation.write(transaction, written, "schedulesCreate")
    await runtime.announce(written.changes, ring=written.rings)
    return schedules


class _Creation:
    """The creation of some schedules inside one transaction: look up, check, then write."""

    def __init__(self, defaults: Defaults, principal: Principal, as_of: datetime) -> None:
        self._defaults = defaults
        self._principal = principal
        self._as_of = as_of
        self._schedules: list[Schedule] = []
        self._jobs: dict[UUID, Job] = {}
        self._calendars: Calendars = NO_CALENDARS
        self._secrets: frozenset[str] = frozenset()
        self._owners = Owners(principal, {}, as_of)
        # Occurrences in the past that are to run all the same, by schedule.
        self._past: list[tuple[Schedule, datetime]] = []

    @classmethod
    async def begin(
        cls, runtime: Runtime, principal: Principal, transaction: Transaction
    ) -> "_Creation":
        """Return a creation at the present instant of PostgreSQL's clock."""
        defaults = await defaults_of(runtime, transaction, principal.project_id)
        return cls(defaults, principal, await read_now(transaction))

    async def prepare(
        self, transaction: Transaction, requests: Sequence[ScheduleRequest], ids: Sequence[UUID]
    ) -> dict[int, list[TickwheelError]]:
        """Check every request and return what is wrong, by index."""
        project_id = self._principal.project_id
        self._jobs = await read_jobs(
            transaction, project_id, {request.job_id for request in requests}
        )
        shared = await share_calendars(
            transaction, project_id, given_calendar_ids(*(request.fields for request in requests))
        )
        self._calendars = known_calendars(shared.values())
        self._secrets = await share_referenced(
            transaction, project_id, (request.fields.parameters for request in requests)
        )
        self._owners = await Owners.load(
            transaction,
            self._principal,
            [request.fields for request in requests],
            as_of=self._as_of,
        )
        found: dict[int, list[TickwheelError]] = {}
        for index, (request, schedule_id) in enumerate(zip(requests, ids, strict=True)):
            complaints = Complaints()
            self._check(request, schedule_id, complaints)
            if complaints.errors:
                found[index] = complaints.errors
        if not found:
            found = await self._check_against_others(transaction, requests)
        return found

    def _check(self, request: ScheduleRequest, schedule_id: UUID, complaints: Complaints) -> None:
        with complaints.under():
            check_key(request.key)
        job = self._jobs.get(request.job_id)
        if job is None or job.archived_at is not None:
            complaints.add(
                NotFound(
                    "There is no such job in this project.",
                    id=str(request.job_id),
                    path=("jobId",),
                )
            )
        defaults = default_columns(self._defaults, request.key)
        below = Complaints()
        columns = read_fields(
            request.fields, below, base=defaults, defaults=defaults, as_of=self._as_of
        )
        check_calendars(columns, self._calendars, below)
        if job is not None:
            check_for_job(columns, job, below)
        check_references(columns["parameters"], self._secrets, below, "parameters")
        if not below.errors:
            with below.under():
                refuse_never_due(
                    columns, self._calendars, request.fields, key=request.key, after=self._as_of
                )
        with below.under():
            columns["owner"] = self._owners.choose(
                request.fields, created_by=self._principal.actor, so_far=self._principal.actor
            )
        for error in below.errors:
            complaints.add(error.under("fields"))
        if not complaints.errors:
            with complaints.under("fields"):
                self._schedules.append(self._schedule(request, schedule_id, columns))

    def _schedule(
        self, request: ScheduleRequest, schedule_id: UUID, columns: dict[str, Any]
    ) -> Schedule:
        actor = self._principal.actor
        whole = {
            **columns,
            "id": schedule_id,
            "project_id": self._principal.project_id,
            "job_id": request.job_id,
            "key": request.key,
            "created_at": self._as_of,
            "updated_at": self._as_of,
            "created_by": actor,
            "updated_by": actor,
            "definition_hash": definition_hash(request.job_id, columns),
            "runs_made": 0,
        }
        schedule = new_row(Schedule, {**whole, **self._standing(request, whole)})
        for index in past_instants(request.fields):
            self._note_past(schedule, index)
        return schedule

    def _standing(self, request: ScheduleRequest, whole: dict[str, Any]) -> dict[str, Any]:
        if not request.paused:
            return next_columns(whole, self._as_of, self._calendars)
        return {
            "state": ScheduleState.PAUSED,
            "state_reason": "It was created paused.",
            "paused_at": self._as_of,
            "paused_by": self._principal.actor,
            "cursor_at": self._as_of,
        }

    def _note_past(self, schedule: Schedule, index: int) -> None:
        alone = schedule.model_dump() | {"timings": [schedule.timings[index]]}
        instant = only_instant(timetable_of(alone, self._calendars), self._as_of)
        if instant is not None and schedule.state is not ScheduleState.PAUSED:
            self._past.append((schedule, instant))

    async def _check_against_others(
        self, transaction: Transaction, requests: Sequence[ScheduleRequest]
    ) -> dict[int, list[TickwheelError]]:
        """Return whose key is taken and which do what another schedule does already."""
        project_id = self._principal.project_id
        taken = await read_taken_keys(transaction, project_id, [row.key for row in self._schedules])
        hashes = [row.definition_hash for row in self._schedules]
        if not all(request.allow_duplicate for request in requests):
            await hold_definitions(transaction, project_id, hashes)
        same = await find_same_definitions(transaction, project_id, hashes)
        found: defaultdict[int, list[TickwheelError]] = defaultdict(list)
        for index, (request, schedule) in enumerate(zip(requests, self._schedules, strict=True)):
            if schedule.key in taken:
                found[index].append(taken_key(schedule.key))
            twin = same.get(schedule.definition_hash)
            if twin is not None and not request.allow_duplicate:
                found[index].append(duplicate_of(twin))
            taken.add(schedule.key)
            same[schedule.definition_hash] = SameDefinition(
                schedule.definition_hash, schedule.id, schedule.key
            )
        return dict(found)

    async def write(
        self, transaction: Transaction, written: Written, action: str
    ) -> list[Schedule]:
        """Write what was checked."""
        await insert_schedules(transaction, self._schedules)
        await record_versions(
            transaction,
            [row.id for row in self._schedules],
            ChangeKind.CREATED,
            by=self._principal.actor,
        )
        await note_audit(
            transaction,
            self._principal,
            action,
            Subject.SCHEDULE,
            [(row.id, f"Created schedule {row.key}.") for row in self._schedules],
        )
        await note_change(
            transaction,
            written,
            self._principal,
            Subject.SCHEDULE,
            ChangeKind.CREATED.value,
            {row.id: row.revision for row in self._schedules},
        )
        await write_past_runs(
            transaction,
            written,
            self._principal,
            self._past,
            self._jobs,
            calendars=self._calendars,
            as_of=self._as_of,
        )
        return self._schedules


def only_instant(timetable: Timetable, as_of: datetime) -> datetime | None:
    """Return the past instant of a timetable that has one instant; None if it lies ahead."""
    occurrence = timetable.previous_before(as_of)
    return None if occurrence is None else occurrence.nominal


async def write_past_runs(
    transaction: Transaction,
    written: Written,
    principal: Principal,
    past: Sequence[tuple[Schedule, datetime]],
    jobs: Mapping[UUID, Job],
    *,
    calendars: Calendars,
    as_of: datetime,
) -> None:
    """Queue a run, due now, for each instant that has passed and is to run all the same."""
    rows = []
    for schedule, instant in past:
        timetable = timetable_of(schedule.model_dump(), calendars)
        occurrence = timetable.previous_before(as_of)
        if occurrence is not None and occurrence.nominal == instant:
            record = PlannedRecord(occurrence, RunState.QUEUED, RunCause.SCHEDULE)
            rows.append(run_row(schedule, jobs[schedule.job_id], record, due_at=as_of))
    if rows:
        await write_runs(transaction, written, principal, rows)


def taken_key(key: str) -> AlreadyExists:
    """Return the failure of a key that is in use."""
    return AlreadyExists(f"There is already a schedule with the key {key!r}.", path=("key",))


def duplicate_of(twin: SameDefinition) -> AlreadyExists:
    """Return the failure of a definition that exists already."""
    return AlreadyExists(
        f"Schedule {twin.key!r} has the same job, timings, zone and parameters already: "
        "change one of them, or set allowDuplicate.",
        path=("fields",),
    )
