"""`tickwheel get`: list what there is, or watch it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect, zone_for
from app.client.errors import Misused
from app.client.finding import job_id, schedule_id
from app.client.output import (
    Format,
    Record,
    Zone,
    column_widths,
    note,
    row_line,
    say,
    structured,
    table_lines,
)
from app.client.resources import RESOURCES, Resource, Watched, resource_named
from app.client.server import Server

_PAGE = 100
# What a stream's filter has no word for.
_NOT_IN_A_STREAM = ("search", "severity", "resolved")
_UNFINISHED = ["QUEUED", "RUNNING"]
_FAILED = ["FAILED", "TIMED_OUT", "LOST"]
EXAMPLES = """Examples

`tickwheel get schedules --search "nightly rep" --tag team=billing`

`tickwheel get runs --active --watch` (what waits and what runs, live)

`tickwheel get runs --schedule nightly --state FAILED -o json`

`tickwheel get findings` (what is wrong, and since when)
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What narrows a list, as it was typed."""

    search: str | None
    state: list[str]
    tag: list[str]
    job: str | None
    schedule: str | None
    queue: list[str]
    severity: str | None
    active: bool
    failing: bool
    resolved: bool

    def given(self) -> list[str]:
        """Return the names of those that say something."""
        return [name for name in self.__slots__ if getattr(self, name)]


def get(
    resource: Annotated[
        str, typer.Argument(metavar="WHAT", help=f"One of {', '.join(RESOURCES)}.")
    ],
    *,
    search: Annotated[
        str | None, typer.Option(help="Beginnings of words in name, key, description and tags.")
    ] = None,
    state: Annotated[list[str] | None, typer.Option(help="In this state; may be repeated.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="With this tag; may be repeated.")
    ] = None,
    job: Annotated[str | None, typer.Option(metavar="KEY", help="Of this job.")] = None,
    schedule: Annotated[str | None, typer.Option(metavar="KEY", help="Of this schedule.")] = None,
    queue: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="In this queue; may be repeated.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(help="Findings at least this severe: INFO, WARNING, CRITICAL.")
    ] = None,
    active: Annotated[
        bool,
        typer.Option("--active", help="Runs that wait or run; schedules that fire."),
    ] = False,
    failing: Annotated[
        bool, typer.Option("--failing", help="Runs that failed; schedules whose last run did.")
    ] = False,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Also findings that are over.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and show each change as it happens.")
    ] = False,
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """List schedules, jobs, runs, workers, queues, findings and whatever else there is."""
    listed = resource_named(resource)
    filters = Filters(
        search,
        [each.upper() for each in state or []],
        tag or [],
        job,
        schedule,
        queue or [],
        severity and severity.upper(),
        active,
        failing,
        resolved,
    )
    unusable = [name for name in filters.given() if name not in listed.filters]
    if unusable:
        usable = ", ".join(f"--{name}" for name in sorted(listed.filters))
        raise Misused(
            f"{listed.name} cannot be filtered by --{unusable[0]}.",
            f"They take {usable}." if usable else "They take no filter.",
        )
    unwatched = [name for name in filters.given() if name in _NOT_IN_A_STREAM]
    if watch and unwatched:
        raise Misused(f"--{unwatched[0]} narrows a list, but no stream: leave out --watch.")
    server = connect(url, token, project)
    if watch:
        _watch(server, listed, _variables(server, listed, filters), output, tz)
    else:
        _list(server, listed, _variables(server, listed, filters), output, tz, limit)


def _list(
    server: Server,
    listed: Resource,
    variables: Record,
    output: Format,
    tz: str | None,
    limit: int,
) -> None:
    if listed.name == "upcoming":
        variables["limit"] = limit
    read = _read_pages if listed.is_paged else _read_whole
    data, records, more = read(server, listed, variables, limit)
    if output is not Format.TABLE:
        say(structured(records, output))
    elif records:
        titles = [column.title for column in listed.columns]
        for line in table_lines(titles, listed.rows(records, zone_for(tz, data))):
            say(line)
    else:
        note(f"No {listed.name}.")
    if more:
        note(f"There are more {listed.name} than {limit}: see them with --limit.")


def _read_pages(
    server: Server, listed: Resource, variables: Record, limit: int
) -> tuple[Record, list[Record], bool]:
    """Return the last answer, up to `limit` records, and whether there are more."""
    records: list[Record] = []
    after = None
    while True:
        page = {"first": min(limit - len(records), _PAGE), "after": after}
        data = server.ask(listed.file, listed.operation, **variables, **page)
        found = listed.found(data)
        records += found["nodes"]
        more, after = found["pageInfo"]["hasNextPage"], found["pageInfo"]["endCursor"]
        if not more or len(records) >= limit:
            return data, records, more


def _read_whole(
    server: Server, listed: Resource, variables: Record, limit: int
) -> tuple[Record, list[Record], bool]:
    """Return the same of a list that comes in one piece."""
    data = server.ask(listed.file, listed.operation, **variables)
    records = listed.found(data)
    return data, records[:limit], len(records) > limit


def _watch(
    server: Server, listed: Resource, variables: Record, output: Format, tz: str | None
) -> None:
    watched = listed.watched
    if watched is None:
        able = [each.name for each in RESOURCES.values() if each.watched is not None]
        raise Misused(f"{listed.name} cannot be watched.", f"You can watch {', '.join(able)}.")
    variables = {name: value for name, value in variables.items() if name == "filter"}
    messages = server.watch(watched.file, watched.operation, **variables)
    if output is not Format.TABLE:
        for message in messages:
            if message.get("__typename") != "Heartbeat":
                say(structured(message, output, compact=True))
        return
    zone = Zone.named(tz) if tz else zone_for(None, server.ask("viewer", "viewer"))
    _show_changes(listed, watched, messages, zone)


def _show_changes(
    listed: Resource, watched: Watched, messages: Iterable[Record], zone: Zone
) -> None:
    """Show the first message as a table, and below it a row for each change."""
    titles = [column.title for column in listed.columns]
    widths: list[int] = []
    shown: dict[str, list[str]] = {}
    for message in messages:
        records = watched.records(message)
        if not widths:
            rows = listed.rows(records, zone)
            # Room for what comes later: an instant takes 26 places.
            least = [26 if each.kind.__name__ == "instant" else 12 for each in listed.columns]
            widths = column_widths([titles, *rows], least)
            for line in table_lines(titles, rows, least=least):
                say(line)
        else:
            for record, cells in zip(records, listed.rows(records, zone), strict=True):
                if shown.get(_identity(record)) != cells:
                    say(row_line(cells, widths))
        shown |= {
            _identity(record): cells
            for record, cells in zip(records, listed.rows(records, zone), strict=True)
        }
        if message.get("__typename", "").endswith("Gone") and message["id"] in shown:
            note(f"{shown.pop(message['id'])[0]} is gone, or passes the filter no more.")


def _identity(record: Record) -> str:
    return str(record.get("id") or record.get("name"))


def _variables(server: Server, listed: Resource, filters: Filters) -> Record:
    """Return the variables that a list takes."""
    tags = [_tag(each) for each in filters.tag]
    match listed.name:
        case "schedules":
            states = [*filters.state, *(["ACTIVE"] if filters.active else [])]
            narrowed = _some(
                state=states,
                tags=tags,
                jobId=filters.job and job_id(server, filters.job),
                failing=filters.failing or None,
            )
            return _some(search=filters.search, filter=narrowed)
        case "runs":
            states = [
                *filters.state,
                *(_UNFINISHED if filters.active else []),
                *(_FAILED if filters.failing else []),
            ]
            narrowed = _some(
                state=states,
                tags=tags,
                queue=filters.queue,
                jobId=filters.job and job_id(server, filters.job),
                scheduleId=filters.schedule and schedule_id(server, filters.schedule),
            )
            return _some(filter=narrowed)
        case "jobs":
            return _some(search=filters.search, tags=tags)
        case "findings":
            everything = {"open": None} if filters.resolved else {"open": True}
            return {**everything, "minSeverity": filters.severity or "INFO"}
        case "backfills":
            return _some(scheduleId=filters.schedule and schedule_id(server, filters.schedule))
        case _:
            return {}


def _some(**values: Any) -> Record:
    """Return the values that say something."""
    return {name: value for name, value in values.items() if value}


def _tag(text: str) -> Record:
    key, separator, value = text.partition("=")
    if not separator:
        raise Misused(f"{text!r} is not a tag.", "Write it like --tag team=billing.")
    return {"key": key, "value": value}
