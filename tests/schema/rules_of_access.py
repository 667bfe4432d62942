"""What each field of the schema takes: the rules that `test_permissions` holds the server to.

A field that is not listed here fails the test: whoever adds one says who may use it.
"""

from enum import Enum
from typing import Any, Final, Protocol

from app.core.vocabulary import Role


class Instance(Enum):
    """Beyond the roles of a project."""

    ADMINISTRATOR = "an administrator of the whole instance"


Rule = Role | Instance

VIEWER, OPERATOR, EDITOR, ADMIN = Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN
INSTANCE = Instance.ADMINISTRATOR

QUERIES: Final[dict[str, Rule]] = {
    "node": VIEWER,
    "nodes": VIEWER,
    "viewer": VIEWER,
    "projects": VIEWER,
    "job": VIEWER,
    "jobs": VIEWER,
    "schedule": VIEWER,
    "schedules": VIEWER,
    "run": VIEWER,
    "runs": VIEWER,
    "cronExplain": VIEWER,
    "cronPresets": VIEWER,
    "timezones": VIEWER,
    "schedulePreview": VIEWER,
    "scheduleChangePreview": VIEWER,
    "resumePlan": VIEWER,
    "upcoming": VIEWER,
    "upcomingOccurrences": VIEWER,
    "forecast": VIEWER,
    "conflicts": VIEWER,
    "conflictReport": VIEWER,
    "scheduler": VIEWER,
    "statistics": VIEWER,
    "healthFindings": VIEWER,
    "calendars": VIEWER,
    "backfill": VIEWER,
    "backfills": VIEWER,
    "endpoints": VIEWER,
    "tasks": VIEWER,
    "templates": VIEWER,
    "chains": VIEWER,
    "notificationRules": VIEWER,
    "secrets": ADMIN,
    "apiTokens": ADMIN,
    "audit": ADMIN,
    "auditVerify": ADMIN,
}
MUTATIONS: Final[dict[str, Rule]] = {
    "jobCreate": EDITOR,
    "jobUpdate": EDITOR,
    "jobArchive": EDITOR,
    "jobTrigger": OPERATOR,
    "scheduleCreate": EDITOR,
    "schedulesCreate": EDITOR,
    "scheduleUpdate": EDITOR,
    "schedulePause": OPERATOR,
    "scheduleResume": OPERATOR,
    "scheduleArchive": EDITOR,
    "scheduleRollback": EDITOR,
    "scheduleTrigger": OPERATOR,
    "schedulesBulk": OPERATOR,
    "occurrenceOverride": OPERATOR,
    "runCancel": OPERATOR,
    "runRerun": OPERATOR,
    "runsBulk": OPERATOR,
    "backfillStart": OPERATOR,
    "backfillPause": OPERATOR,
    "backfillResume": OPERATOR,
    "backfillCancel": OPERATOR,
    "healthFindingAcknowledge": OPERATOR,
    "calendarPut": EDITOR,
    "calendarImport": EDITOR,
    "calendarDelete": EDITOR,
    "endpointPut": EDITOR,
    "endpointDelete": EDITOR,
    "chainPut": EDITOR,
    "chainDelete": EDITOR,
    "templatePut": EDITOR,
    "templateDelete": EDITOR,
    "viewerUpdate": VIEWER,
    "notificationRulePut": ADMIN,
    "notificationRuleDelete": ADMIN,
    "secretPut": ADMIN,
    "secretDelete": ADMIN,
    "apiTokenCreate": ADMIN,
    "apiTokenRevoke": ADMIN,
    "projectUpdate": ADMIN,
    "projectCreate": INSTANCE,
    "schedulerControl": INSTANCE,
    "queueControl": INSTANCE,
    "workerDrain": INSTANCE,
}
SUBSCRIPTIONS: Final[dict[str, Rule]] = {
    "runEvents": VIEWER,
    "scheduleChanged": VIEWER,
    "runLog": VIEWER,
    "schedulerStatus": VIEWER,
    "healthFindingChanged": VIEWER,
}
RULES: Final = {"Query": QUERIES, "Mutation": MUTATIONS, "Subscription": SUBSCRIPTIONS}


class Things(Protocol):
    """The ids of one thing of each kind in one project."""

    job: str
    schedule: str
    run: str
    backfill: str
    calendar: str
    token: str
    finding: str


_SOON = {"timings": [{"cron": {"expression": "0 0 1 1 *"}}]}
_LONG_AGO = {"from": "2024-01-01T00:00:00Z", "until": "2024-12-31T00:00:00Z"}
_WORKER = "worker_" + "0" * 32
_CHAIN = "chain_" + "0" * 32


