"""Follow the time zone rules when a new version of them arrives.

The database remembers which version its next instants follow. A worker that starts with a newer
one recomputes them, a batch a transaction: several workers take turns, and one that dies leaves
off where the next goes on. A worker with an older version changes nothing. What moved is in the
audit, in the events and in the log.

A wall-clock time that has been recorded does not fire again because its instant has moved: its
instant is passed over (`schedules/repeats.py`), which is what `run.scheduled_local` is kept for.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from app.core.time import tzdata_version
from app.models import Schedule
from app.runtime import Runtime
from app.services.pausing import SYSTEM
from app.services.schedules.recomputing import BATCH, Moved, Recomputed, recompute
from app.services.schedules.repeats import read_repeats
from app.services.schedules.timetables import Calendars, load_calendars, timetable_of
from app.services.writing import Subject
from app.store.audit import audit_entry, record_audit
from app.store.database import Transaction
from app.store.instants import read_now
from app.store.recomputing import lock_firing_schedules
from app.store.zone_rules import lock_zone_rules, read_zone_rules, update_zone_rules

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ZoneRulesReport:
    """What the arrival of a version did."""

    version: str
    previous: str | None
    moved: int = 0


async def apply_zone_rules(runtime: Runtime, *, installed: str | None = None) -> ZoneRulesReport:
    """Bring the stored next instants to the installed version of the zone rules.

    `installed` stands in for the version of the tzdata package in tests.
    """
    version = installed or tzdata_version()
    async with runtime.database.reading(None) as connection:
        in_force = await read_zone_rules(connection)
    previous = in_force.version
    if previous is not None and version < previous:
        _log.warning("zones.older_rules", installed=version, in_force=previous)
        return ZoneRulesReport(version, previous)
    if version == previous and in_force.is_complete:
        return ZoneRulesReport(version, previous)
    moved = await _follow(runtime, version)
    _log.info("zones.applied", version=version, previous=previous, moved=moved)
    return ZoneRulesReport(version, previous, moved)


async def _follow(runtime: Runtime, version: str) -> int:
    """Recompute batch by batch until none is left or a still newer version takes over."""
    while True:
        async with runtime.database.transaction() as transaction:
            in_force = await lock_zone_rules(transaction)
            if in_force.version is not None and in_force.version > version:
                return 0
            if in_force.version == version and in_force.is_complete:
                return in_force.moved_count
            is_new = in_force.version != version
            reached = None if is_new else in_force.reached_id
            moved_before = 0 if is_new else in_force.moved_count
            batch = await lock_firing_schedules(transaction, after=reached, limit=BATCH)
            done = await _recompute(transaction, batch, version)
            await update_zone_rules(
                transaction,
                version=version,
                reached_id=batch[-1].id if batch else None,
                is_complete=not batch,
                moved_count=moved_before + len(done.moved),
            )
        await runtime.announce(done.changes)


async def _recompute(
    transaction: Transaction, batch: Sequence[Schedule], version: str
) -> Recomputed:
    calendars = await load_calendars(transaction, *(each.model_dump() for each in batch))
    as_of = await read_now(transaction)
    repeats = await read_repeats(
        transaction, (each.model_dump() for each in batch), calendars, as_of
    )
    moving = [each for each in batch if _moves(each, calendars) or repeats.is_new_to(each)]
    if not moving:
        return Recomputed()
    done = await recompute(transaction, moving, before=None, after=calendars, as_of=as_of)
    await _note(transaction, done.moved, version)
    return done


def _moves(schedule: Schedule, calendars: Calendars) -> bool:
    """Return whether the next instant is another one; what cannot be planned counts as moved."""
    try:
        timetable = timetable_of(schedule.model_dump(), calendars)
        following = timetable.next_after(schedule.cursor_at, include_excluded=True)
    except Exception:
        return True
    return following is None or following.nominal != schedule.next_run_at


async def _note(transaction: Transaction, moved: Sequence[Moved], version: str) -> None:
    await record_audit(
        transaction,
        [
            audit_entry(
                project_id=each.schedule.project_id,
                actor=SYSTEM,
                action="schedule.zoneRules",
                subject_kind=Subject.SCHEDULE.value,
                subject_id=each.schedule.id,
                summary=f"tzdata {version} moved the next instant of {each.schedule.key}.",
                changes=[
                    {
                        "path": "nextRunAt",
                        "before": None if each.before is None else each.before.isoformat(),
                        "after": None if each.after is None else each.after.isoformat(),
                    }
                ],
            )
            for each in moved
        ],
    )
