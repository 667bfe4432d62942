"""Show what saving would do, before it is saved. Nothing is written here.

The fields are read, checked and turned into a timetable by the very functions that create and
change schedules, so that what is previewed is what is saved.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from uuid import UUID

from app.core.defaults import Defaults
from app.core.errors import Invalid, NotFound, TickwheelError
from app.core.firing import plan_due_overrides
from app.core.overrides import overridden
from app.core.spacing import mark_too_soon
from app.core.time import (
    Lint,
    LintContext,
    Occurrence,
    Timetable,
    lint_timing,
    timing_from_json,
)
from app.core.vocabulary import ResumeChoice, RunReason, RunState, ScheduleState
from app.models import Job, Schedule
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.conflicts import Conflict, Stretch, conflicts_of_course
from app.services.outlook import LONGEST_LOOK, Budget, Course, computed
from app.services.projects import defaults_of
from app.services.rules import check_key
from app.services.schedules.accounting import plan_resumption
from app.services.schedules.definition import (
    ScheduleFields,
    check_calendars,
    check_for_job,
    default_columns,
    definition_hash,
    given_calendar_ids,
    read_fields,
)
from app.services.schedules.editing import (
    check_effective_from,
    choose_owner,
    is_retimed,
    refuse_archived,
)
from app.services.schedules.owning import Owners
from app.services.schedules.reaching import refuse_ending, refuse_never_due
from app.services.schedules.repeats import read_repeats
from app.services.schedules.timetables import (
    Calendars,
    known_calendars,
    load_calendars,
    stored_timing,
    timetable_of,
)
from app.services.schedules.upcoming import spacing_of, starts_after
from app.store.calendars import read_calendars
from app.store.database import ReadConnection
from app.store.instants import read_now
from app.store.jobs import read_job
from app.store.outlook import Definition
from app.store.overrides import read_standing_overrides
from app.store.schedules import read_schedule

MOST_PREVIEWED = 500
_MOST_COMPARED = 5_000
_MOST_COUNTED = 10_000
_WARNED_OF = timedelta(days=7)
_FEW = 50


@dataclass(frozen=True, slots=True)
class PreviewQuestion:
    """A schedule that might be created."""

    fields: ScheduleFields
    job_id: UUID | None = None
    key: str | None = None
    after: datetime | None = None
    until: datetime | None = None
    count: int = 20


@dataclass(frozen=True, slots=True)
class Preview:
    """What a schedule would do, or what is wrong with it."""

    occurrences: Sequence[Occurrence] = ()
    truncated: bool = False
    conflicts: Sequence[Conflict] = ()
    lints: Sequence[Lint] = ()
    errors: Sequence[TickwheelError] = ()


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What an edit would change: the occurrences that come and go, and how many stay."""

    added: Sequence[Occurrence] = ()
    removed: Sequence[Occurrence] = ()
    unchanged: int = 0
    next_before: datetime | None = None
    next_after: datetime | None = None
    truncated: bool = False
    lints: Sequence[Lint] = ()
    errors: Sequence[TickwheelError] = ()


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """What a resume would do with the occurrences of the pause."""

    missed: int
    exact: bool
    first_at: datetime | None
    last_at: datetime | None
    would_run: Sequence[Occurrence] = field(default_factory=tuple)


async def preview_schedule(
    runtime: Runtime, connection: ReadConnection, principal: Principal, question: PreviewQuestion
) -> Preview:
    """Return what a schedule would do if the caller created it now."""
    project_id = principal.project_id
    if not 0 <= question.count <= MOST_PREVIEWED:
        raise Invalid(f"count lies between 0 and {MOST_PREVIEWED}.", path=("count",))
    as_of = await read_now(connection)
    complaints, key = Complaints(), question.key or ""
    if key:
        with complaints.under():
            check_key(key)
    calendars = await _given_calendars(connection, project_id, question.fields)
    job = await _job(connection, project_id, question.job_id, complaints)
    defaults = default_columns(
        await defaults_of(runtime, connection, project_id), key or "schedule"
    )
    below = Complaints()
    columns = read_fields(question.fields, below, base=defaults, defaults=defaults, as_of=as_of)
    _check(columns, calendars, job, below)
    columns["key"] = key
    owners = await Owners.load(connection, principal, [question.fields], as_of=as_of)
    with below.under():
        owners.choose(question.fields, created_by=principal.actor, so_far=principal.actor)
    if not below.errors:
        with below.under():
            refuse_never_due(columns, calendars, question.fields, key=key, after=as_of)
    for error in below.errors:
        complaints.add(error.under("fields"))
    if complaints.errors:
        return Preview(errors=complaints.errors)
    timetable = timetable_of(columns, calendars)
    after = question.after or as_of
    found, truncated = await computed(lambda: _listed(timetable, after, question, columns))
    conflicts: list[Conflict] = []
    if job is not None:
        course = Course(timetable, Definition({**columns, "runs_made": 0}, 1, ()))
        conflicts = await conflicts_of_course(
            connection,
            course,
            Stretch.of(as_of, _WARNED_OF),
            project_id,
            schedule_id=None,
            job_id=job.id,
            definition_hash=definition_hash(job.id, columns),
        )
    return Preview(found, truncated, conflicts, lints_of(columns, as_of))


