"""Queries and mutations about health, and the project in numbers."""

from typing import Annotated

import strawberry

from app.core.ids import Kind
from app.core.vocabulary import Role, Severity
from app.schema.connections import Window
from app.schema.context import Info
from app.schema.errors import collected_errors
from app.schema.ids import from_id
from app.schema.inputs.arguments import After, First
from app.schema.inputs.statistics import Window as StatsWindow
from app.schema.inputs.statistics import window_of
from app.schema.types.health import FindingConnection, HealthFinding
from app.schema.types.payloads import FindingPayload
from app.schema.types.statistics import Statistics
from app.services.health.acknowledging import acknowledge_finding
from app.services.statistics import read_run_statistics, read_schedule_counts
from app.store.statistics import Of

_FIRST_FINDINGS = 50


@strawberry.type
class HealthQueries:
    """Reads."""

    @strawberry.field(
        description="What is wrong with the project's schedules and with the instance, the newest "
        "first."
    )
    async def health_findings(
        self,
        info: Info,
        first: First = _FIRST_FINDINGS,
        after: After = None,
        open: Annotated[
            bool | None,
            strawberry.argument(description="Only those that stand, or only past ones; null: all."),
        ] = True,
        min_severity: Annotated[
            Severity | None, strawberry.argument(description="Only those that matter as much.")
        ] = Severity.INFO,
    ) -> FindingConnection:
        """Read one page."""
        return await FindingConnection.read(
            info.context,
            Window(_FIRST_FINDINGS if first is None else first, after),
            is_open=open,
            min_severity=min_severity or Severity.INFO,
        )

    @strawberry.field(description="The project in numbers.")
    async def statistics(self, info: Info, window: StatsWindow = None) -> Statistics:
        """Count."""
        project_id, request = info.context.principal.project_id, window_of(window)
        async with info.context.reading() as connection:
            runs = await read_run_statistics(connection, Of.PROJECT, [project_id], request)
            counts = await read_schedule_counts(connection, project_id)
        return Statistics.of(counts, runs[project_id])


@strawberry.type
class HealthMutations:
    """Writes."""

    @strawberry.mutation(
        description="Say that you have taken notice of a finding. It stays open until it is over. "
        "One of the instance takes the instance's administrator."
    )
    async def health_finding_acknowledge(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="Which finding.")],
        note: Annotated[
            str | None, strawberry.argument(description="What you know, or will do about it.")
        ] = None,
    ) -> FindingPayload:
        """Acknowledge."""
        async with collected_errors() as errors:
            context = info.context
            context.principal.require(Role.OPERATOR)
            finding_id = from_id(Kind.FINDING, id, "id")
            row = await acknowledge_finding(
                context.runtime, context.principal, finding_id, note=note
            )
            return FindingPayload(finding=HealthFinding.of(row))
        return FindingPayload(errors=errors)
