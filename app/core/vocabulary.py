"""The closed lists of words: states, reasons and policies.

The same words stand in the tables, in Python and in GraphQL; each list is an enumeration whose
value is its name.
"""

from enum import StrEnum


class Role(StrEnum):
    """What a token may do in its project; each role includes the ones before it."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


class ActorKind(StrEnum):
    """Who did something."""

    TOKEN = "TOKEN"  # noqa: S105 - a kind of actor
    USER = "USER"
    SYSTEM = "SYSTEM"


class JobKind(StrEnum):
    """How a job is executed."""

    HTTP = "HTTP"
    COMMAND = "COMMAND"
    PYTHON = "PYTHON"


class Backoff(StrEnum):
    """How the delay between attempts grows."""

    FIXED = "FIXED"
    LINEAR = "LINEAR"
    EXPONENTIAL = "EXPONENTIAL"


class OnWorkerLost(StrEnum):
    """What becomes of a run whose worker died: at-least-once or at-most-once."""

    RETRY = "RETRY"
    FAIL = "FAIL"


class FailureReason(StrEnum):
    """Why an attempt failed."""

    ERROR = "ERROR"
    TIMEOUT = "TIMEOUT"
    WORKER_LOST = "WORKER_LOST"
    REJECTED = "REJECTED"


class Frequency(StrEnum):
    """Sugar for four everyday cron expressions."""

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class DayMatch(StrEnum):
    """Whether a day must match either restricted day field (Vixie) or both."""

    ANY = "ANY"
    ALL = "ALL"


class TimeMode(StrEnum):
    """Whether a cron timing follows elapsed time or the wall clock through clock changes."""

    AUTO = "AUTO"
    WALL_CLOCK = "WALL_CLOCK"
    ELAPSED = "ELAPSED"


class CalendarUnit(StrEnum):
    """The unit of a calendar interval."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    YEAR = "YEAR"


class DstGapPolicy(StrEnum):
    """What a wall-clock timing does with a local time that does not exist."""

    RUN_AT_GAP_END = "RUN_AT_GAP_END"
    SHIFT = "SHIFT"
    SKIP = "SKIP"


class DstFoldPolicy(StrEnum):
    """Which pass of a repeated local time a wall-clock timing uses."""

    FIRST = "FIRST"
    LAST = "LAST"
    BOTH = "BOTH"


class CalendarMode(StrEnum):
    """What an excluded occurrence becomes."""

    EXCLUDE = "EXCLUDE"
    MOVE_PREVIOUS = "MOVE_PREVIOUS"
    MOVE_NEXT = "MOVE_NEXT"


class Adjustment(StrEnum):
    """Why an occurrence is not simply at its nominal local time."""

    GAP_MOVED = "GAP_MOVED"
    GAP_SKIPPED = "GAP_SKIPPED"
    FOLD_FIRST = "FOLD_FIRST"
    FOLD_SECOND = "FOLD_SECOND"
    CALENDAR_MOVED = "CALENDAR_MOVED"
    CALENDAR_EXCLUDED = "CALENDAR_EXCLUDED"
    JITTERED = "JITTERED"


class LintCode(StrEnum):
    """A warning about a timing that is legal but may surprise."""

    DAY_MATCH_ANY = "DAY_MATCH_ANY"
    DST_GAP = "DST_GAP"
    DST_FOLD = "DST_FOLD"
    VERY_FREQUENT = "VERY_FREQUENT"
    SHORT_MONTH = "SHORT_MONTH"
    UNEVEN_STEP = "UNEVEN_STEP"
    HERD_MINUTE = "HERD_MINUTE"
    LONGER_THAN_INTERVAL = "LONGER_THAN_INTERVAL"


class ConflictKind(StrEnum):
    """In which way schedules get into each other's way."""

    DUPLICATE = "DUPLICATE"
    OVERLAP_WITH_SELF = "OVERLAP_WITH_SELF"
    SAME_JOB_SAME_INSTANT = "SAME_JOB_SAME_INSTANT"
    QUEUE_SATURATION = "QUEUE_SATURATION"
    HERD = "HERD"


class Severity(StrEnum):
    """How much something matters, the least first."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class FindingCode(StrEnum):
    """What can be wrong with the instance, or with one schedule."""

    HIGH_FAILURE_RATE = "HIGH_FAILURE_RATE"
    CONSECUTIVE_FAILURES = "CONSECUTIVE_FAILURES"
    OVERDUE = "OVERDUE"
    STALE = "STALE"
    SLOWER_THAN_USUAL = "SLOWER_THAN_USUAL"
    QUARANTINED = "QUARANTINED"
    NO_NEXT_RUN = "NO_NEXT_RUN"
    TICKER_SILENT = "TICKER_SILENT"
    NO_WORKER = "NO_WORKER"
    CLOCK_SKEW = "CLOCK_SKEW"
    LEASES_NOT_SWEPT = "LEASES_NOT_SWEPT"
    OWNER_POWERLESS = "OWNER_POWERLESS"


class FindingChange(StrEnum):
    """What became of a finding, in live messages and for whoever is to be told."""

    OPENED = "OPENED"
    CHANGED = "CHANGED"
    RESOLVED = "RESOLVED"
    ACKNOWLEDGED = "ACKNOWLEDGED"


class NotificationEvent(StrEnum):
    """What somebody may want to be told of."""

    RUN_FAILED = "RUN_FAILED"
    RUN_RECOVERED = "RUN_RECOVERED"
    SCHEDULE_AUTO_PAUSED = "SCHEDULE_AUTO_PAUSED"
    SCHEDULE_QUARANTINED = "SCHEDULE_QUARANTINED"
    FINDING_OPENED = "FINDING_OPENED"
    FINDING_RESOLVED = "FINDING_RESOLVED"


class MessageState(StrEnum):
    """Whether a message to a target has arrived."""

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"


class OverlapPolicy(StrEnum):
    """What happens when a run is due while another of its schedule is still busy."""

    SKIP = "SKIP"
    ALLOW = "ALLOW"
    QUEUE_ONE = "QUEUE_ONE"
    QUEUE_ALL = "QUEUE_ALL"
    CANCEL_RUNNING = "CANCEL_RUNNING"


class CatchUpPolicy(StrEnum):
    """Which of the occurrences missed during an outage still run."""

    NONE = "NONE"
    LATEST = "LATEST"
    ALL = "ALL"


class ResumeChoice(StrEnum):
    """What a resume does with the occurrences of the pause."""

    SKIP = "SKIP"
    LATEST = "LATEST"
    ALL = "ALL"
    DRIP = "DRIP"


class ScheduleState(StrEnum):
    """Whether a schedule fires, and if not, why."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    QUARANTINED = "QUARANTINED"
    ARCHIVED = "ARCHIVED"


