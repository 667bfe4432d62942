"""Inputs about jobs."""

from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from app.core.ids import Kind
from app.core.retry import RetryPolicy
from app.core.vocabulary import Backoff, FailureReason, JobKind, OnWorkerLost
from app.schema.ids import from_id
from app.schema.inputs.filters import TagInput, read_tags
from app.schema.inputs.given import given, optional, read
from app.services.jobs import JobFields, JobRequest

Value = TypeVar("Value")


@strawberry.input(description="How often, and with which delays, a failed run is tried again.")
class RetryPolicyInput:
    """A retry policy."""

    max_attempts: int | None = strawberry.field(
        default=1, description="The first attempt included."
    )
    backoff: Backoff | None = strawberry.field(
        default=Backoff.EXPONENTIAL, description="How the delay grows."
    )
    initial_delay: timedelta | None = strawberry.field(
        default=timedelta(seconds=10), description="The first delay."
    )
    max_delay: timedelta | None = strawberry.field(
        default=timedelta(minutes=10), description="The longest delay."
    )
    multiplier: float | None = strawberry.field(
        default=2.0, description="What EXPONENTIAL multiplies by."
    )
    jitter: bool | None = strawberry.field(
        default=True, description="Whether delays are shortened by chance."
    )
    max_age: timedelta | None = strawberry.field(
        default=None, description="No attempt starts later than this after the run was due."
    )
    retry_on: list[FailureReason] | None = strawberry.field(
        default=None, description="After which failures; ERROR, TIMEOUT and WORKER_LOST."
    )

    def read(self) -> RetryPolicy:
        """Return the core's form; null means the default."""
        defaults = RetryPolicy()
        return RetryPolicy(
            max_attempts=_or(self.max_attempts, defaults.max_attempts),
            backoff=_or(self.backoff, defaults.backoff),
            initial_delay=_or(self.initial_delay, defaults.initial_delay),
            max_delay=_or(self.max_delay, defaults.max_delay),
            multiplier=_or(self.multiplier, defaults.multiplier),
            jitter=_or(self.jitter, defaults.jitter),
            max_age=self.max_age,
            retry_on=defaults.retry_on if self.retry_on is None else tuple(self.retry_on),
        )


@strawberry.input(description="A job to create.")
class JobCreateInput:
    """A new job."""

    key: str = strawberry.field(description="Unique among the project's jobs.")
    kind: JobKind = strawberry.field(description="How it is executed.")
    config: JSON = strawberry.field(
        description="Validated per kind: see HttpConfig, CommandConfig, PythonConfig in the docs."
    )
    name: str | None = optional("For people; the key, unless given.")
    description: str | None = optional("What it is for.")
    parameters_schema: JSON | None = optional("JSON Schema that parameters must satisfy.")
    parameters: JSON | None = optional("Parameters of every run.")
    queue: str | None = optional("The lane its runs wait in; `default`.")
    priority: int | None = optional("Higher goes first; 0.")
    timeout: timedelta | None = optional("How long an attempt may take.")
    concurrency_limit: int | None = optional("How many of its runs may be under way at once.")
    retry: RetryPolicyInput | None = optional("What happens after a failure.")
    on_worker_lost: OnWorkerLost | None = optional("What becomes of a run whose worker died.")
    tags: list[TagInput] | None = optional("Labels; runs carry them, too.")
    template_id: strawberry.ID | None = strawberry.field(
        default=None, description="What counts where nothing is given here."
    )
    template_parameters: JSON | None = strawberry.field(
        default=None, description="What the template leaves open."
    )
    idempotency_key: str | None = strawberry.field(
        default=None, description="Repeat a request with it safely, for 24 hours."
    )

    def read(self) -> JobRequest:
        """Return the service's form."""
        return JobRequest(self.key, self.kind, _fields(self), self.idempotency_key)


@strawberry.input(description="A change of a job. Absent = unchanged, null = cleared.")
class JobUpdateInput:
    """A change."""

    id: strawberry.ID = strawberry.field(description="Which job.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse when it has another version."
    )
    name: str | None = optional("For people.")
    description: str | None = optional("What it is for.")
    config: JSON | None = optional("Replaces the whole configuration.")
    parameters_schema: JSON | None = optional("JSON Schema that parameters must satisfy.")
    parameters: JSON | None = optional("Parameters of every run.")
    queue: str | None = optional("The lane its runs wait in.")
    priority: int | None = optional("Higher goes first.")
    timeout: timedelta | None = optional("How long an attempt may take.")
    concurrency_limit: int | None = optional("How many of its runs may be under way at once.")
    retry: RetryPolicyInput | None = optional("What happens after a failure.")
    on_worker_lost: OnWorkerLost | None = optional("What becomes of a run whose worker died.")
    tags: list[TagInput] | None = optional("Labels; runs carry them, too.")

    def read_id(self) -> UUID:
        """Return which job."""
        return from_id(Kind.JOB, self.id, "id")

    def read(self) -> JobFields:
        """Return the service's form."""
        return _fields(self)


def _fields(data: JobCreateInput | JobUpdateInput) -> JobFields:
    return JobFields(
        name=given(data.name),
        description=given(data.description),
        config=given(data.config),
        parameters_schema=given(data.parameters_schema),
        parameters=given(data.parameters),
        queue=given(data.queue),
        priority=given(data.priority),
        timeout=given(data.timeout),
        concurrency_limit=given(data.concurrency_limit),
        retry=read(data.retry, RetryPolicyInput.read),
        on_worker_lost=given(data.on_worker_lost),
        tags=read(data.tags, read_tags),
    )


def _or(value: Value | None, default: Value) -> Value:
    return default if value is None else value
