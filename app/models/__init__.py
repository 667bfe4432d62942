"""The tables. No queries: those are in `app.store`.

One module per table or per small family. Importing this package registers all of them in
`SQLModel.metadata`, which the migrations are compared with.
"""

from app.models.audit import AuditEntry, AuditSeal, UnsealedEntry
from app.models.backfill import Backfill
from app.models.calendar import Calendar
from app.models.chain import Chain
from app.models.endpoint import Endpoint, EndpointToken
from app.models.event import Event
from app.models.finding import HealthFinding, HealthRound
from app.models.idempotency import IdempotencyRecord
from app.models.job import Job
from app.models.login_code import LoginCode
from app.models.notification import (
    Notification,
    NotificationFeed,
    NotificationMessage,
    NotificationRule,
)
from app.models.occurrence_override import OccurrenceOverride
from app.models.project import ApiToken, Project
from app.models.run import Attempt, Run, RunLogChunk
from app.models.schedule import Schedule, ScheduleCounters, ScheduleSearch
from app.models.schedule_version import ScheduleVersion
from app.models.scheduler import Halt, QueueControl, SchedulerControl, Worker
from app.models.secret import Secret
from app.models.template import Template
from app.models.viewer import ViewerPreference
from app.models.zone_rules import ZoneRulesInForce

__all__ = [
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "AuditSeal",
    "Backfill",
    "Calendar",
    "Chain",
    "Endpoint",
    "EndpointToken",
    "Event",
    "Halt",
    "HealthFinding",
    "HealthRound",
    "IdempotencyRecord",
    "Job",
    "LoginCode",
    "Notification",
    "NotificationFeed",
    "NotificationMessage",
    "NotificationRule",
    "OccurrenceOverride",
    "Project",
    "QueueControl",
    "Run",
    "RunLogChunk",
    "Schedule",
    "ScheduleCounters",
    "ScheduleSearch",
    "ScheduleVersion",
    "SchedulerControl",
    "Secret",
    "Template",
    "UnsealedEntry",
    "ViewerPreference",
    "Worker",
    "ZoneRulesInForce",
]
