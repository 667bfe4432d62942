"""Start a backfill, or only say what it would run."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core.backfilling import overlap_of
from app.core.errors import Invalid, LimitExceeded, NotFound, StateConflict
from app.core.time import Occurrence
from app.core.vocabulary import OverlapPolicy, Role, ScheduleState
from app.models import Backfill, Schedule
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.backfills.occurrences import Definition, load_definition, read_stretch
from app.services.backfills.producing import advance_backfill
from app.services.complaints import Complaints
from app.services.schedules.editing import hold, refuse_archived
from app.services.writing import Accepted, Subject, claim_key, note_audit
from app.store.backfills import (
    BackfillRecord,
    count_unfinished_backfills,
    read_backfills,
)
from app.store.database import ReadConnection, Transaction
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.projects import read_project
from app.store.schedules import read_schedule

MOST_SHOWN = 500
"""How many occurrences of a plan are listed."""

MOST_COUNTED = 10_000
"""Up to how many are counted before the answer; workers count on."""

MOST_OCCURRENCES = 10_000_000
MOST_UNFINISHED = 10
FASTEST_PER_MINUTE = 60_000

_AT_ONCE = 1_000
_TICK = timedelta(microseconds=1)
# Clocks differ: an instant that is just ahead is now.
_JUST_AHEAD = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """What to run: the occurrences from `from_at` to `until_at`, both inclusive."""

    schedule_id: UUID
    from_at: datetime
    until_at: datetime
    only_missing: bool = True
    overlap: OverlapPolicy | None = None
    rate_per_minute: int | None = None
    idempotency_key: str | None = None

    def content(self) -> dict[str, Any]:
        """Return what makes it the same request as another."""
        return {
            "id": self.schedule_id,
            "from": self.from_at,
            "until": self.until_at,
            "onlyMissing": self.only_missing,
            "overlap": self.overlap,
            "ratePerMinute": self.rate_per_minute,
        }


@dataclass(frozen=True, slots=True)
class BackfillPlan:
    """What a backfill runs: the first of them, how many, and whether that is all of them."""

    planned: tuple[Occurrence, ...]
    count: int
    is_exact: bool
    # Up to where they are counted, and the end of the range.
    counted_at: datetime
    until_at: datetime


@dataclass(frozen=True, slots=True)
class Started:
    """A backfill and what it is going to run; no plan for one that was started before."""

    record: BackfillRecord
    plan: BackfillPlan | None = None


async def plan_backfill(
    runtime: Runtime, principal: Principal, request: BackfillRequest
) -> BackfillPlan:
    """Say what a backfill would run, and write nothing."""
    principal.require(Role.OPERATOR)
    _check(request)
    async with runtime.database.reading(principal.project_id) as connection:
        _, plan = await _prepare(connection, principal, request)
    return plan


async def start_backfill(
    runtime: Runtime, principal: Principal, request: BackfillRequest
) -> Accepted[Started]:
    """Accept a backfill and make its first runs; workers make the others."""
    principal.require(Role.OPERATOR)
    _check(request)
    backfill_id = new_id()
    async with runtime.database.transaction(principal.project_id) as transaction:
        earlier = await claim_key(
            transaction,
            principal,
            operation="backfillStart",
            key=request.idempotency_key,
            content=request.content(),
            result_id=backfill_id,
        )
        if earlier is not None:
            return Accepted(Started(await _earlier(transaction, principal, earlier)), replayed=True)
        schedule, plan = await _prepare(transaction, principal, request)
        # Held only now: counting takes a while, and the tick is not to wait for it.
        held = await hold(transaction, principal, schedule.id, None, argument="scheduleId")
        refuse_archived(held, argument="scheduleId")
        await _check_number(transaction, schedule)
        as_of = await read_now(transaction)
        transaction.add(_row(backfill_id, principal, schedule, request, plan, as_of))
        await transaction.flush()
        size = f"{plan.count:,} runs" if plan.is_exact else f"at least {plan.count:,} runs"
        summary = (
            f"Started a backfill of {schedule.key} from {request.from_at.isoformat()} until "
            f"{plan.until_at.isoformat()}: {size}."
        )
        await note_audit(
            transaction, principal, "backfillStart", Subject.BACKFILL, [(backfill_id, summary)]
        )
    # Should this process die here, a worker carries it on a moment later.
    await advance_backfill(runtime, backfill_id)
    async with runtime.database.reading(principal.project_id) as connection:
        records = await read_backfills(connection, principal.project_id, [backfill_id])
    return Accepted(Started(records[backfill_id], plan))


async def _prepare(
    connection: ReadConnection, principal: Principal, request: BackfillRequest
) -> tuple[Schedule, BackfillPlan]:
    """Return the schedule and what is to run."""
    found = await read_schedule(connection, principal.project_id, request.schedule_id)
    if found is None:
        raise NotFound(
            "There is no such schedule in this project.",
            id=str(request.schedule_id),
            path=("scheduleId",),
        )
    schedule = found.schedule
    until_at = await _check_against(connection, schedule, request)
    definition = await load_definition(connection, schedule, schedule.version)
    return schedule, await _plan(connection, definition, request, until_at)


def _row(
    backfill_id: UUID,
    principal: Principal,
    schedule: Schedule,
    request: BackfillRequest,
    plan: BackfillPlan,
    as_of: datetime,
) -> Backfill:
    before = request.from_at - _TICK
    return Backfill(
        id=backfill_id,
        project_id=principal.project_id,
        schedule_id=schedule.id,
        schedule_version=schedule.version,
        started_by=principal.actor,
        created_at=as_of,
        from_at=request.from_at,
        until_at=plan.until_at,
        only_missing=request.only_missing,
        overlap=request.overlap or overlap_of(schedule.overlap),
        rate_per_minute=request.rate_per_minute,
        counted_at=plan.counted_at,
        cursor_at=before,
        settled_at=before,
        total=plan.count,
        next_due_at=as_of,
        step_at=as_of,
    )


def _check(request: BackfillRequest) -> None:
    """Refuse what no schedule could mend."""
    complaints = Complaints()
    if request.until_at < request.from_at:
        complaints.add(Invalid("until must not lie before from.", path=("until",)))
    rate = request.rate_per_minute
    if rate is not None and not 1 <= rate <= FASTEST_PER_MINUTE:
        complaints.add(
            Invalid(
                f"ratePerMinute lies between 1 and {FASTEST_PER_MINUTE:,}; without it, runs are "
                "queued as fast as they end.",
                path=("ratePerMinute",),
            )
        )
    if request.overlap is OverlapPolicy.CANCEL_RUNNING:
        complaints.add(
            Invalid(
                "A backfill must not cancel what is running: let its runs wait (QUEUE_ALL), run "
                "together (ALLOW) or give way (SKIP, QUEUE_ONE).",
                path=("overlap",),
            )
        )
    complaints.raise_if_any()


async def _check_against(
    connection: ReadConnection, schedule: Schedule, request: BackfillRequest
) -> datetime:
    """Refuse what this schedule cannot do now; return the end of the range."""
    refuse_archived(schedule, argument="scheduleId")
    job = await read_job(connection, schedule.project_id, schedule.job_id)
    assert job is not None, "a job outlives its schedules"
    if schedule.state is ScheduleState.QUARANTINED:
        raise StateConflict(
            "The schedule is quarantined, because it could not be planned: mend it by an edit.",
            current=schedule.state.value,
            allowed=[
                state.value
                for state in ScheduleState
                if state not in (ScheduleState.QUARANTINED, ScheduleState.ARCHIVED)
            ],
            path=("scheduleId",),
        )
    as_of = await read_now(connection)
    if request.until_at > as_of + _JUST_AHEAD:
        raise Invalid(
            "until lies in the future: a backfill runs what is past, and what is to come fires by "
            "itself.",
            path=("until",),
        )
    if request.only_missing:
        await _check_horizon(connection, schedule, request, as_of)
    return max(request.from_at, min(request.until_at, as_of))


async def _check_horizon(
    connection: ReadConnection, schedule: Schedule, request: BackfillRequest, as_of: datetime
) -> None:
    project = await read_project(connection, schedule.project_id)
    assert project is not None, "a schedule has its project"
    kept_since = as_of - timedelta(seconds=project.retention_seconds)
    if request.from_at < kept_since:
        raise Invalid(
            "Runs that ended before "
            f"{kept_since.isoformat(timespec='seconds')} are removed by retention, so what is "
            "missing before that cannot be known.",
            path=("from",),
            hint="Begin later, or set onlyMissing to false to run every occurrence.",
        )


async def _check_number(connection: ReadConnection, schedule: Schedule) -> None:
    if await count_unfinished_backfills(connection, schedule.id) >= MOST_UNFINISHED:
        raise LimitExceeded(
            f"A schedule has at most {MOST_UNFINISHED} backfills that are not over: wait for them, "
            "or cancel some.",
            path=("scheduleId",),
        )


async def _plan(
    connection: ReadConnection,
    definition: Definition,
    request: BackfillRequest,
    until_at: datetime,
) -> BackfillPlan:
    """Count what is to run, up to a bound, and refuse what would be far too much."""
    shown: list[Occurrence] = []
    count, looked_at, after = 0, 0, request.from_at - _TICK
    while after < until_at and looked_at < MOST_COUNTED:
        stretch = await read_stretch(
            connection,
            definition,
            after=after,
            until=until_at,
            limit=_AT_ONCE,
            only_missing=request.only_missing,
        )
        shown += [slot.occurrence for slot in stretch.slots[: MOST_SHOWN - len(shown)]]
        count += len(stretch.slots)
        looked_at += _AT_ONCE
        after = stretch.reached_at
        # Others want to be answered meanwhile.
        await asyncio.sleep(0)
    if after < until_at:
        _check_size(looked_at, (after - request.from_at) / (until_at - request.from_at))
    return BackfillPlan(tuple(shown), count, after >= until_at, after, until_at)


def _check_size(looked_at: int, part: float) -> None:
    """Refuse a range of whose beginning one knows how many occurrences it has."""
    estimate = looked_at / part if part else MOST_OCCURRENCES + 1
    if estimate > MOST_OCCURRENCES:
        raise LimitExceeded(
            f"The range holds about {estimate:,.0f} occurrences; a backfill runs at most "
            f"{MOST_OCCURRENCES:,}.",
            path=("until",),
        )


async def _earlier(
    transaction: Transaction, principal: Principal, backfill_id: UUID
) -> BackfillRecord:
    records = await read_backfills(transaction, principal.project_id, [backfill_id])
    if backfill_id not in records:
        raise NotFound(
            "The backfill of that idempotency key has been removed.", id=str(backfill_id)
        )
    return records[backfill_id]
