"""Inputs that control the instance and its queues."""

from datetime import timedelta

import strawberry

from app.core.vocabulary import ResumeChoice, SchedulerAction
from app.schema.inputs.given import given, optional
from app.services.controlling import ControlRequest
from app.services.queues import QueueRequest


@strawberry.input(description="What is to become of the whole instance.")
class SchedulerControlInput:
    """A control."""

    action: SchedulerAction = strawberry.field(description="What to do.")
    reason: str = strawberry.field(description="Why, for those who wonder later.")
    drain_timeout: timedelta | None = strawberry.field(
        default=None,
        description="STOP, RESTART: how long running work may take to finish; what is left then is "
        "given back to the queue. Without it a stop waits for the work, and a restart 30 seconds.",
    )
    confirm: str | None = strawberry.field(
        default=None, description='Must be "stop everything" for EMERGENCY_STOP.'
    )
    missed: ResumeChoice | None = strawberry.field(
        default=None,
        description="START, RESTART: what becomes of the occurrences of the halt. Without it: SKIP "
        "after an emergency stop, else each schedule's own catch-up.",
    )

    def read(self) -> ControlRequest:
        """Return the service's form."""
        return ControlRequest(
            action=self.action,
            reason=self.reason,
            drain_timeout=self.drain_timeout,
            confirm=self.confirm,
            missed=self.missed,
        )


@strawberry.input(description="What is to become of a queue. Absent = unchanged.")
class QueueControlInput:
    """A control."""

    name: str = strawberry.field(description="Which queue; it need not have been used before.")
    paused: bool | None = optional("Whether none of its runs start.")
    limit: int | None = optional("How many of its runs may be under way at once; null: any number.")
    reason: str | None = strawberry.field(default=None, description="Why; kept in the audit.")

    def read(self) -> QueueRequest:
        """Return the service's form."""
        return QueueRequest(self.name, given(self.paused), given(self.limit), self.reason)