def arguments(things: Things) -> dict[str, dict[str, Any]]:
    """Return arguments for every field that takes some, about these things."""
    return {
        "node": {"id": things.job},
        "nodes": {"ids": [things.job, things.schedule, things.run, things.calendar]},
        "job": {"id": things.job},
        "schedule": {"id": things.schedule},
        "run": {"id": things.run},
        "runs": {"filter": {"scheduleId": things.schedule}},
        "cronExplain": {"expression": "0 0 * * *"},
        "schedulePreview": {"jobId": things.job, "fields": _SOON},
        "scheduleChangePreview": {"id": things.schedule, "fields": _SOON},
        "resumePlan": {"scheduleId": things.schedule},
        "backfill": {"id": things.backfill},
        "backfills": {"scheduleId": things.schedule},
        "audit": {"subjectId": things.job},
        "jobCreate": {
            "input": {
                "key": "new",
                "kind": "PYTHON",
                "config": {"function": "app.handlers.builtin.noop"},
            }
        },
        "jobUpdate": {"input": {"id": things.job, "name": "Changed"}},
        "jobArchive": {"id": things.job},
        "jobTrigger": {"input": {"id": things.job}},
        "scheduleCreate": {"input": {"jobId": things.job, "key": "new", "fields": _SOON}},
        "schedulesCreate": {"inputs": [{"jobId": things.job, "key": "new", "fields": _SOON}]},
        "scheduleUpdate": {"input": {"id": things.schedule, "fields": {"name": "Changed"}}},
        "schedulePause": {"input": {"id": things.schedule, "reason": "x"}},
        "scheduleResume": {"input": {"id": things.schedule}},
        "scheduleArchive": {"input": {"id": things.schedule}},
        "scheduleRollback": {
            "input": {"id": things.schedule, "toVersion": 1, "expectedVersion": 1}
        },
        "scheduleTrigger": {"input": {"id": things.schedule}},
        "schedulesBulk": {"input": {"ids": [things.schedule], "action": "PAUSE", "reason": "x"}},
        "occurrenceOverride": {
            "input": {
                "scheduleId": things.schedule,
                "at": "2040-01-01T00:00:00Z",
                "action": "SKIP",
                "reason": "x",
            }
        },
        "runCancel": {"input": {"id": things.run}},
        "runRerun": {"input": {"id": things.run}},
        "runsBulk": {"input": {"ids": [things.run], "action": "CANCEL"}},
        "backfillStart": {
            "input": {"scheduleId": things.schedule, "onlyMissing": False, **_LONG_AGO}
        },
        "backfillPause": {"id": things.backfill},
        "backfillResume": {"id": things.backfill},
        "backfillCancel": {"id": things.backfill},
        "healthFindingAcknowledge": {"id": things.finding},
        "calendarPut": {"input": {"key": "new", "name": "New"}},
        "calendarImport": {"key": "new", "ics": "x"},
        "calendarDelete": {"key": "new"},
        "endpointPut": {"input": {"key": "new", "baseUrl": "https://example.com"}},
        "endpointDelete": {"key": "new"},
        "chainPut": {"input": {"jobId": things.job, "targetId": things.job}},
        "chainDelete": {"id": _CHAIN},
        "templatePut": {"input": {"key": "new", "name": "New", "defaults": {}}},
        "templateDelete": {"key": "new"},
        "notificationRulePut": {
            "input": {
                "key": "new",
                "events": ["RUN_FAILED"],
                "target": {"type": "webhook", "url": "http://127.0.0.1:1/", "sign": "key"},
            }
        },
        "notificationRuleDelete": {"key": "new"},
        "viewerUpdate": {"timezone": "UTC"},
        "secretPut": {"input": {"key": "new", "value": "x"}},
        "secretDelete": {"key": "new"},
        "apiTokenCreate": {"input": {"name": "new", "role": "VIEWER"}},
        "apiTokenRevoke": {"id": things.token},
        "projectUpdate": {"input": {"key": "own", "name": "Own"}},
        "projectCreate": {"input": {"key": "new", "name": "New"}},
        "schedulerControl": {"input": {"action": "PAUSE", "reason": "x"}},
        "queueControl": {"input": {"name": "default", "limit": 5}},
        "workerDrain": {"id": _WORKER},
        "runEvents": {"runId": things.run},
        "runLog": {"runId": things.run},
        "scheduleChanged": {"filter": {"ids": [things.schedule]}},
    }
