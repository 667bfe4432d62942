"""Find who may refer to something by its key, somewhere in a configuration or in parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, func, or_
from sqlalchemy.orm import aliased
from sqlmodel import col, select

from app.core.vocabulary import JobKind
from app.models import Chain, Endpoint, Job, NotificationRule, Schedule
from app.store.database import ReadConnection


@dataclass(frozen=True, slots=True)
class PossibleUser:
    """What holds a text somewhere. Whether it means a reference is for the reader to say."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # Of a job.
    kind: JobKind | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    # If it is one.
    endpoint: Endpoint | None = None
    # Of a notification rule.
    target: Mapping[str, Any] = field(default_factory=dict)


async def read_possible_users(
    connection: ReadConnection, project_id: UUID, text: str
) -> list[PossibleUser]:
    """Return the project's jobs, schedules, chains, endpoints and rules that hold a text.

    None is archived.
    """
    jobs = select(Job).where(
        col(Job.project_id) == project_id,
        col(Job.archived_at).is_(None),
        or_(_holds(Job.config, text), _holds(Job.parameters, text)),
    )
    schedules = select(Schedule.key, Schedule.parameters).where(
        col(Schedule.project_id) == project_id,
        col(Schedule.archived_at).is_(None),
        _holds(Schedule.parameters, text),
    )
    target = aliased(Job)
    chains = (
        select(Job.key, target.key, Chain.parameters)
        .join(Job, col(Job.id) == col(Chain.job_id))
        .join(target, col(target.id) == col(Chain.target_id))
        .where(col(Chain.project_id) == project_id, _holds(Chain.parameters, text))
        .order_by(col(Job.key), target.key)
    )
    endpoints = select(Endpoint).where(
        col(Endpoint.project_id) == project_id,
        or_(*(_holds(column, text) for column in _OF_ENDPOINT)),
    )
    rules = select(NotificationRule).where(
        col(NotificationRule.project_id) == project_id, _holds(NotificationRule.target, text)
    )
    return [
        *(
            PossibleUser(f"job {job.key}", job.parameters, job.kind, job.config)
            for job in (await connection.exec(jobs.order_by(col(Job.key)))).all()
        ),
        *(
            PossibleUser(f"schedule {key}", parameters)
            for key, parameters in (
                await connection.exec(schedules.order_by(col(Schedule.key)))
            ).all()
        ),
        *(
            PossibleUser(f"chain from {key} to {target_key}", parameters)
            for key, target_key, parameters in (await connection.exec(chains)).all()
        ),
        *(
            PossibleUser(f"endpoint {row.key}", endpoint=row)
            for row in (await connection.exec(endpoints.order_by(col(Endpoint.key)))).all()
        ),
        *(
            PossibleUser(f"notification rule {row.key}", target=row.target)
            for row in (await connection.exec(rules.order_by(col(NotificationRule.key)))).all()
        ),
    ]


_OF_ENDPOINT = (Endpoint.headers, Endpoint.variables, Endpoint.auth)


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    return func.strpos(cast(col(column), Text), text) > 0
