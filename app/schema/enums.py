"""The words of `app.core.vocabulary` as GraphQL enumerations, each with its description.

Importing this module registers them; types then simply name the Python enumerations.
"""

from enum import Enum, StrEnum
from typing import Any

import strawberry

from app.core import vocabulary as words
from app.core.errors import ErrorCode
from app.store.filters import TimingKind


class RunOrderField(StrEnum):
    """What a list of runs is sorted by."""

    SCHEDULED_FOR = "SCHEDULED_FOR"
    CREATED_AT = "CREATED_AT"
    STARTED_AT = "STARTED_AT"
    FINISHED_AT = "FINISHED_AT"


class ScheduleOrderField(StrEnum):
    """What a list of schedules is sorted by."""

    NAME = "NAME"
    NEXT_RUN_AT = "NEXT_RUN_AT"
    LAST_RUN_AT = "LAST_RUN_AT"
    CREATED_AT = "CREATED_AT"
    FAILURE_COUNT = "FAILURE_COUNT"


class Direction(StrEnum):
    """Which way a list is sorted; what is null comes last either way."""

    ASC = "ASC"
    DESC = "DESC"


_DESCRIPTIONS: dict[type[Enum], dict[str, str]] = {
    words.Role: {
        "VIEWER": "May read.",
        "OPERATOR": "May also trigger, pause, resume and cancel.",
        "EDITOR": "May also create, change and archive.",
        "ADMIN": "May also manage tokens, secrets and the scheduler itself.",
    },
    words.ActorKind: {
        "TOKEN": "An API token.",
        "USER": "A person.",
        "SYSTEM": "Tickwheel itself.",
    },
    words.JobKind: {
        "HTTP": "Sends an HTTP request.",
        "COMMAND": "Runs a command on the worker.",
        "PYTHON": "Calls a registered Python function.",
    },
    words.Backoff: {
        "FIXED": "The same delay each time.",
        "LINEAR": "One more initial delay each time.",
        "EXPONENTIAL": "The delay is multiplied each time.",
    },
    words.OnWorkerLost: {
        "RETRY": "Run it again: at least once.",
        "FAIL": "Record it as lost: at most once.",
    },
    words.FailureReason: {
        "ERROR": "The job failed.",
        "TIMEOUT": "The attempt took longer than its time-out.",
        "WORKER_LOST": "The worker died.",
        "REJECTED": "Our own rules refused it.",
    },
    words.Frequency: {
        "HOURLY": "At minute 0 of each hour: `0 * * * *`.",
        "DAILY": "At midnight: `0 0 * * *`.",
        "WEEKLY": "At midnight on Monday: `0 0 * * 1`.",
        "MONTHLY": "At midnight on the first: `0 0 1 * *`.",
    },
    words.DayMatch: {
        "ANY": "A day is due when either restricted day field matches, as in Vixie cron.",
        "ALL": "A day is due when both day fields match.",
    },
    words.TimeMode: {
        "AUTO": "ELAPSED when the minute or the hour begins with `*`, else WALL_CLOCK.",
        "WALL_CLOCK": "Once per local time, by the DST policies.",
        "ELAPSED": "By elapsed time: no hole and no double when clocks change.",
    },
    words.CalendarUnit: {
        "DAY": "Days.",
        "WEEK": "Weeks.",
        "MONTH": "Months.",
        "YEAR": "Years.",
    },
    words.DstGapPolicy: {
        "RUN_AT_GAP_END": "Run once, when the gap ends.",
        "SHIFT": "Run later by the length of the gap.",
        "SKIP": "Do not run.",
    },
    words.DstFoldPolicy: {
        "FIRST": "Run in the first pass.",
        "LAST": "Run in the second pass.",
        "BOTH": "Run in both passes.",
    },
    words.CalendarMode: {
        "EXCLUDE": "It does not run; the skip is recorded with the calendar's name.",
        "MOVE_PREVIOUS": "It runs at the same local time on the last allowed day before.",
        "MOVE_NEXT": "It runs at the same local time on the next allowed day.",
    },
    words.ConflictKind: {
        "DUPLICATE": "Several schedules run the same job at the same times, alike.",
        "OVERLAP_WITH_SELF": "Its runs usually take longer than the time between two.",
        "SAME_JOB_SAME_INSTANT": "Several schedules run the same job at the same instant.",
        "QUEUE_SATURATION": "More work is due than the workers can do in that time.",
        "HERD": "Many schedules are due in the same minute.",
    },
    words.Severity: {
        "INFO": "Good to know.",
        "WARNING": "Probably not meant; look at it.",
        "CRITICAL": "Runs suffer, or will.",
    },
    words.FindingCode: {
        "HIGH_FAILURE_RATE": "Less than half of a schedule's last runs succeeded.",
        "CONSECUTIVE_FAILURES": "A schedule's last three runs failed, or more.",
        "OVERDUE": "What was due has not been fired: of one schedule, or over all of them.",
        "STALE": "Nothing of a schedule has run for a week, or for three periods if longer.",
        "SLOWER_THAN_USUAL": "A schedule's last runs took longer than its runs usually do.",
        "QUARANTINED": "A schedule could not be planned, and does not fire.",
        "NO_NEXT_RUN": "A schedule is active and has no next instant: it would never fire again.",
        "TICKER_SILENT": "No worker has ticked for 10 seconds: nothing fires.",
        "NO_WORKER": "No worker is online: nothing fires and nothing runs.",
        "CLOCK_SKEW": "The clock of a machine differs from PostgreSQL's by more than a second.",
        "LEASES_NOT_SWEPT": "Runs of lost workers are not taken up again.",
        "OWNER_POWERLESS": "Whom it acts as may not trigger it any more: its runs are refused.",
    },
    words.Adjustment: {
        "GAP_MOVED": "Its local time does not exist: moved.",
        "GAP_SKIPPED": "Its local time does not exist: skipped.",
        "FOLD_FIRST": "Its local time comes twice: the first pass.",
        "FOLD_SECOND": "Its local time comes twice: the second pass.",
        "CALENDAR_MOVED": "Moved by a calendar.",
        "CALENDAR_EXCLUDED": "Excluded by a calendar.",
        "JITTERED": "Delayed by jitter.",
    },
    words.LintCode: {
        "DAY_MATCH_ANY": "Both day fields are restricted, and either one is enough.",
        "DST_GAP": "Some instants fall into a gap of daylight saving.",
        "DST_FOLD": "Some instants fall into a fold of daylight saving.",
        "VERY_FREQUENT": "It fires very often.",
        "SHORT_MONTH": "Some months are too short for it.",
        "UNEVEN_STEP": "The step does not divide its range evenly.",
        "HERD_MINUTE": "It fires when many others do.",
        "LONGER_THAN_INTERVAL": "Its runs take longer than the time between them.",
    },
    words.OverlapPolicy: {
        "SKIP": "Skip the new run.",
        "ALLOW": "Run both.",
        "QUEUE_ONE": "Let one wait.",
        "QUEUE_ALL": "Let up to a thousand wait.",
        "CANCEL_RUNNING": "Cancel the one that runs.",
    },
    words.CatchUpPolicy: {
        "NONE": "Record them all as missed.",
        "LATEST": "Run the newest, record the others.",
        "ALL": "Run them, oldest first, up to a limit.",
    },
    words.ChainOn: {
        "SUCCEEDED": "After a success; after a failure the next run is recorded as SKIPPED.",
        "FAILED": "After a failure, a time-out or the loss of the worker.",
        "ANY": "After either. A run that was cancelled, skipped or missed starts nothing.",
    },
    words.ResumeChoice: {
        "SKIP": "Record them as missed.",
        "LATEST": "Run the newest.",
        "ALL": "Run them all, up to the schedule's catchUpLimit.",
        "DRIP": "Run them all, so many a minute.",
    },
    words.ScheduleState: {
        "ACTIVE": "It fires.",
        "PAUSED": "Somebody, or too many failures, stopped it.",
        "COMPLETED": "It has no further occurrence.",
        "EXPIRED": "Its window has ended.",
        "QUARANTINED": "It could not be planned.",
        "ARCHIVED": "It is no more.",
    },
    words.OccurrenceAction: {
        "SKIP": "Do not run it.",
        "MOVE": "Run it at another instant.",
        "ADD": "Run at an instant that is no occurrence.",
        "UNDO": "Forget what was decided about it.",
    },
    words.Outcome: {
        "RAN": "It became a run; see there how it ended.",
        "SKIPPED": "It was skipped, for the reason given.",
        "MISSED": "It was missed, for the reason given.",
        "WILL_RUN": "It will run, as long as nobody changes the schedule.",
        "WILL_SKIP": "It will not run, for the reason given.",
        "PAUSED": "It lies in a pause that is not over.",
        "NOT_AN_OCCURRENCE": "The schedule is not due at that instant; see the nearest ones.",
        "OUTSIDE_WINDOW": "It lies outside the schedule's window.",
        "BEFORE_CREATION": "The schedule did not exist.",
        "UNKNOWN": "There is no record: removed by retention, or not written yet.",
    },
    words.BackfillState: {
        "RUNNING": "It goes on.",
        "PAUSED": "Somebody stopped it for now.",
        "COMPLETED": "Each of its runs has ended.",
        "CANCELLED": "Somebody ended it.",
    },
    words.RunState: {
        "QUEUED": "It waits for its instant, or for a worker.",
        "RUNNING": "A worker executes it.",
        "SUCCEEDED": "It ended well.",
        "FAILED": "It ended badly, or was rejected.",
        "TIMED_OUT": "It took too long.",
        "CANCELLED": "Somebody, or something, cancelled it.",
        "LOST": "Its worker died and it may not be repeated.",
        "SKIPPED": "It was not run, for the reason given.",
        "MISSED": "Its instant passed and it was not run, for the reason given.",
    },
    words.RunCause: {
        "SCHEDULE": "Its schedule fired.",
        "CATCH_UP": "Its occurrence had been missed and was caught up.",
        "MANUAL": "Somebody triggered it.",
        "BACKFILL": "A backfill asked for it.",
        "RERUN": "Somebody ran another one again.",
        "CHAIN": "Another run ended.",
    },
    words.RunReason: {
        "PAUSED": "The schedule was paused.",
        "STOPPED": "The scheduler was stopped.",
        "OUTSIDE_WINDOW": "It lay outside the schedule's window.",
        "OVERRIDDEN": "Somebody skipped or moved this occurrence.",
        "ARCHIVED": "The schedule was archived.",
        "CIRCUIT_BREAKER": "The schedule fired implausibly often.",
        "DEPENDENCY": "The run before it in a chain failed.",
        "OVERLAP": "Another run of the schedule was busy.",
        "TOO_LATE": "It lay outside the catch-up window.",
        "COALESCED": "A newer missed occurrence ran instead.",
        "CATCH_UP_NONE": "The schedule catches nothing up.",
        "CALENDAR": "A calendar excluded it.",
        "SPACING": "It came too soon after the one before.",
        "LIMIT": "A limit was reached.",
        "QUARANTINED": "The schedule was, or the run is, quarantined.",
        "CANCEL_REQUESTED": "Somebody asked for it.",
        "REPLACED": "A newer run took its place.",
        "WORKER_LOST": "Its worker died.",
        "TIMEOUT": "It took too long.",
        "ERROR": "The job failed.",
        "REJECTED": "Our own rules refused it.",
    },
    words.WorkerState: {
        "ONLINE": "It works.",
        "DRAINING": "It finishes what it has and takes nothing new.",
        "LOST": "Nothing has been heard of it.",
        "STOPPED": "It has ended.",
    },
    words.SchedulerState: {
        "RUNNING": "Schedules fire and runs start.",
        "PAUSED": "Nothing fires; queued and manual runs still start.",
        "DRAINING": "Running work is finished, nothing new starts.",
        "STOPPED": "Nothing fires and nothing starts.",
    },
    words.SchedulerAction: {
        "START": "Fire and run again.",
        "PAUSE": "Fire nothing; queued and manual runs still start.",
        "STOP": "Fire and start nothing; what runs is finished.",
        "RESTART": "Start, and let every worker drain and replace itself.",
        "EMERGENCY_STOP": "Fire and start nothing, and cancel all that runs or is due.",
    },
    words.BulkAction: {
        "PAUSE": "Stop them from firing; takes a reason.",
        "RESUME": "Let them fire again; what they missed meanwhile is recorded and does not run.",
        "ARCHIVE": "End them for good.",
        "UPDATE": "Give them the `fields`.",
        "TRIGGER": "Run each of them once, now.",
    },
    words.RunBulkAction: {
        "CANCEL": "Cancel those that are queued or running.",
        "RERUN": "Run again those that are over.",
    },
    words.NotificationEvent: {
        "RUN_FAILED": "A run failed, timed out or was lost, after its last attempt.",
        "RUN_RECOVERED": "A run of a schedule succeeded whose run before it had failed.",
        "SCHEDULE_AUTO_PAUSED": "A schedule paused itself after failures in a row.",
        "SCHEDULE_QUARANTINED": "A schedule cannot be computed and was set aside.",
        "FINDING_OPENED": "A finding opened, or reached the severity that the rule asks for.",
        "FINDING_RESOLVED": "A finding is over.",
    },
    words.ChangeKind: {
        "CREATED": "It was created.",
        "UPDATED": "Its definition was changed.",
        "PAUSED": "It was paused.",
        "RESUMED": "It was resumed.",
        "COMPLETED": "It has no further occurrence.",
        "EXPIRED": "Its window has ended.",
        "QUARANTINED": "It could not be planned.",
        "ROLLED_BACK": "It went back to an earlier version.",
        "ARCHIVED": "It was archived.",
        "FIRED": "It fired.",
        "RUN_FINISHED": "One of its runs ended.",
        "OVERRIDDEN": "One of its occurrences was overridden.",
    },
    words.LogLevel: {
        "DEBUG": "For those who look for a fault.",
        "INFO": "What happened.",
        "WARNING": "What may need a look.",
        "ERROR": "What went wrong.",
    },
    ErrorCode: {
        "INVALID": "The input breaks a rule.",
        "NOT_FOUND": "There is no such thing, or it is not yours to see.",
        "ALREADY_EXISTS": "A name that must be unique is taken.",
        "VERSION_CONFLICT": "Somebody changed it since you read it.",
        "STATE_CONFLICT": "Not possible in the state it is in.",
        "IDEMPOTENCY_CONFLICT": "The key was used before, with other content.",
        "FORBIDDEN": "Your role does not allow it.",
        "LIMIT_EXCEEDED": "A bound was reached.",
        "DEPENDENCY_UNAVAILABLE": "Something this needs is away.",
    },
    TimingKind: {
        "CRON": "A cron expression, or a frequency.",
        "INTERVAL": "Every so much elapsed time.",
        "CALENDAR_INTERVAL": "Every so many days, weeks, months or years.",
        "ONCE": "A single instant.",
        "HOURLY": "The frequency HOURLY.",
        "DAILY": "The frequency DAILY.",
        "WEEKLY": "The frequency WEEKLY.",
        "MONTHLY": "The frequency MONTHLY.",
    },
    RunOrderField: {
        "SCHEDULED_FOR": "The nominal occurrence.",
        "CREATED_AT": "The order in which they came into being.",
        "STARTED_AT": "The start of the last attempt.",
        "FINISHED_AT": "The end.",
    },
    ScheduleOrderField: {
        "NAME": "The name.",
        "NEXT_RUN_AT": "The next instant.",
        "LAST_RUN_AT": "The end of the last run.",
        "CREATED_AT": "The order in which they came into being.",
        "FAILURE_COUNT": "How many runs failed.",
    },
    Direction: {
        "ASC": "Smallest, earliest, A first.",
        "DESC": "Largest, latest, Z first.",
    },
}


def _register(enumeration: type[Enum], descriptions: dict[str, str]) -> None:
    description = (enumeration.__doc__ or "").partition("\n")[0]
    described: Any = strawberry.enum(enumeration, description=description)
    for value in described.__strawberry_definition__.values:
        value.description = descriptions[value.name]


for _enumeration, _values in _DESCRIPTIONS.items():
    _register(_enumeration, _values)
