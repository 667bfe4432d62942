"""Queries about the audit."""

from typing import Annotated

import strawberry

from app.core.errors import NotFound
from app.core.ids import split_id
from app.core.vocabulary import Role
from app.schema.connections import Window
from app.schema.context import Info
from app.schema.inputs.arguments import After, First
from app.schema.inputs.filters import TimeFilter
from app.schema.types.audit import AuditConnection, AuditVerification
from app.services.auditing import verify_audit_online
from app.store.audit import select_audit


@strawberry.type
class AuditQueries:
    """Reads. All of them take an administrator."""

    @strawberry.field(
        description="What was done in the project, by whom, the newest first; for the instance's "
        "administrator also what concerns no project. Takes the role ADMIN."
    )
    async def audit(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        subject_id: Annotated[
            strawberry.ID | None, strawberry.argument(description="Only what was done to this.")
        ] = None,
        action: Annotated[
            str | None, strawberry.argument(description="Only this mutation or automatic change.")
        ] = None,
        at: Annotated[
            TimeFilter | None,
            strawberry.argument(description="Only what was done in this stretch."),
        ] = None,
    ) -> AuditConnection:
        """Read one page."""
        principal = info.context.principal
        principal.require(Role.ADMIN)
        subject = None if subject_id is None else split_id(subject_id)
        if subject_id is not None and subject is None:
            raise NotFound(f"{subject_id[:80]!r} is not an id of ours.", path=("subjectId",))
        query = select_audit(
            principal.project_id,
            with_instance=principal.governs,
            subject_id=None if subject is None else subject[1],
            action=action,
            at=None if at is None else at.read(),
        )
        return await AuditConnection.read(info.context, Window(first, after), query)

    @strawberry.field(
        description="Walk along the chain that seals the audit of the whole instance. For more "
        "than 100,000 entries use `tickwheel audit verify`. Takes the role ADMIN."
    )
    async def audit_verify(self, info: Info) -> AuditVerification:
        """Verify."""
        context = info.context
        return AuditVerification.of(await verify_audit_online(context.runtime, context.principal))