async def preview_change(
    runtime: Runtime,
    connection: ReadConnection,
    principal: Principal,
    schedule_id: UUID,
    fields: ScheduleFields,
    *,
    effective_from: datetime | None,
    horizon: timedelta,
) -> ChangePreview:
    """Return which occurrences an edit by the caller would add and remove within the horizon."""
    project_id = principal.project_id
    if not timedelta(0) < horizon <= LONGEST_LOOK:
        raise Invalid("horizon lies between 0 and 366 days.", path=("horizon",))
    as_of = await read_now(connection)
    record = await read_schedule(connection, project_id, schedule_id)
    if record is None:
        return ChangePreview(errors=[_unknown_schedule(schedule_id)])
    before = record.schedule
    calendars = {
        **await load_calendars(connection, before.model_dump()),
        **await _given_calendars(connection, project_id, fields),
    }
    job = await read_job(connection, project_id, before.job_id)
    defaults = await defaults_of(runtime, connection, project_id)
    try:
        refuse_archived(before)
        columns = _changed(defaults, before, job, calendars, fields, as_of)
        await choose_owner(connection, principal, before, fields, as_of)
        ending = Complaints()
        with ending.under("fields"):
            refuse_ending(before, columns, calendars, fields, after=effective_from or as_of)
        ending.raise_if_any()
        if effective_from is not None:
            check_effective_from(before, columns, effective_from, as_of)
    except TickwheelError as error:
        return ChangePreview(errors=[error])
    old = timetable_of(before.model_dump(), calendars)
    whole = _with_turn(before, columns, effective_from, as_of)
    if is_retimed(before, columns):
        edited = before.model_dump()
        repeats = await read_repeats(connection, [whole], calendars, as_of, before=edited)
        whole["passed_over"] = repeats.passed_over(whole, as_of, recorded_in=before.timezone)
    new = timetable_of(whole, calendars)
    return await computed(lambda: _compared(before, columns, (old, new), as_of, as_of + horizon))


async def plan_resume(
    connection: ReadConnection, project_id: UUID, schedule_id: UUID, choice: ResumeChoice
) -> ResumePlan:
    """Return what resuming a schedule now would do with what it missed."""
    record = await read_schedule(connection, project_id, schedule_id)
    if record is None:
        raise _unknown_schedule(schedule_id).under("scheduleId")
    schedule = record.schedule
    as_of = await read_now(connection)
    if schedule.state not in (ScheduleState.PAUSED, ScheduleState.QUARANTINED):
        return ResumePlan(0, exact=True, first_at=None, last_at=None)
    calendars = await load_calendars(connection, schedule.model_dump())
    overrides = await read_standing_overrides(connection, schedule_id)
    timetable = timetable_of(schedule.model_dump(), calendars)
    planned = plan_resumption(schedule, as_of, choice, RunReason.PAUSED, calendars, overrides)
    # What was moved or added by hand is missed, too; what somebody skips is not.
    by_hand = [
        record.occurrence.nominal
        for record in plan_due_overrides(timetable, overrides, as_of, None).records
        if record.state is RunState.QUEUED
    ]
    regular = overridden(timetable, overrides)
    count, exact = regular.count_between(schedule.cursor_at, as_of, _MOST_COUNTED)
    ends = [regular.next_after(schedule.cursor_at), regular.previous_before(as_of)] if count else []
    instants = [*by_hand, *(each.nominal for each in ends if each is not None)]
    return ResumePlan(
        count + len(by_hand),
        exact,
        first_at=min(instants, default=None),
        last_at=max(instants, default=None),
        would_run=[each.occurrence for each in planned if each.state is RunState.QUEUED],
    )


def lints_of(columns: Mapping[str, Any], as_of: datetime) -> list[Lint]:
    """Return the warnings about every timing of a definition, each once."""
    context = LintContext(
        columns["timezone"],
        as_of,
        columns["dst_gap"],
        columns["dst_fold"],
        columns.get("key", ""),
    )
    found = (
        lint
        for timing in columns["timings"]
        for lint in lint_timing(timing_from_json(timing), context)
    )
    return list(dict.fromkeys(found))


def _unknown_schedule(schedule_id: UUID) -> NotFound:
    return NotFound("There is no such schedule in this project.", id=str(schedule_id))


async def _given_calendars(
    connection: ReadConnection, project_id: UUID, fields: ScheduleFields
) -> Calendars:
    rows = await read_calendars(connection, given_calendar_ids(fields))
    return known_calendars(row for row in rows.values() if row.project_id == project_id)


async def _job(
    connection: ReadConnection, project_id: UUID, job_id: UUID | None, complaints: Complaints
) -> Job | None:
    if job_id is None:
        return None
    job = await read_job(connection, project_id, job_id)
    if job is None or job.archived_at is not None:
        complaints.add(
            NotFound("There is no such job in this project.", id=str(job_id), path=("jobId",))
        )
    return job


