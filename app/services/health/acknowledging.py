"""Take notice of a finding: somebody looks after it."""

from uuid import UUID

from app.core.errors import Invalid, NotFound, StateConflict
from app.core.vocabulary import FindingChange, Role
from app.models import HealthFinding
from app.runtime import Runtime
from app.services.access import Principal
from app.services.health.findings import FindingEvent, changes_of
from app.services.writing import Subject, note_audit
from app.store.events import record_changes
from app.store.findings import acknowledge_finding as write_acknowledgement
from app.store.findings import lock_finding

MOST_NOTE = 2_000
"""Characters of a note."""


async def acknowledge_finding(
    runtime: Runtime, principal: Principal, finding_id: UUID, *, note: str | None
) -> HealthFinding:
    """Say that the caller has taken notice of an open finding; a later word replaces an earlier.

    A schedule's finding takes an operator of its project. One of the instance concerns every
    project, and takes the instance's administrator. The finding stays open until it is over.
    """
    principal.require(Role.OPERATOR)
    if note is not None and len(note) > MOST_NOTE:
        raise Invalid(f"A note has at most {MOST_NOTE:,} characters.", path=("note",))
    async with runtime.database.transaction(principal.project_id) as transaction:
        finding = await lock_finding(transaction, principal.project_id, finding_id)
        if finding is None:
            raise NotFound("There is no such finding.", id=str(finding_id), path=("id",))
        if finding.project_id is None:
            principal.require_instance()
        if finding.resolved_at is not None:
            raise StateConflict(
                "The finding has been resolved: there is nothing to look after any more.",
                current="RESOLVED",
                allowed=["OPEN"],
                path=("id",),
            )
        finding = await write_acknowledgement(
            transaction, finding_id, actor=principal.actor, note=note
        )
        changes = changes_of([FindingEvent(FindingChange.ACKNOWLEDGED, finding)])
        await record_changes(transaction, changes)
        summary = (
            f"Acknowledged {finding.code}: {note}" if note else f"Acknowledged {finding.code}."
        )
        await note_audit(
            transaction,
            principal,
            "healthFindingAcknowledge",
            Subject.FINDING,
            [(finding_id, summary)],
        )
    await runtime.announce(changes)
    return finding
