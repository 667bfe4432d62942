"""Which occurrences a backfill runs.

Those of the definition with which it was started: an edit meanwhile changes neither which they are
nor their parameters. What calendars exclude and what somebody skipped is not among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.backfilling import Stretch, next_stretch
from app.core.time import Timetable
from app.models import Schedule
from app.services.schedules.timetables import load_calendars, timetable_of
from app.store.backfills import read_done_occurrences
from app.store.database import ReadConnection
from app.store.overrides import read_overrides_between
from app.store.versions import columns_of, read_definition


@dataclass(frozen=True, slots=True)
class Definition:
    """A schedule as one of its versions has it."""

    schedule: Schedule
    columns: Mapping[str, Any]
    timetable: Timetable


async def load_definition(
    connection: ReadConnection, schedule: Schedule, version: int
) -> Definition:
    """Return a schedule as a version of it was; raise `Invalid` if that cannot be read."""
    columns = schedule.model_dump()
    if version != schedule.version:
        found = await read_definition(connection, schedule.id, version)
        columns |= {} if found is None else columns_of(found.snapshot)
    calendars = await load_calendars(connection, columns)
    return Definition(schedule, columns, timetable_of(columns, calendars))


async def read_stretch(
    connection: ReadConnection,
    definition: Definition,
    *,
    after: datetime,
    until: datetime,
    limit: int,
    only_missing: bool,
) -> Stretch:
    """Return the next occurrences in (after, until] that are to run, about `limit` of them."""
    schedule_id = definition.schedule.id
    stretch = next_stretch(
        definition.timetable,
        await read_overrides_between(connection, schedule_id, after=after, until=until),
        after=after,
        until=until,
        limit=limit,
    )
    if not only_missing:
        return stretch
    instants = [slot.nominal for slot in stretch.slots]
    return stretch.without(await read_done_occurrences(connection, schedule_id, instants))
