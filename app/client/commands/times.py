"""`tickwheel next` and `tickwheel validate`: what a timing means, before anything is saved.

An expression is explained here, without a server, by the very rules that the server has. A whole
schedule is previewed by the server, which knows its job, its calendars and its neighbours.
"""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.client.commands.describing import read_instant, section
from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect, zone_for
from app.client.errors import Misused, Problem, Refused, refuse_if_any
from app.client.finding import job_id
from app.client.output import Format, Record, Zone, fields, note, plain, say, structured
from app.client.resources import columns, instant, words
from app.core.clock import utc_now

if TYPE_CHECKING:
    from app.core.errors import Invalid

NEXT_EXAMPLES = """Examples

`tickwheel next "30 2 * * *" --tz Europe/Berlin`

`tickwheel next "0 9 * * MON#1" -n 12 --from 2027-01-01T00:00Z -o json`
"""
VALIDATE_EXAMPLES = """Examples

`tickwheel validate "0 0 31 2 *"` (ends with 1: it never fires)

`tickwheel validate --file nightly.yaml` (asks the server, writes nothing)

A file holds what scheduleCreate takes: `job` (a key), `key` and `fields`, as YAML or JSON.
"""
_OCCURRENCES = columns(
    ("LOCAL", "local"), ("OFFSET", "offset"), ("UTC", "at", instant), ("RUNS", "willRun"),
    ("CLOCKS", "adjustments", words), ("NOTE", "note"),
)  # fmt: skip
_PREVIEW = columns(
    ("AT", "at", instant), ("LOCAL", "local"), ("OFFSET", "offset"), ("RUNS", "willRun"),
    ("CLOCKS", "adjustments", words), ("NOTE", "note"),
)  # fmt: skip
Expression = Annotated[str, typer.Argument(metavar="CRON", help="5 or 6 fields, or @daily.")]
Zoned = Annotated[str, typer.Option("--tz", help="The zone of its local times.")]


def next_(
    expression: Expression,
    tz: Zoned = "UTC",
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many.")] = 5,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Later than this; now.")
    ] = None,
    key: Annotated[
        str, typer.Option(metavar="KEY", help="The schedule's key, which decides what H is.")
    ] = "",
    output: Output = Format.TABLE,
) -> None:
    """Say what a cron expression means and when it is due next. Needs no server."""
    after = utc_now() if from_ is None else read_instant(from_)
    explained = _explain(expression, tz, after, count, key)
    if output is not Format.TABLE:
        say(structured(explained, output))
        return
    pairs = [("Means", explained["summary"]), ("Zone", tz)]
    if explained["normalized"] != expression:
        pairs.insert(1, ("Plainly", explained["normalized"]))
    for line in fields(pairs):
        say(line)
    for line in section("Due", _OCCURRENCES, explained["next"], Zone.named("UTC")):
        say(line)
    _warn(explained["warnings"])


def validate(
    expression: Annotated[
        str | None, typer.Argument(metavar="CRON", help="A cron expression.")
    ] = None,
    *,
    file: Annotated[
        str | None,
        typer.Option("--file", "-f", metavar="FILE", help="A schedule; - is standard input."),
    ] = None,
    tz: TimeZone = None,
    output: Output = Format.TABLE,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Check an expression, or a whole schedule, as it would be checked when saved.

    Ends with 0 if it could be saved, with 1 if not; what may surprise is a warning.
    """
    if (expression is None) == (file is None):
        raise Misused("Give an expression, or a --file.")
    if expression is not None:
        explained = _explain(expression, tz or "UTC", utc_now(), 1, "")
        _say_valid(explained["summary"], explained, output)
        return
    server = connect(url, token, project)
    definition = _definition(file or "")
    variables: Record = {"fields": definition["fields"], "key": definition.get("key")}
    if definition.get("job"):
        variables["jobId"] = job_id(server, definition["job"])
    data = server.ask("plans", "preview", **variables)
    preview = data["schedulePreview"]
    refuse_if_any(preview["errors"])
    preview["warnings"] += [
        {"code": conflict["severity"], "message": conflict["message"]}
        for conflict in preview["conflicts"]
    ]
    if output is Format.TABLE:
        for line in section("Due", _PREVIEW, preview["occurrences"], zone_for(tz, data)):
            say(line)
    _say_valid("It could be saved", preview, output)


def _say_valid(said: str, explained: Record, output: Format) -> None:
    if output is not Format.TABLE:
        say(structured(explained, output))
        return
    say(f"valid: {said}.")
    _warn(explained["warnings"])


def _warn(warnings: list[Record]) -> None:
    for warning in warnings:
        note(f"warning: {warning['code']}: {plain(warning['message'])}")


def _explain(expression: str, timezone: str, after: datetime, count: int, key: str) -> Record:
    """Return what the API's `cronExplain` would; raise `Refused` for what is not valid."""
    from app.services.explaining import CronQuestion, explain

    question = CronQuestion(expression, timezone, after, count, hash_key=key)
    explained = explain(question)
    if explained.meaning is None:
        raise Refused(*(_problem(error) for error in explained.errors))
    return {
        "valid": True,
        "normalized": explained.meaning.normalized,
        "summary": explained.meaning.summary,
        "next": [
            {
                "at": occurrence.at.isoformat(),
                "local": occurrence.local.isoformat(),
                "offset": occurrence.offset,
                "willRun": occurrence.will_run,
                "adjustments": [str(each) for each in occurrence.adjustments],
                "note": occurrence.note,
            }
            for occurrence in explained.upcoming
        ],
        "warnings": [
            {"code": str(lint.code), "message": lint.message} for lint in explained.meaning.lints
        ],
    }


def _problem(error: "Invalid") -> Problem:
    column = "" if error.column is None else f" (column {error.column})"
    return Problem(error.code, f"{error.message}{column}", error.path, error.hint)


def _definition(file: str) -> Record:
    """Read what scheduleCreate takes; raise `Misused` for a file that is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read: {error}.") from error
    import yaml

    try:
        # YAML holds all of JSON, but for what neither people nor programs write.
        value = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise Misused(f"{file} is neither JSON nor YAML: {error}") from error
    if not isinstance(value, dict) or not isinstance(value.get("fields"), dict):
        raise Misused(f"{file} is not a schedule: it has no `fields`.")
    return value
