"""Inputs that start, repeat and cancel runs."""

from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.vocabulary import RunBulkAction
from app.schema.ids import from_id
from app.schema.inputs.filters import RunFilter
from app.services.runs_bulk import RunsRequest
from app.services.triggering_jobs import JobTrigger

_KEY = "Repeat a request with it safely, for 24 hours."
_WHY = "Why; kept with the run and in the audit."


@strawberry.input(description="The end of a run.")
class RunCancelInput:
    """A cancel."""

    id: strawberry.ID = strawberry.field(description="Which run.")
    reason: str | None = strawberry.field(default=None, description=_WHY)
    force: bool | None = strawberry.field(
        default=False,
        description="Kill its processes at once, without the time to end by themselves.",
    )


@strawberry.input(description="A run, once more.")
class RunRerunInput:
    """A rerun."""

    id: strawberry.ID = strawberry.field(description="Which run; it must be over.")
    parameters: JSON | None = strawberry.field(default=None, description="Put over those it had.")
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)

    def read_parameters(self) -> dict[str, Any] | None:
        """Return the parameters as they came; the service checks them."""
        return self.parameters  # type: ignore[return-value] # JSON may be anything


@strawberry.input(description="A run of a job, without a schedule.")
class JobTriggerInput:
    """A trigger."""

    id: strawberry.ID = strawberry.field(description="Which job.")
    parameters: JSON | None = strawberry.field(
        default=None, description="Put over those of the job."
    )
    at: datetime | None = strawberry.field(default=None, description="Not before; now.")
    priority: int | None = strawberry.field(
        default=None, description="Higher goes first; the job's."
    )
    idempotency_key: str | None = strawberry.field(default=None, description=_KEY)

    def read(self) -> JobTrigger:
        """Return the service's form."""
        return JobTrigger(
            job_id=from_id(Kind.JOB, self.id, "id"),
            parameters=self.parameters,  # type: ignore[arg-type] # the service checks it
            at=self.at,
            priority=self.priority,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input(
    description="The same for many runs: those with these ids, or that pass a filter."
)
class RunsBulkInput:
    """A bulk action."""

    ids: list[strawberry.ID] | None = strawberry.field(default=None, description="These runs.")
    filter: RunFilter | None = strawberry.field(
        default=None, description="Those that pass, and for which the action is possible."
    )
    action: RunBulkAction = strawberry.field(description="What to do.")
    max_affected: int = strawberry.field(
        default=100, description="Refuse when more match; at most 1,000."
    )
    dry_run: bool | None = strawberry.field(
        default=False, description="Only say what would be done."
    )
    reason: str | None = strawberry.field(default=None, description=_WHY)

    def read(self) -> RunsRequest:
        """Return the service's form."""
        return RunsRequest(
            action=self.action,
            ids=None if self.ids is None else tuple(run_id(each, "ids") for each in self.ids),
            narrowed=None if self.filter is None else self.filter.read(),
            max_affected=self.max_affected,
            dry_run=bool(self.dry_run),
            reason=self.reason,
        )


def run_id(given: str, *path: str) -> UUID:
    """Return which run."""
    return from_id(Kind.RUN, given, *(path or ("id",)))
