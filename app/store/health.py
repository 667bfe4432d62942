"""What the watchdogs and the health monitor look at."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy import text

from app.core.health import InstanceFacts
from app.core.vocabulary import SchedulerState
from app.store.database import ReadConnection

_COUNT_UP_TO = 10_000


async def read_instance_facts(connection: ReadConnection, *, lease_seconds: float) -> InstanceFacts:
    """Return the facts of `read_instance_facts.sql`."""
    result = await connection.run_file(
        "read_instance_facts", {"lease_seconds": lease_seconds, "count_up_to": _COUNT_UP_TO}
    )
    row = result.mappings().one()
    facts = InstanceFacts(**{**row, "state": SchedulerState(row["state"])}, overdue_is_exact=True)
    if facts.overdue > _COUNT_UP_TO:
        return replace(facts, overdue=_COUNT_UP_TO, overdue_is_exact=False)
    return facts


async def read_clock(connection: ReadConnection) -> datetime:
    """Return PostgreSQL's clock at the very moment, not at the beginning of the transaction."""
    now: datetime = (await connection.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return now
