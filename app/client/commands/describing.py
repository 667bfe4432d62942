"""`tickwheel describe`: all about one schedule, job or run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect, zone_for
from app.client.errors import Misused
from app.client.finding import key_or_id, missing
from app.client.output import (
    Format,
    Record,
    Zone,
    bold,
    fields,
    plain,
    say,
    structured,
    table_lines,
)
from app.client.resources import RUN_COLUMNS, Column, columns, instant, tags, timings
from app.core.clock import utc_now

_RUN_LINE = tuple(
    column for column in RUN_COLUMNS if column.title not in ("SCHEDULE", "JOB", "ATTEMPT")
)
_OCCURRENCES = columns(
    ("AT", "at", instant), ("LOCAL", "local"), ("OFFSET", "offset"), ("RUNS", "willRun"),
    ("NOTE", "note"),
)  # fmt: skip
_ATTEMPTS = columns(
    ("NUMBER", "number"), ("STATE", "state"), ("STARTED", "startedAt", instant),
    ("DURATION", "duration"), ("EXIT", "exitCode"), ("HTTP", "httpStatus"),
    ("ERROR", "error.message"),
)  # fmt: skip
_SCHEDULES = columns(
    ("KEY", "key"), ("STATE", "state"), ("WHEN", "timings", timings),
    ("NEXT RUN", "nextRunAt", instant),
)  # fmt: skip
EXAMPLES = """Examples

`tickwheel describe schedule nightly`

`tickwheel describe schedule nightly --at 2027-03-28T02:30+01:00` (why did it not run?)

`tickwheel describe run run_0193… -o yaml`
"""


class Described(StrEnum):
    """What can be described."""

    SCHEDULE = "schedule"
    JOB = "job"
    RUN = "run"


def describe(
    what: Annotated[Described, typer.Argument(help="What it is.")],
    named: Annotated[str, typer.Argument(metavar="KEY", help="Its key or id; of a run the id.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT",
            help="Also say what happened, or will happen, to a schedule then, and why: "
            "2027-03-28T02:30+01:00.",
        ),
    ] = None,
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Show one schedule, job or run: when, how it goes, what it did last, why it did not run."""
    if at is not None and what is not Described.SCHEDULE:
        raise Misused("--at asks about a schedule.")
    server = connect(url, token, project)
    variables = {"id": named} if what is Described.RUN else key_or_id(what, named)
    if what is Described.SCHEDULE:
        moment = utc_now() if at is None else read_instant(at)
        variables |= {"at": moment.isoformat(), "explain": at is not None}  # type: ignore[dict-item] # one of them is a bool
    data = server.ask("describe", what.value, **variables)
    record = data[what.value]
    if record is None:
        raise missing(what, named)
    if what is Described.SCHEDULE:
        record["findings"] = [
            finding
            for finding in data["healthFindings"]["nodes"]
            if (finding["schedule"] or {}).get("id") == record["id"]
        ]
    if output is not Format.TABLE:
        say(structured(record, output))
        return
    for line in _WRITERS[what](record, zone_for(tz, data)):
        say(line)