class OccurrenceAction(StrEnum):
    """What somebody decides about a single occurrence."""

    SKIP = "SKIP"
    MOVE = "MOVE"
    ADD = "ADD"
    UNDO = "UNDO"


class Outcome(StrEnum):
    """What happened, or will happen, to a schedule at an instant."""

    RAN = "RAN"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"
    WILL_RUN = "WILL_RUN"
    WILL_SKIP = "WILL_SKIP"
    PAUSED = "PAUSED"
    NOT_AN_OCCURRENCE = "NOT_AN_OCCURRENCE"
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    BEFORE_CREATION = "BEFORE_CREATION"
    UNKNOWN = "UNKNOWN"


class BackfillState(StrEnum):
    """Whether a backfill goes on."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class RunState(StrEnum):
    """The life of a run; see `core/run_states.py` for the legal transitions."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    LOST = "LOST"
    SKIPPED = "SKIPPED"
    MISSED = "MISSED"


class RunCause(StrEnum):
    """What brought a run into being."""

    SCHEDULE = "SCHEDULE"
    CATCH_UP = "CATCH_UP"
    MANUAL = "MANUAL"
    BACKFILL = "BACKFILL"
    RERUN = "RERUN"
    CHAIN = "CHAIN"


class ChainOn(StrEnum):
    """After which end of a run a chain starts the next one."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    ANY = "ANY"


class RunReason(StrEnum):
    """Why a run was skipped, missed, cancelled or failed."""

    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
    OVERRIDDEN = "OVERRIDDEN"
    ARCHIVED = "ARCHIVED"
    CIRCUIT_BREAKER = "CIRCUIT_BREAKER"
    DEPENDENCY = "DEPENDENCY"
    OVERLAP = "OVERLAP"
    TOO_LATE = "TOO_LATE"
    COALESCED = "COALESCED"
    CATCH_UP_NONE = "CATCH_UP_NONE"
    CALENDAR = "CALENDAR"
    SPACING = "SPACING"
    LIMIT = "LIMIT"
    QUARANTINED = "QUARANTINED"
    CANCEL_REQUESTED = "CANCEL_REQUESTED"
    REPLACED = "REPLACED"
    WORKER_LOST = "WORKER_LOST"
    TIMEOUT = "TIMEOUT"
    ERROR = "ERROR"
    REJECTED = "REJECTED"


class WorkerState(StrEnum):
    """The state of a worker process."""

    ONLINE = "ONLINE"
    DRAINING = "DRAINING"
    LOST = "LOST"
    STOPPED = "STOPPED"


class SchedulerState(StrEnum):
    """The state of the whole instance."""

    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    DRAINING = "DRAINING"
    STOPPED = "STOPPED"


class SchedulerAction(StrEnum):
    """What may be done to the whole instance."""

    START = "START"
    PAUSE = "PAUSE"
    STOP = "STOP"
    RESTART = "RESTART"
    EMERGENCY_STOP = "EMERGENCY_STOP"


class WorkerRequest(StrEnum):
    """What a worker is asked to do, and reads with its next heartbeat."""

    DRAIN = "DRAIN"
    RESTART = "RESTART"


class BulkAction(StrEnum):
    """What may be done to many schedules at once."""

    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ARCHIVE = "ARCHIVE"
    UPDATE = "UPDATE"
    TRIGGER = "TRIGGER"


class RunBulkAction(StrEnum):
    """What may be done to many runs at once."""

    CANCEL = "CANCEL"
    RERUN = "RERUN"


class ChangeKind(StrEnum):
    """What changed about a schedule, in versions and in live messages."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    PAUSED = "PAUSED"
    RESUMED = "RESUMED"
    COMPLETED = "COMPLETED"
    EXPIRED = "EXPIRED"
    QUARANTINED = "QUARANTINED"
    ROLLED_BACK = "ROLLED_BACK"
    ARCHIVED = "ARCHIVED"
    FIRED = "FIRED"
    RUN_FINISHED = "RUN_FINISHED"
    OVERRIDDEN = "OVERRIDDEN"


class LogLevel(StrEnum):
    """The level of a line of a run's log."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
