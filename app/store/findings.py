"""Findings: opened, changed and resolved by whoever sees them first, and read by everybody."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Select, delete, func, or_, update
from sqlmodel import col, select

from app.core.health import Observation
from app.core.vocabulary import FindingCode, Severity
from app.models import HealthFinding
from app.models.columns import ActorRecord, new_id
from app.store.database import ReadConnection, Transaction
from app.store.pages import Order, Page, PageRequest, count_up_to, read_page


async def read_open_findings(
    connection: ReadConnection,
    *,
    codes: Iterable[FindingCode] = tuple(FindingCode),
    schedule_ids: Iterable[UUID] | None = None,
) -> list[HealthFinding]:
    """Return open findings of some codes: of the instance, or of these schedules."""
    query = select(HealthFinding).where(
        col(HealthFinding.resolved_at).is_(None), col(HealthFinding.code).in_(list(codes))
    )
    if schedule_ids is None:
        query = query.where(col(HealthFinding.schedule_id).is_(None))
    else:
        query = query.where(col(HealthFinding.schedule_id).in_(list(schedule_ids)))
    return list((await connection.exec(query)).all())


async def open_findings(
    transaction: Transaction, observed: Sequence[Observation]
) -> list[HealthFinding]:
    """Open what was observed; return only what was not open before."""
    if not observed:
        return []
    result = await transaction.run_file(
        "open_findings",
        {
            "id": [new_id() for _ in observed],
            "code": [each.code.value for each in observed],
            "subject": [each.subject for each in observed],
            "severity": [each.severity.value for each in observed],
            "schedule_id": [each.schedule_id for each in observed],
            "message": [each.message for each in observed],
            "since": [each.since for each in observed],
        },
    )
    return _findings(result)


async def change_findings(
    transaction: Transaction, changed: Sequence[tuple[UUID, Observation]]
) -> list[HealthFinding]:
    """Write how open findings stand now; return those that stood differently before."""
    if not changed:
        return []
    result = await transaction.run_file(
        "change_findings",
        {
            "id": [id_ for id_, _ in changed],
            "severity": [each.severity.value for _, each in changed],
            "message": [each.message for _, each in changed],
            "since": [each.since for _, each in changed],
        },
    )
    return _findings(result)


async def resolve_findings(transaction: Transaction, ids: Sequence[UUID]) -> list[HealthFinding]:
    """End findings; return those that were open until now."""
    if not ids:
        return []
    return _findings(await transaction.run_file("resolve_findings", {"ids": list(ids)}))


def _findings(result: CursorResult[Any]) -> list[HealthFinding]:
    return [HealthFinding.model_validate(dict(row)) for row in result.mappings()]


async def note_seen(transaction: Transaction, ids: Sequence[UUID]) -> None:
    """Say that findings still hold, for those who cannot see it themselves."""
    if ids:
        await transaction.execute(
            update(HealthFinding).where(col(HealthFinding.id).in_(ids)).values(seen_at=func.now())
        )


async def count_open_findings(
    connection: ReadConnection,
) -> dict[tuple[FindingCode, Severity], int]:
    """Return how many findings are open, of every project and the instance."""
    rows = await connection.execute(
        select(HealthFinding.code, HealthFinding.severity, func.count())
        .where(col(HealthFinding.resolved_at).is_(None))
        .group_by(col(HealthFinding.code), col(HealthFinding.severity))
    )
    return {(FindingCode(code), Severity(severity)): count for code, severity, count in rows.all()}


def select_findings(
    project_id: UUID, *, is_open: bool | None = None, min_severity: Severity = Severity.INFO
) -> Select[Any]:
    """Return the query for a project's findings and the instance's; `is_open` None: also past."""
    severities = list(Severity)
    query = select(HealthFinding).where(
        or_(col(HealthFinding.project_id) == project_id, col(HealthFinding.project_id).is_(None)),
        col(HealthFinding.severity).in_(severities[severities.index(min_severity) :]),
    )
    if is_open is None:
        return query
    resolved = col(HealthFinding.resolved_at)
    return query.where(resolved.is_(None) if is_open else resolved.is_not(None))


async def page_findings(
    connection: ReadConnection, query: Select[Any], page: PageRequest
) -> Page[HealthFinding]:
    """Return one page, the newest first."""
    order = Order(None, descending=True)
    found = await read_page(
        connection, query, id_column=col(HealthFinding.id), order=order, page=page
    )
    return Page([row[0] for row in found.items], found.has_previous, found.has_next)


async def count_findings(
    connection: ReadConnection, query: Select[Any], cap: int
) -> tuple[int, bool]:
    """Count findings, up to a cap."""
    return await count_up_to(connection, query, id_column=col(HealthFinding.id), cap=cap)


async def read_findings(
    connection: ReadConnection, project_id: UUID, ids: Iterable[UUID]
) -> dict[UUID, HealthFinding]:
    """Return findings by id, open or not: those of a project and of the instance."""
    query = select_findings(project_id).where(col(HealthFinding.id).in_(set(ids)))
    return {row.id: row for row in (await connection.execute(query)).scalars()}


async def read_newest_open_findings(
    connection: ReadConnection, project_id: UUID, limit: int
) -> list[HealthFinding]:
    """Return the newest open findings of a project and of the instance."""
    query = select_findings(project_id, is_open=True)
    rows = await connection.execute(query.order_by(col(HealthFinding.id).desc()).limit(limit))
    return list(rows.scalars())


async def lock_finding(
    transaction: Transaction, project_id: UUID, finding_id: UUID
) -> HealthFinding | None:
    """Return one finding and keep others from changing it."""
    query = select_findings(project_id).where(col(HealthFinding.id) == finding_id)
    found: HealthFinding | None = (
        (await transaction.execute(query.with_for_update())).scalars().first()
    )
    return found


async def acknowledge_finding(
    transaction: Transaction, finding_id: UUID, *, actor: ActorRecord, note: str | None
) -> HealthFinding:
    """Write who has taken notice."""
    result = await transaction.execute(
        update(HealthFinding)
        .where(col(HealthFinding.id) == finding_id)
        .values(
            acknowledged_at=func.now(),
            acknowledged_by=actor,
            note=note,
            revision=col(HealthFinding.revision) + 1,
        )
        .returning(HealthFinding)
        .execution_options(populate_existing=True)
    )
    return result.scalar_one()


async def prune_findings(transaction: Transaction, *, older_than: timedelta, limit: int) -> int:
    """Forget up to `limit` findings that were resolved long ago; return how many."""
    old = (
        select(HealthFinding.id)
        .where(col(HealthFinding.resolved_at) < func.now() - older_than)
        .order_by(col(HealthFinding.resolved_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    result = await transaction.execute(delete(HealthFinding).where(col(HealthFinding.id).in_(old)))
    return int(getattr(result, "rowcount", 0))
