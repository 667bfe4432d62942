"""`tickwheel logs`: what a run wrote, and what it is writing."""

import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect, zone_for
from app.client.errors import Misused, Problem, Refused
from app.client.finding import key_or_id, missing
from app.client.output import Format, Record, Zone, note, plain, say, structured
from app.client.server import Server

_PAGE = 1000
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
EXAMPLES = """Examples

`tickwheel logs run_0193…`

`tickwheel logs --schedule nightly --follow` (the run under way, or else the last one)

`tickwheel logs -f run_0193… --tail 100 --level WARNING --timestamps`
"""


class Level(StrEnum):
    """How grave a line is."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def logs(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="The id of a run.")] = None,
    *,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The newest run of this schedule that has begun."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    tail: Annotated[
        int | None, typer.Option(min=0, max=1000, help="Only the last so many lines; --follow.")
    ] = None,
    level: Annotated[
        Level | None, typer.Option(case_sensitive=False, help="Lines at least this grave.")
    ] = None,
    timestamps: Annotated[
        bool, typer.Option("--timestamps", help="When each was written.")
    ] = False,
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Print the log of a run; with --follow live, also across a connection that is cut."""
    if (run is None) == (schedule is None):
        raise Misused("Name a run, or a --schedule.", "`tickwheel get runs` lists runs.")
    if tail is not None and not follow:
        raise Misused("--tail goes with --follow.", "Without it, pipe to the program tail.")
    server = connect(url, token, project)
    run_id = run if run is not None else _newest_run(server, schedule or "")
    writer = LogWriter(output, zone_for(tz, server.ask("viewer", "viewer")) if timestamps else None)
    if follow:
        follow_log(server, run_id, writer, tail=tail, level=level)
    else:
        _print_log(server, run_id, writer, level)


class LogWriter:
    """Writes down lines. Of escape sequences only colours reach a terminal."""

    def __init__(self, output: Format, zone: Zone | None) -> None:
        self._output = output
        self._zone = zone
        self._to_terminal = sys.stdout.isatty()

    def write(self, line: Record) -> None:
        """Write one line."""
        if self._output is not Format.TABLE:
            say(structured(line, self._output, compact=True))
            return
        at = "" if self._zone is None else f"{self._zone.show(line['at'])} "
        text = self._for_terminal(line["text"]) if self._to_terminal else line["text"]
        say(at + text)

    def dropped(self, lines: int) -> None:
        """Say that lines are missing here."""
        if lines and self._output is Format.TABLE:
            note(f"… {lines} lines were not kept")

    def _for_terminal(self, text: str) -> str:
        kept = _COLOURS.findall(text)
        parts = [plain(part) for part in _COLOURS.split(text)]
        if not kept:
            return parts[0]
        coloured = "".join(part + colour for part, colour in zip(parts, [*kept, ""], strict=True))
        return coloured + "\x1b[0m"


def follow_log(
    server: Server,
    run_id: str,
    writer: LogWriter,
    *,
    tail: int | None = None,
    level: Level | None = None,
) -> None:
    """Write each line until the run has ended."""
    variables = {"runId": run_id, "tail": tail, "minLevel": level}
    for message in server.watch("log", "runLog", **variables):
        if message["__typename"] == "LogChunk":
            for line in message["lines"]:
                writer.write(line)
            writer.dropped(message["dropped"])
        elif message["__typename"] == "StreamReset":
            note(f"The log begins anew: {message['reason']}")


def _print_log(server: Server, run_id: str, writer: LogWriter, level: Level | None) -> None:
    after = None
    more = True
    while more:
        variables = {"id": run_id, "first": _PAGE, "after": after, "minLevel": level}
        run = server.ask("log", "log", **variables)["run"]
        if run is None:
            raise missing("run", run_id)
        page = run["log"]
        for line in page["nodes"]:
            writer.write(line)
        more, after = page["pageInfo"]["hasNextPage"], page["pageInfo"]["endCursor"]
    writer.dropped(page["dropped"])


def _newest_run(server: Server, named: str) -> str:
    schedule = server.ask("named", "lastRun", **key_or_id("schedule", named))["schedule"]
    if schedule is None:
        raise missing("schedule", named)
    under_way = schedule["runs"]["nodes"]
    newest = under_way[0] if under_way else schedule["lastRun"]
    if newest is None:
        raise Refused(Problem("NOT_FOUND", f"Nothing of {schedule['key']} has run yet."))
    return str(newest["id"])
