"""What `tickwheel get` lists: the document to send, the columns to show, the filters it takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.client.errors import Misused
from app.client.output import Record, Zone, plain

Kind = Callable[[Any, Zone], str]


def text(value: Any, _: Zone) -> str:
    """Any value, in one line."""
    return plain(value)


def instant(value: Any, zone: Zone) -> str:
    """An instant, in the zone that is asked for."""
    return zone.show(value)


def percent(value: Any, _: Zone) -> str:
    """A share of one."""
    return "" if value is None else f"{value:.1%}"


def words(value: Any, _: Zone) -> str:
    """A list of words."""
    return plain(", ".join(value))


def first_sentence(value: Any, _: Zone) -> str:
    """The beginning of a text."""
    return plain(str(value).strip().split("\n\n")[0])


def tags(value: Any, _: Zone) -> str:
    """Tags, as they are given."""
    return plain(", ".join(f"{tag['key']}={tag['value']}" for tag in value))


def timings(value: Any, _: Zone) -> str:
    """Timings in words."""
    return plain("; ".join(timing["description"] for timing in value))


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and the value below it: a path into the record, and how it is shown."""

    title: str
    path: str
    kind: Kind = text

    def cell(self, record: Record, zone: Zone) -> str:
        """Return the cell of one record; what is not there is empty."""
        value: Any = record
        for step in self.path.split("."):
            value = None if value is None else value.get(step)
        return "" if value is None else self.kind(value, zone)


