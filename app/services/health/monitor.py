"""The health monitor: every few minutes somebody looks whether the schedules are well.

Any worker makes the round that is due, by renewing one row; there is no leader, and a round whose
worker dies is made up for by the next. A round looks only at schedules of which something may have
changed: those whose runs failed or took a while since the last round, those with open findings,
those that should fire and do not; and at one slice of all the others, for silence that makes no
noise. So it costs the same whether there are a thousand schedules or a million.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from uuid import UUID

import structlog

from app.core.clock import elapsed_seconds
from app.core.health import (
    JUDGED_RUNS,
    SILENCE,
    STALE_AFTER,
    STALE_PERIODS,
    EndedRun,
    InstanceFacts,
    Observation,
    judge_runs,
    judge_silence,
    observe_quarantine,
    observe_schedule,
)
from app.core.ids import Kind, public_id
from app.core.vocabulary import FindingChange, FindingCode, SchedulerState, ScheduleState
from app.models import ApiToken, HealthFinding, Schedule
from app.runtime import Runtime
from app.services.health.findings import FindingEvent, settle_findings
from app.services.schedules.owning import read_owners, why_powerless
from app.services.schedules.timetables import Calendars, load_calendars, timetable_of
from app.store.examining import (
    BegunRound,
    ExaminedSchedule,
    claim_round,
    end_round,
    find_schedules_to_examine,
    find_silent_schedules,
    read_examined,
    read_newest_ends,
)
from app.store.findings import read_open_findings
from app.store.health import read_instance_facts

_MOST = 5_000
_MOST_OVERDUE = 100
_SLICE = 5_000
_AT_ONCE = 200
_RECORDS = 2 * JUDGED_RUNS
_OVERDUE_AFTER = timedelta(minutes=1)
# Ends are written a little after they happened; a batch may have been held up.
_OVERLAP = timedelta(minutes=2)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Examined:
    """What one round did."""

    schedules: int
    events: Sequence[FindingEvent]
    # A bound was reached: what was left out is looked at when it next does something.
    truncated: bool


async def examine_when_due(runtime: Runtime, *, every: timedelta) -> Examined | None:
    """Make the round that is due; None: none is, or another worker makes it."""
    async with runtime.database.transaction() as transaction:
        begun = await claim_round(transaction, every_seconds=every.total_seconds())
    if begun is None:
        return None
    began_at = elapsed_seconds()
    examined = await _examine(runtime, begun)
    changes = [event.change for event in examined.events]
    _log.info(
        "health.examined",
        schedules=examined.schedules,
        opened=changes.count(FindingChange.OPENED),
        resolved=changes.count(FindingChange.RESOLVED),
        truncated=examined.truncated,
        seconds=round(elapsed_seconds() - began_at, 3),
    )
    return examined


async def _examine(runtime: Runtime, begun: BegunRound) -> Examined:
    async with runtime.database.reading(None) as connection:
        lease_seconds = runtime.intervals.lease_seconds
        facts = await read_instance_facts(connection, lease_seconds=lease_seconds)
        noticed = await find_schedules_to_examine(
            connection,
            since=begun.examined_until - _OVERLAP,
            most=_MOST,
            most_overdue=_MOST_OVERDUE,
        )
        silent, reached_id = await find_silent_schedules(connection, begun.reached_id, limit=_SLICE)
    ids = iter(sorted(noticed.union(silent)))
    events: list[FindingEvent] = []
    while some := list(islice(ids, _AT_ONCE)):
        events += await _examine_some(runtime, some, facts)
    async with runtime.database.transaction() as transaction:
        await end_round(transaction, examined_until=begun.as_of, reached_id=reached_id)
    return Examined(len(noticed.union(silent)), events, truncated=len(noticed) >= _MOST)


async def _examine_some(
    runtime: Runtime, ids: Sequence[UUID], facts: InstanceFacts
) -> list[FindingEvent]:
    async with runtime.database.reading(None) as connection:
        schedules = await read_examined(connection, ids)
        newest = await read_newest_ends(connection, ids, limit=_RECORDS)
        standing = await read_open_findings(connection, schedule_ids=ids)
        owners = await read_owners(connection, [each.schedule.owner for each in schedules])
        silent = [each.schedule.model_dump() for each in schedules if _is_silent(each, facts)]
        calendars = await load_calendars(connection, *silent)
    if not _can_be_overdue(facts):
        # They cannot be told from those that nobody fires: leave them as they are.
        standing = [each for each in standing if each.code is not FindingCode.OVERDUE]
    observed: list[Observation] = []
    for each in schedules:
        id_ = each.schedule.id
        found = _judge_safely(each, newest.get(id_, [])[:JUDGED_RUNS], standing, facts, calendars)
        if found is not None:
            found += _powerless(each, owners, facts)
        if found is None:
            standing = [finding for finding in standing if finding.schedule_id != id_]
        else:
            observed += found
    return await settle_findings(runtime, observed=observed, standing=standing)


def _judge_safely(
    examined: ExaminedSchedule,
    newest: Sequence[EndedRun],
    standing: Iterable[HealthFinding],
    facts: InstanceFacts,
    calendars: Calendars,
) -> list[Observation] | None:
    """Return what is wrong, or None: one that cannot be judged does not stop the others."""
    try:
        return _judge(examined, newest, standing, facts, calendars)
    except Exception as error:
        _log.warning(
            "health.not_judged",
            schedule_id=public_id(Kind.SCHEDULE, examined.schedule.id),
            error=repr(error)[:300],
        )
        return None


def _judge(
    examined: ExaminedSchedule,
    newest: Sequence[EndedRun],
    standing: Iterable[HealthFinding],
    facts: InstanceFacts,
    calendars: Calendars,
) -> list[Observation]:
    schedule = examined.schedule
    found = _not_firing(examined, facts)
    if schedule.state in (ScheduleState.ACTIVE, ScheduleState.PAUSED):
        found += judge_runs(
            schedule.id,
            newest,
            consecutive_failures=examined.counters.consecutive_failures,
            is_open=[each.code for each in standing if each.schedule_id == schedule.id],
            as_of=facts.as_of,
        )
    if _is_silent(examined, facts):
        since = _quiet_since(examined, facts)
        third = _third_occurrence(schedule, calendars, since)
        stale = judge_silence(schedule.id, since=since, third_period_at=third, as_of=facts.as_of)
        found += [] if stale is None else [stale]
    return found


def _not_firing(examined: ExaminedSchedule, facts: InstanceFacts) -> list[Observation]:
    """Return why a schedule does not fire that should."""
    schedule, as_of = examined.schedule, facts.as_of
    if schedule.state is ScheduleState.QUARANTINED:
        since = examined.changed_at
        return [observe_quarantine(schedule.id, schedule.last_error, since=since, as_of=as_of)]
    if schedule.state is ScheduleState.ACTIVE and schedule.next_run_at is None:
        code, since = FindingCode.NO_NEXT_RUN, examined.changed_at
        message = "It is active and has no next instant: an edit or a resume gives it one."
    elif _is_overdue(schedule, facts):
        assert schedule.next_run_at is not None
        code, since = FindingCode.OVERDUE, schedule.next_run_at
        message = "It is overdue by more than a minute, though the others fire."
    else:
        return []
    return [observe_schedule(code, schedule.id, since=since, as_of=as_of, message=message)]


def _powerless(
    examined: ExaminedSchedule, owners: Mapping[str, ApiToken], facts: InstanceFacts
) -> list[Observation]:
    """Return whether what a schedule fires is refused, because of whom it acts as."""
    schedule, as_of = examined.schedule, facts.as_of
    owner = None if schedule.owner is None else owners.get(schedule.owner["id"] or "")
    why = None if owner is None else why_powerless(owner, as_of)
    if owner is None or why is None or schedule.state is not ScheduleState.ACTIVE:
        return []
    since = owner.revoked_at or owner.expires_at or examined.changed_at
    message = f"Its runs are refused: the token {owner.name!r}, which it acts as, {why}."
    code = FindingCode.OWNER_POWERLESS
    return [observe_schedule(code, schedule.id, since=since, as_of=as_of, message=message)]


def _is_overdue(schedule: Schedule, facts: InstanceFacts) -> bool:
    due_at = schedule.next_run_at
    return _can_be_overdue(facts) and due_at is not None and facts.as_of - due_at > _OVERDUE_AFTER


def _can_be_overdue(facts: InstanceFacts) -> bool:
    """Return whether somebody fires, and has had the time to."""
    is_ticking = facts.last_tick_at is not None and facts.as_of - facts.last_tick_at < SILENCE
    began_at = max(facts.state_changed_at, facts.postgres_started_at)
    is_running = facts.state is SchedulerState.RUNNING
    return is_ticking and is_running and facts.as_of - began_at > SILENCE


def _is_silent(examined: ExaminedSchedule, facts: InstanceFacts) -> bool:
    is_due_to_run = examined.schedule.next_run_at is not None
    quiet_for = facts.as_of - _quiet_since(examined, facts)
    return is_due_to_run and facts.state is SchedulerState.RUNNING and quiet_for > STALE_AFTER


def _quiet_since(examined: ExaminedSchedule, facts: InstanceFacts) -> datetime:
    """Return since when a schedule might have run: an edit, a resume, a start begin anew."""
    instants = [examined.schedule.updated_at, facts.state_changed_at]
    if examined.counters.last_run_at is not None:
        instants.append(examined.counters.last_run_at)
    return max(instants)


def _third_occurrence(schedule: Schedule, calendars: Calendars, since: datetime) -> datetime | None:
    if all("once" in timing for timing in schedule.timings):
        return None
    timetable, at = timetable_of(schedule.model_dump(), calendars), since
    for _ in range(STALE_PERIODS):
        following = timetable.next_after(at)
        if following is None:
            return None
        at = following.nominal
    return at