def _check(
    columns: Mapping[str, Any], calendars: Calendars, job: Job | None, complaints: Complaints
) -> None:
    check_calendars(columns, calendars, complaints)
    if job is not None:
        check_for_job(columns, job, complaints)


def _changed(
    defaults: Defaults,
    before: Schedule,
    job: Job | None,
    calendars: Calendars,
    fields: ScheduleFields,
    as_of: datetime,
) -> dict[str, Any]:
    """Return the definition as it would be, or raise what is wrong with it."""
    complaints = Complaints()
    columns = read_fields(
        fields,
        complaints,
        base=before.model_dump(),
        defaults=default_columns(defaults, before.key),
        as_of=as_of,
    )
    _check(columns, calendars, job, complaints)
    for error in complaints.errors:
        error.under("fields")
    complaints.raise_if_any()
    return columns


def _with_turn(
    before: Schedule, columns: dict[str, Any], effective_from: datetime | None, as_of: datetime
) -> dict[str, Any]:
    """Return the whole schedule as an edit would leave it."""
    whole = {**before.model_dump(), **columns, "timing_before": None}
    if effective_from is not None:
        is_pending = before.effective_from is not None and before.effective_from > as_of
        whole["effective_from"] = effective_from
        whole["timing_before"] = (
            before.timing_before if is_pending else stored_timing(before.model_dump())
        )
    return whole


def _listed(
    timetable: Timetable, after: datetime, question: PreviewQuestion, columns: Mapping[str, Any]
) -> tuple[list[Occurrence], bool]:
    """Return the first occurrences, also those that will not run; True: there are more."""
    budget, found, runs = Budget(), list[Occurrence](), 0
    every = _from(timetable, after, question.until)
    for occurrence in mark_too_soon(every, spacing_of(columns)):
        if len(found) >= question.count or budget.is_spent:
            return found, True
        found.append(occurrence)
        runs += occurrence.will_run
        if runs == columns["max_runs"]:
            break
    return found, False


def _from(timetable: Timetable, after: datetime, until: datetime | None) -> Iterator[Occurrence]:
    occurrence = timetable.next_after(after, include_skipped=True)
    while occurrence is not None and (until is None or occurrence.nominal <= until):
        yield occurrence
        occurrence = timetable.next_after(occurrence.nominal, include_skipped=True)


def _compared(
    before: Schedule,
    columns: Mapping[str, Any],
    timetables: tuple[Timetable, Timetable],
    as_of: datetime,
    until: datetime,
) -> ChangePreview:
    """Compare two timetables as far as both are listed."""
    whole = before.model_dump()
    old, old_whole = _running(timetables[0], whole, as_of, until)
    new, new_whole = _running(timetables[1], {**whole, **columns}, as_of, until)
    ends = [found[-1].nominal for found, whole in ((old, old_whole), (new, new_whole)) if not whole]
    reached = min(ends, default=until)
    old_by = {each.at: each for each in old if each.nominal <= reached}
    new_by = {each.at: each for each in new if each.nominal <= reached}
    added = [each for at, each in new_by.items() if at not in old_by]
    removed = [each for at, each in old_by.items() if at not in new_by]
    is_paused = before.state is ScheduleState.PAUSED
    stands_still = is_paused or before.state is ScheduleState.QUARANTINED
    return ChangePreview(
        added=added[:MOST_PREVIEWED],
        removed=removed[:MOST_PREVIEWED],
        unchanged=len(old_by) - len(removed),
        next_before=None if stands_still else _next(timetables[0], old, as_of, until),
        next_after=None if is_paused else _next(timetables[1], new, as_of, until),
        truncated=bool(ends) or max(len(added), len(removed)) > MOST_PREVIEWED,
        lints=lints_of({**columns, "key": before.key}, as_of),
    )


def _next(
    timetable: Timetable, listed: Sequence[Occurrence], as_of: datetime, until: datetime
) -> datetime | None:
    """Return the next instant: the first one listed, or one behind the horizon."""
    following = listed[0] if listed else timetable.next_after(max(as_of, until))
    return None if following is None else following.nominal


def _running(
    timetable: Timetable, columns: Mapping[str, Any], after: datetime, until: datetime
) -> tuple[list[Occurrence], bool]:
    """Return the occurrences that run in (after, until]; False: there are more."""
    most = columns["max_runs"]
    limit = (
        _MOST_COMPARED if most is None else min(_MOST_COMPARED, max(0, most - columns["runs_made"]))
    )
    if columns["spacing_seconds"] is None:
        found = timetable.between(after, until, limit + 1)
    else:
        starts = starts_after(timetable, columns, after)
        within = takewhile(lambda occurrence: occurrence.nominal <= until, starts)
        found = list(islice(within, limit + 1))
    is_last_run = most is not None and limit < _MOST_COMPARED
    return found[:limit], is_last_run or len(found) <= limit