@dataclass(frozen=True, slots=True)
class Watched:
    """The subscription that follows a list, and where records lie in its messages."""

    file: str
    operation: str
    many: str | None = None
    one: str | None = None

    def records(self, message: Record) -> list[Record]:
        """Return the records that a message holds; some hold none."""
        if self.many is None and self.one is None:
            return [message]
        if self.many in message:
            return list(message[self.many])
        return [message[self.one]] if self.one in message else []


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that can be listed."""

    name: str
    file: str
    operation: str
    columns: tuple[Column, ...]
    # The way to the records in the data; a connection is read page by page.
    path: tuple[str, ...] = ()
    is_paged: bool = False
    filters: frozenset[str] = frozenset()
    watched: Watched | None = None

    def found(self, data: Record) -> Any:
        """Return the list, or the connection, in an answer."""
        found: Any = data
        for step in self.path:
            found = found[step]
        return found

    def rows(self, records: Iterable[Record], zone: Zone) -> list[list[str]]:
        """Return the cells of each record."""
        return [[column.cell(record, zone) for column in self.columns] for record in records]


def columns(*given: tuple[str, str] | tuple[str, str, Kind]) -> tuple[Column, ...]:
    """Return columns of titles, paths and kinds."""
    return tuple(Column(*each) for each in given)


def _plain_list(name: str, operation: str, *given: Any, path: tuple[str, ...] = ()) -> Resource:
    return Resource(name, "lists", operation, columns(*given), path or (operation,))


RUN_COLUMNS = columns(
    ("ID", "id"),
    ("SCHEDULE", "schedule.key"),
    ("JOB", "job.key"),
    ("STATE", "state"),
    ("REASON", "reason"),
    ("CAUSE", "cause"),
    ("SCHEDULED FOR", "scheduledFor", instant),
    ("STARTED", "startedAt", instant),
    ("DURATION", "duration"),
    ("ATTEMPT", "attempt"),
    ("MESSAGE", "message"),
)

_RESOURCES = (
    Resource(
        "schedules",
        "schedules",
        "schedules",
        columns(
            ("KEY", "key"),
            ("STATE", "state"),
            ("WHEN", "timings", timings),
            ("ZONE", "timezone"),
            ("NEXT RUN", "nextRunAt", instant),
            ("LAST RUN", "lastRunAt", instant),
            ("RUNS", "runCount"),
            ("SUCCESS", "successRate", percent),
            ("JOB", "job.key"),
            ("TAGS", "tags", tags),
        ),
        ("schedules",),
        is_paged=True,
        filters=frozenset({"search", "state", "tag", "job", "active", "failing"}),
        watched=Watched("schedules", "scheduleChanged", "schedules", "schedule"),
    ),
    Resource(
        "jobs",
        "jobs",
        "jobs",
        columns(
            ("KEY", "key"),
            ("KIND", "kind"),
            ("QUEUE", "queue"),
            ("PRIORITY", "priority"),
            ("TIMEOUT", "timeout"),
            ("LIMIT", "concurrencyLimit"),
            ("UPDATED", "updatedAt", instant),
            ("TAGS", "tags", tags),
        ),
        ("jobs",),
        is_paged=True,
        filters=frozenset({"search", "tag"}),
    ),
    Resource(
        "runs",
        "runs",
        "runs",
        RUN_COLUMNS,
        ("runs",),
        is_paged=True,
        filters=frozenset({"state", "tag", "job", "schedule", "active", "failing", "queue"}),
        watched=Watched("runs", "runEvents", "runs", "run"),
    ),
    Resource(
        "workers",
        "scheduler",
        "scheduler",
        columns(
            ("ID", "id"),
            ("HOST", "host"),
            ("PID", "pid"),
            ("STATE", "state"),
            ("BUSY", "busy"),
            ("SLOTS", "slots"),
            ("QUEUES", "queues", words),
            ("STARTED", "startedAt", instant),
            ("VERSION", "version"),
        ),
        ("scheduler", "workers"),
        watched=Watched("scheduler", "schedulerStatus", "workers"),
    ),
    Resource(
        "queues",
        "scheduler",
        "scheduler",
        columns(
            ("NAME", "name"),
            ("PAUSED", "paused"),
            ("WAITING", "depth"),
            ("RUNNING", "running"),
            ("LIMIT", "limit"),
            ("OLDEST", "oldestAge"),
            ("PER MINUTE", "throughputPerMinute"),
        ),
        ("scheduler", "queues"),
        watched=Watched("scheduler", "schedulerStatus", "queues"),
    ),
    Resource(
        "findings",
        "findings",
        "healthFindings",
        columns(
            ("SEVERITY", "severity"),
            ("CODE", "code"),
            ("SCHEDULE", "schedule.key"),
            ("SINCE", "since", instant),
            ("RESOLVED", "resolvedAt", instant),
            ("MESSAGE", "message"),
            ("ID", "id"),
        ),
        ("healthFindings",),
        is_paged=True,
        filters=frozenset({"severity", "resolved"}),
        watched=Watched("findings", "healthFindingChanged"),
    ),
    Resource(
        "audit",
        "lists",
        "audit",
        columns(
            ("AT", "at", instant),
            ("WHO", "actor.name"),
            ("ACTION", "action"),
            ("SUBJECT", "subjectId"),
            ("SUMMARY", "summary"),
        ),
        ("audit",),
        is_paged=True,
    ),
    Resource(
        "upcoming",
        "lists",
        "upcomingOccurrences",
        columns(
            ("AT", "at", instant),
            ("LOCAL", "local"),
            ("OFFSET", "offset"),
            ("SCHEDULE", "schedule.key"),
            ("JOB", "schedule.job.key"),
            ("RUNS", "willRun"),
            ("NOTE", "note"),
        ),
        ("upcomingOccurrences", "occurrences"),
    ),
    Resource(
        "backfills",
        "lists",
        "backfills",
        columns(
            ("ID", "id"),
            ("SCHEDULE", "schedule.key"),
            ("STATE", "state"),
            ("FROM", "from", instant),
            ("UNTIL", "until", instant),
            ("DONE", "done"),
            ("FAILED", "failed"),
            ("TOTAL", "total"),
        ),
        ("backfills",),
        filters=frozenset({"schedule"}),
    ),
    _plain_list(
        "conflicts",
        "conflictReport",
        ("SEVERITY", "severity"),
        ("KIND", "kind"),
        ("AT", "at", instant),
        ("MESSAGE", "message"),
        ("SUGGESTION", "suggestion"),
        path=("conflictReport", "conflicts"),
    ),
    _plain_list(
        "calendars", "calendars", ("KEY", "key"), ("NAME", "name"), ("DATES", "dates", words)
    ),
    _plain_list(
        "chains", "chains", ("ID", "id"), ("JOB", "job.key"), ("ON", "on"), ("STARTS", "target.key")
    ),
    _plain_list(
        "templates", "templates", ("KEY", "key"), ("NAME", "name"), ("BUILT IN", "builtIn")
    ),
    _plain_list("secrets", "secrets", ("KEY", "key"), ("UPDATED", "updatedAt", instant)),
    _plain_list("endpoints", "endpoints", ("KEY", "key"), ("BASE URL", "baseUrl")),
    _plain_list(
        "rules",
        "notificationRules",
        ("KEY", "key"),
        ("EVENTS", "events", words),
        ("LAST DELIVERED", "lastDeliveredAt", instant),
        ("LAST ERROR", "lastError"),
    ),
    _plain_list(
        "tasks",
        "tasks",
        ("NAME", "name"),
        ("ISOLATION", "isolation"),
        ("DOC", "doc", first_sentence),
    ),
    _plain_list("projects", "projects", ("KEY", "key"), ("NAME", "name"), ("KEPT", "retention")),
    _plain_list(
        "tokens",
        "apiTokens",
        ("ID", "id"),
        ("NAME", "name"),
        ("ROLE", "role"),
        ("PREFIX", "prefix"),
        ("PROJECT", "project.key"),
        ("CREATED", "createdAt", instant),
        ("EXPIRES", "expiresAt", instant),
        ("LAST USED", "lastUsedAt", instant),
        ("REVOKED", "revokedAt", instant),
    ),
)
RESOURCES: Mapping[str, Resource] = {resource.name: resource for resource in _RESOURCES}


def resource_named(name: str) -> Resource:
    """Return a resource by its name, in the plural or the singular."""
    found = RESOURCES.get(name) or RESOURCES.get(f"{name}s")
    if found is None:
        raise Misused(f"There are no {name[:100]!r}.", f"There are {', '.join(RESOURCES)}.")
    return found
