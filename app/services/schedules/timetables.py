"""The one place where the columns of a schedule become its timetable.

Create, edit, preview, forecast and the recomputation after a change of rules all come here, so
that what is previewed is what is saved. A schedule's key picks the slots of `H` and its jitter.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, TypeAlias
from uuid import UUID

from app.core.time import Calendar, Timetable, calendar_from_json, timing_from_json
from app.core.time.omitting import Omitting
from app.core.time.succession import Succession
from app.core.vocabulary import CalendarMode, DstFoldPolicy, DstGapPolicy
from app.models import Calendar as CalendarRow
from app.services.writing import plain
from app.store.calendars import read_calendars
from app.store.database import ReadConnection

Calendars: TypeAlias = Mapping[UUID, Calendar]
NO_CALENDARS: Calendars = {}

TIMING_COLUMNS = (
    "timings",
    "timezone",
    "dst_gap",
    "dst_fold",
    "start_at",
    "end_at",
    "jitter_seconds",
    "calendar_ids",
    "calendar_mode",
)
"""The columns that decide when a schedule fires."""


def timetable_of(schedule: Mapping[str, Any], calendars: Calendars) -> Timetable:
    """Return the timetable of a schedule's columns; equal definitions share what it computes.

    What the schedule passes over, because it has been recorded before, is not in it.
    """
    timetable = defined_timetable(schedule, calendars)
    passed_over = schedule.get("passed_over")
    return Omitting(timetable, passed_over) if passed_over else timetable


def defined_timetable(schedule: Mapping[str, Any], calendars: Calendars) -> Timetable:
    """Return what the definition says, whether or not it has been recorded before."""
    timetable = _timetable(schedule, schedule["key"], calendars)
    before = schedule.get("timing_before")
    if before is None:
        return timetable
    earlier = _timetable(timing_from_stored(before), schedule["key"], calendars)
    return Succession(earlier, schedule["effective_from"], timetable)


def _timetable(columns: Mapping[str, Any], key: str, calendars: Calendars) -> Timetable:
    return Timetable.of(
        [timing_from_json(timing) for timing in columns["timings"]],
        timezone=columns["timezone"],
        dst_gap=DstGapPolicy(columns["dst_gap"]),
        dst_fold=DstFoldPolicy(columns["dst_fold"]),
        start_at=columns["start_at"],
        end_at=columns["end_at"],
        calendars=[calendars[id_] for id_ in columns["calendar_ids"] if id_ in calendars],
        calendar_mode=CalendarMode(columns["calendar_mode"]),
        hash_key=key,
        jitter=timedelta(seconds=columns["jitter_seconds"]),
    )


def stored_timing(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that decide when a schedule fires as `timing_before` holds them."""
    return {name: plain(columns[name]) for name in TIMING_COLUMNS}


def timing_from_stored(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Read the columns that `stored_timing` wrote; reading them twice changes nothing."""
    columns = dict(stored)
    for name in ("start_at", "end_at"):
        if isinstance(columns[name], str):
            columns[name] = datetime.fromisoformat(columns[name])
    columns["calendar_ids"] = [UUID(str(id_)) for id_ in columns["calendar_ids"]]
    return columns


def calendar_ids_of(*schedules: Mapping[str, Any]) -> set[UUID]:
    """Return every calendar that schedules follow, now or until an edit takes effect."""
    wanted: set[UUID] = set()
    for schedule in schedules:
        wanted.update(schedule["calendar_ids"])
        before = schedule.get("timing_before")
        if before is not None:
            wanted.update(timing_from_stored(before)["calendar_ids"])
    return wanted


async def load_calendars(
    connection: ReadConnection, *schedules: Mapping[str, Any]
) -> dict[UUID, Calendar]:
    """Return the calendars that schedules follow; without a query where there is none."""
    return known_calendars((await read_calendars(connection, calendar_ids_of(*schedules))).values())


def known_calendars(rows: Iterable[CalendarRow]) -> dict[UUID, Calendar]:
    """Return stored calendars as the core knows them, by id."""
    return {row.id: calendar_of(row) for row in rows}


def calendar_of(row: CalendarRow) -> Calendar:
    """Return a stored calendar as the core knows it; each version of one is read once."""
    return _calendar(_Stored(row))


class _Stored:
    """A calendar's row, equal to another of the same id and version.

    The instant of the change tells a version from one that was rolled back.
    """

    __slots__ = ("identity", "row")

    def __init__(self, row: CalendarRow) -> None:
        self.row = row
        self.identity = (row.id, row.version, row.updated_at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stored) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)


@lru_cache(maxsize=1024)
def _calendar(stored: _Stored) -> Calendar:
    row = stored.row
    return calendar_from_json(row.key, row.name, row.dates, row.rules)
