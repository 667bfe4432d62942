"""Keep what has been recorded from firing again because its instant has moved.

The instants at which a schedule would repeat what it has recorded are found when its rules change
(an edit, a calendar, the zone rules) and when it begins to fire again, and are kept with it in
`schedule.passed_over`. Whoever asks for its timetable then asks for one without them, so a tick
has nothing to look up. What counts as a repeat is `core/time/repeats.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from app.core.firing import PlannedRecord
from app.core.time import Timing, local_time, timing_from_json
from app.core.time.calendars import LONGEST_RUN
from app.core.time.repeats import (
    Record,
    Recorded,
    ahead,
    has_wall_clock_times,
    moved_locals,
    moves,
    repeats_among,
)
from app.core.vocabulary import CalendarMode, DstFoldPolicy
from app.models import Schedule
from app.services.schedules.timetables import Calendars, defined_timetable, timing_from_stored
from app.store.database import ReadConnection
from app.store.recomputing import RecordsWanted, read_records

# No zone has ever changed its offset by more than a day.
_FARTHEST_CHANGE = timedelta(hours=26)
_FARTHEST_MOVE = timedelta(days=LONGEST_RUN + 2)
_MOST_KEPT = 1_000
_log = structlog.get_logger(__name__)


class Repeats:
    """What some schedules have recorded that may come again."""

    def __init__(
        self, records: Mapping[UUID, Sequence[Record]], calendars: Calendars, as_of: datetime
    ) -> None:
        self._records = records
        self._calendars = calendars
        self._as_of = as_of

    def passed_over(
        self,
        schedule: Mapping[str, Any],
        after: datetime,
        *,
        missed: Iterable[PlannedRecord] = (),
        recorded_in: str | None = None,
    ) -> list[datetime]:
        """Return which instants a schedule passes over, given its columns.

        Those after `after` are found anew; those before stay, so that one can tell later. `missed`
        are records that are still to be written. `recorded_in` is the zone that it had, if that
        may be another one.
        """
        earlier = [instant for instant in schedule["passed_over"] if instant <= after]
        records = [*self._records.get(schedule["id"], ()), *map(_record_of, missed)]
        if not records and schedule["timing_before"] is None:
            return earlier
        recorded = Recorded(
            records,
            recorded_in or schedule["timezone"],
            is_same_zone=recorded_in in (None, schedule["timezone"]),
            turn=None if schedule["timing_before"] is None else schedule["effective_from"],
        )
        return [*earlier, *self._repeats(schedule, after, recorded)][-_MOST_KEPT:]

    def is_new_to(self, schedule: Schedule) -> bool:
        """Return whether it passes over other instants than it did, or cannot be planned."""
        columns = schedule.model_dump()
        try:
            after = min(schedule.cursor_at, self._as_of)
            return self.passed_over(columns, after) != schedule.passed_over
        except Exception:
            return True

    def _repeats(
        self, schedule: Mapping[str, Any], after: datetime, recorded: Recorded
    ) -> list[datetime]:
        timetable, zone = defined_timetable(schedule, self._calendars), schedule["timezone"]
        locals_ = [local for record in recorded.records for local in record.locals]
        through = max([local_time(after, zone)[0], *locals_]).date()
        candidates = list(ahead(timetable, zone, after, through))
        if recorded.turn is not None and recorded.turn > after:
            turned = local_time(recorded.turn, zone)[0].date()
            candidates += ahead(timetable, zone, recorded.turn, turned)
        found = repeats_among(
            candidates,
            recorded,
            timetable,
            _timings(schedule),
            DstFoldPolicy(schedule["dst_fold"]),
            schedule["key"],
        )
        return sorted(set(found))


async def read_repeats(
    connection: ReadConnection,
    schedules: Iterable[Mapping[str, Any]],
    calendars: Calendars,
    as_of: datetime,
    *,
    before: Mapping[str, Any] | None = None,
) -> Repeats:
    """Read what may come again of schedules, given by their columns.

    `before` are those that an edit replaces. What a tick has prepared must have been withdrawn.
    Most schedules cost nothing: those in UTC and those whose timings count elapsed time can only
    repeat what a calendar moves.
    """
    wanted: list[RecordsWanted] = []
    among: set[datetime] = set()
    for schedule in schedules:
        try:
            farthest = _farthest(schedule, before)
            if farthest is None:
                continue
            zone, since = schedule["timezone"], min(schedule["cursor_at"], as_of)
            local_now = local_time(since, zone)[0]
            if farthest == _FARTHEST_MOVE:
                timetable = defined_timetable(schedule, calendars)
                among |= moved_locals(ahead(timetable, zone, since, local_now.date()))
        except Exception:
            # Whoever plans it next will quarantine it.
            _log.exception("repeats.unreadable_schedule")
            continue
        wanted.append(RecordsWanted(schedule["id"], since - farthest, local_now.isoformat()))
    among_texts = {local.isoformat() for local in among}
    return Repeats(await read_records(connection, wanted, among=among_texts), calendars, as_of)


def _farthest(schedule: Mapping[str, Any], before: Mapping[str, Any] | None) -> timedelta | None:
    """Return how far from its repeat a record may lie; None where there is nothing to repeat."""
    definitions = [schedule, *([] if before is None else [before])]
    turning = [one["timing_before"] for one in definitions if one["timing_before"] is not None]
    definitions += map(timing_from_stored, turning)
    if schedule["passed_over"] or any(map(_moves, definitions)):
        return _FARTHEST_MOVE
    if schedule["timezone"] != "UTC" and has_wall_clock_times(_timings(schedule)):
        return _FARTHEST_CHANGE
    return None


def _moves(columns: Mapping[str, Any]) -> bool:
    return moves(columns["calendar_ids"], CalendarMode(columns["calendar_mode"]))


def _timings(schedule: Mapping[str, Any]) -> list[Timing]:
    return [timing_from_json(timing) for timing in schedule["timings"]]


def _record_of(planned: PlannedRecord) -> Record:
    occurrence = planned.occurrence
    return Record(occurrence.nominal_locals, occurrence.nominal, planned.range_end)
