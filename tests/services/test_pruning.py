"""What is kept for a time only goes when its time is over, and not before."""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import text

from app.core.health import Observation
from app.core.vocabulary import FindingCode, Severity
from app.services.health.findings import settle_findings
from app.services.pruning import FINDINGS_LIFETIME, IDEMPOTENCY_LIFETIME, prune
from tests.engine import Engine

_EVENT = text(
    "INSERT INTO event (project_id, subject, change, entity_ids, revisions, at)"
    " VALUES (:project_id, 'RUN', :change, '{}', '{}', now() - cast(:age AS interval))"
)
_KEY = text(
    "INSERT INTO idempotency (project_id, key, operation, content_hash, result_id, created_at)"
    " VALUES (:project_id, :key, 'jobCreate', 'hash', :project_id, now() - cast(:age AS interval))"
)


async def test_old_events_and_keys_go_and_young_ones_stay(engine: Engine) -> None:
    second, project_id = timedelta(seconds=30), uuid4()
    async with engine.runtime.database.transaction() as transaction:
        for name, lead in (("old", second), ("young", -second)):
            event_age = engine.runtime.event_retention + lead
            await transaction.execute(
                _EVENT, {"project_id": project_id, "change": name, "age": event_age}
            )
            key_age = IDEMPOTENCY_LIFETIME + lead
            await transaction.execute(_KEY, {"project_id": project_id, "key": name, "age": key_age})
    assert await prune(engine.runtime) == 2
    async with engine.runtime.database.reading(None) as connection:
        events = await connection.execute(
            text("SELECT change FROM event WHERE project_id = :id"), {"id": project_id}
        )
        keys = await connection.execute(
            text("SELECT key FROM idempotency WHERE project_id = :id"), {"id": project_id}
        )
        assert [*events.scalars(), *keys.scalars()] == ["young", "young"]
    assert await prune(engine.runtime) == 0


async def test_findings_go_a_while_after_their_end(engine: Engine) -> None:
    now = await engine.now()
    observed = [
        Observation(FindingCode.CLOCK_SKEW, Severity.WARNING, now, "Wrong.", subject=host)
        for host in ("old", "young", "open")
    ]
    await settle_findings(engine.runtime, observed=observed, standing=[])
    for host, lead in (("old", timedelta(minutes=1)), ("young", -timedelta(minutes=1))):
        await engine.rows(
            "UPDATE health_finding SET resolved_at = :at WHERE subject = :host",
            at=now - FINDINGS_LIFETIME - lead,
            host=host,
        )
    assert await prune(engine.runtime) == 1
    rows = await engine.rows("SELECT subject FROM health_finding ORDER BY id")
    assert sorted(row["subject"] for row in rows) == ["open", "young"]