def read_instant(text: str) -> datetime:
    """Return an instant that was typed; raise `Misused` for one without an offset."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Misused(
            f"{text[:100]!r} is not an instant.",
            "Write it with its offset: 2027-03-28T02:30+01:00, or 2027-03-28T01:30Z.",
        )
    return moment


def _schedule_lines(schedule: Record, zone: Zone) -> list[str]:
    by = schedule["pausedBy"] or {"name": ""}
    paused = schedule["pausedAt"] and f"{zone.show(schedule['pausedAt'])} by {by['name']}"
    lines = fields(
        [
            ("Schedule", f"{schedule['key']} ({schedule['id']})"),
            ("Name", "" if schedule["name"] == schedule["key"] else plain(schedule["name"])),
            ("Description", plain(schedule["description"])),
            ("Job", f"{schedule['job']['key']} ({schedule['job']['kind']})"),
            ("State", schedule["state"]),
            ("Reason", plain(schedule["stateReason"])),
            ("Paused", plain(paused or None)),
            ("Until", zone.show(schedule["pausedUntil"])),
            ("When", _timings(schedule["timings"])),
            ("Zone", schedule["timezone"]),
            ("From", zone.show(schedule["startAt"])),
            ("To", zone.show(schedule["endAt"])),
            ("Calendars", ", ".join(each["key"] for each in schedule["calendars"])),
            ("Overlap", schedule["overlap"]),
            ("Catch up", f"{schedule['catchUp']} within {schedule['catchUpWindow']}"),
            ("Next run", zone.show(schedule["nextRunAt"])),
            ("Parameters", plain(schedule["parameters"]) if schedule["parameters"] else ""),
            ("Tags", tags(schedule["tags"], zone)),
            ("Version", f"{schedule['version']}, of {zone.show(schedule['updatedAt'])}"),
            ("Error", plain((schedule["lastError"] or {}).get("message"))),
            ("Runs", _record_of_runs(schedule)),
            ("Lateness", _lateness(schedule["lateness"])),
            ("Health", _health(schedule, zone)),
        ]
    )
    lines += section("Next occurrences", _OCCURRENCES, schedule["upcoming"], zone)
    lines += section("Last runs", _RUN_LINE, schedule["runs"]["nodes"], zone)
    return lines + (_explanation(schedule["whyNot"], zone) if "whyNot" in schedule else [])


def _timings(given: Sequence[Mapping[str, Any]]) -> str:
    """Return the timings in words, cron expressions also as they are written."""
    described = [
        each["description"] + (f" ({each['expression']})" if "expression" in each else "")
        for each in given
    ]
    return plain("; ".join(described))


def _record_of_runs(schedule: Record) -> str:
    rate = schedule["successRate"]
    share = "" if rate is None else f" ({rate:.1%} well)"
    return (
        f"{schedule['runCount']}: {schedule['successCount']} succeeded, "
        f"{schedule['failureCount']} failed{share}; "
        f"{schedule['skipCount']} skipped, {schedule['missCount']} missed"
    )


def _lateness(lateness: Record | None) -> str:
    if lateness is None:
        return ""
    return f"p50 {lateness['p50']}, p99 {lateness['p99']} of the last {lateness['count']} starts"


def _health(schedule: Record, zone: Zone) -> str:
    found = [
        f"{each['severity']} {each['code']} since {zone.show(each['since'])}: {each['message']}"
        for each in schedule["findings"]
    ]
    if schedule["consecutiveFailures"]:
        found.append(f"{schedule['consecutiveFailures']} failures in a row")
    return plain("; ".join(found)) or "nothing is wrong"


def _explanation(explanation: Record, zone: Zone) -> list[str]:
    said = f"{explanation['outcome']}: {plain(explanation['message'])}"
    lines = ["", bold(f"At {zone.show(explanation['at'])}"), said]
    if explanation["run"] is not None:
        lines.append(f"`tickwheel describe run {explanation['run']['id']}` shows the record.")
    if explanation["nearest"]:
        lines += section("The nearest occurrences", _OCCURRENCES[:3], explanation["nearest"], zone)
    return lines


def _job_lines(job: Record, zone: Zone) -> list[str]:
    retry = job["retry"]
    lines = fields(
        [
            ("Job", f"{job['key']} ({job['id']})"),
            ("Name", "" if job["name"] == job["key"] else plain(job["name"])),
            ("Description", plain(job["description"])),
            ("Kind", job["kind"]),
            ("Config", plain(job["config"])),
            ("Parameters", plain(job["parameters"]) if job["parameters"] else ""),
            ("Queue", f"{job['queue']}, priority {job['priority']}"),
            ("Timeout", job["timeout"]),
            ("At once", plain(job["concurrencyLimit"])),
            (
                "Attempts",
                f"{retry['maxAttempts']}, {retry['backoff']} from {retry['initialDelay']} to "
                f"{retry['maxDelay']}"
                if retry["maxAttempts"] > 1
                else "1",
            ),
            ("If lost", job["onWorkerLost"]),
            ("Tags", tags(job["tags"], zone)),
            (
                "Starts",
                ", ".join(f"{each['target']['key']} ({each['on']})" for each in job["chains"]),
            ),
            ("Version", f"{job['version']}, of {zone.show(job['updatedAt'])}"),
            ("Archived", zone.show(job["archivedAt"])),
        ]
    )
    lines += section("Schedules", _SCHEDULES, job["schedules"]["nodes"], zone)
    return lines + section("Last runs", _RUN_LINE, job["runs"]["nodes"], zone)


def _run_lines(run: Record, zone: Zone) -> list[str]:
    worker = run["worker"]
    lines = fields(
        [
            ("Run", run["id"]),
            ("Job", run["job"]["key"]),
            ("Schedule", (run["schedule"] or {}).get("key", "")),
            ("State", run["state"]),
            ("Reason", plain(run["reason"])),
            ("Message", plain(run["message"])),
            ("Cause", run["cause"]),
            ("Asked by", (run["triggeredBy"] or {}).get("name", "")),
            ("Repeats", (run["rerunOf"] or {}).get("id", "")),
            ("Follows", (run["chainedFrom"] or {}).get("id", "")),
            ("Scheduled for", zone.show(run["scheduledFor"])),
            ("Until", zone.show(run["rangeEnd"])),
            ("Occurrences", plain(run["rangeCount"])),
            ("Due", zone.show(run["dueAt"])),
            ("Started", zone.show(run["startedAt"])),
            ("Lateness", plain(run["lateness"])),
            ("Finished", zone.show(run["finishedAt"])),
            ("Next attempt", zone.show(run["nextAttemptAt"])),
            ("Duration", plain(run["duration"])),
            ("Progress", _progress(run)),
            ("Worker", "" if worker is None else f"{worker['id']} ({worker['host']})"),
            ("Parameters", plain(run["parameters"]) if run["parameters"] else ""),
            ("Result", plain(run["result"])),
            ("Error", plain((run["error"] or {}).get("message"))),
            ("Detail", plain((run["error"] or {}).get("detail"))),
        ]
    )  # fmt: skip
    lines += section("Attempts", _ATTEMPTS, run["attempts"], zone)
    if run["log"]["nodes"]:
        lines += ["", bold(f"Log (its first lines; `tickwheel logs {run['id']}` shows all)")]
        lines += [plain(line["text"]) for line in run["log"]["nodes"]]
    return lines


def _progress(run: Record) -> str:
    fraction = run["progress"]
    return "" if fraction is None else f"{fraction:.0%} {plain(run['progressMessage'])}"


def section(
    title: str, shown: Sequence[Column], records: Sequence[Record], zone: Zone
) -> list[str]:
    """Return a table under a title; nothing where there is nothing to show."""
    if not records:
        return []
    rows = [[column.cell(record, zone) for column in shown] for record in records]
    kept = [index for index in range(len(shown)) if any(row[index] for row in rows)]
    titles = [shown[index].title for index in kept]
    return ["", bold(title), *table_lines(titles, [[row[index] for index in kept] for row in rows])]


_WRITERS: Mapping[Described, Callable[[Record, Zone], list[str]]] = {
    Described.SCHEDULE: _schedule_lines,
    Described.JOB: _job_lines,
    Described.RUN: _run_lines,
}
