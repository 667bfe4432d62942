"""`tickwheel trigger`: run something now, and wait for it if asked."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from app.client.commands.logs import LogWriter, follow_log
from app.client.commands.options import Output, Project, Token, Url, connect
from app.client.errors import EXIT_RUN_FAILED, Misused
from app.client.finding import job_id, schedule_id
from app.client.output import Format, Record, coloured, note, plain, say, structured
from app.client.server import Server

EXAMPLES = """Examples

`tickwheel trigger nightly`

`tickwheel trigger nightly -p day=2027-03-28 -p dry=true --wait` (ends with 3 if the run fails)

`tickwheel trigger --job import --parameters @day.json --idempotency-key order-4711 --follow`
"""


def trigger(
    schedule: Annotated[
        str | None, typer.Argument(metavar="SCHEDULE", help="The key or id of a schedule.")
    ] = None,
    *,
    job: Annotated[
        str | None, typer.Option(metavar="KEY", help="A job instead, without a schedule.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="One parameter; the value is JSON if it is some, else text. May be repeated.",
        ),
    ] = None,
    parameters: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="All of them: JSON, @FILE, or - for standard input."),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="Said twice, it still runs once.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also a schedule that is paused or over.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until the run has ended.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Until it has ended, printing its log.")
    ] = False,
    output: Output = Format.TABLE,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Run a schedule, or a job, now. Prints the id of the run.

    With --wait or --follow it ends with 0 if the run succeeded and with 3 if it did not.
    """
    if (schedule is None) == (job is None):
        raise Misused("Name a schedule, or a --job.", "`tickwheel get schedules` lists schedules.")
    if job is not None and force:
        raise Misused("--force is about schedules.")
    given = _parameters(parameter or [], parameters)
    server = connect(url, token, project)
    asked: Record = {"parameters": given, "idempotencyKey": idempotency_key}
    if schedule is not None:
        asked |= {"id": schedule_id(server, schedule), "force": force}
    else:
        asked["id"] = job_id(server, job or "")
    operation = "jobTrigger" if schedule is None else "scheduleTrigger"
    payload = server.change("changes", operation, input=asked)
    run = payload["run"]
    if payload["replayed"]:
        note("The same was asked for before: this is its run.")
    if follow:
        follow_log(server, run["id"], LogWriter(output, None))
    if wait or follow:
        run = _ended(server, run["id"])
    if output is not Format.TABLE:
        say(structured(run, output, compact=follow))
    elif wait or follow:
        _report(run)
    else:
        say(run["id"])
    if (wait or follow) and run["state"] != "SUCCEEDED":
        raise typer.Exit(EXIT_RUN_FAILED)


def _ended(server: Server, run_id: str) -> Record:
    """Return a run once it has ended."""
    for message in server.watch("runs", "runEvents", runId=run_id):
        runs = message.get("runs") or [message.get("run")]
        for run in runs:
            if run is not None and run["terminal"]:
                return dict(run)
    raise AssertionError("The stream of a run's events completes only with its reader.")


def _report(run: Record) -> None:
    error = (run["error"] or {}).get("message") or run["message"]
    took = f" after {run['duration']}" if run["duration"] else ""
    note(f"{run['id']} {coloured(run['state'])}{took}{f': {plain(error)}' if error else ''}")
    if run["result"] is not None:
        say(structured(run["result"], Format.JSON))


def _parameters(single: list[str], whole: str | None) -> Record | None:
    """Return the parameters that were given; None means those of the schedule or job alone."""
    if whole is None and not single:
        return None
    given = {} if whole is None else _read_object(whole)
    for each in single:
        name, separator, value = each.partition("=")
        if not separator or not name:
            raise Misused(f"{each!r} is not a parameter.", "Write it like -p day=2027-03-28.")
        given[name] = _value(value)
    return given


def _read_object(text: str) -> Record:
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"{text[1:]} cannot be read: {error}.") from error
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Misused(f"--parameters is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Misused("--parameters is not a JSON object.", """Write it like '{"day": 1}'.""")
    return value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
