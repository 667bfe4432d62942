"""`tickwheel pause` and `tickwheel resume`."""

from enum import StrEnum
from typing import Annotated

import typer

from app.client.commands.describing import read_instant
from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect, zone_for
from app.client.errors import Misused
from app.client.finding import schedule_id
from app.client.output import Format, Record, Zone, say, structured, table_lines

PAUSE_EXAMPLES = """Examples

`tickwheel pause nightly --reason "The ledger moves"`

`tickwheel pause nightly --reason "Holidays" --until 2027-01-04T06:00+01:00`
"""
RESUME_EXAMPLES = """Examples

`tickwheel resume nightly --plan` (what each choice would run; changes nothing)

`tickwheel resume nightly --missed LATEST`

`tickwheel resume nightly --missed DRIP --per-minute 6`
"""
_CHOICES = {
    "SKIP": "record what was missed, run none of it",
    "LATEST": "run the newest",
    "ALL": "run all, up to the schedule's limit",
    "DRIP": "run those, so many a minute",
}


class Missed(StrEnum):
    """What becomes of the occurrences in between."""

    SKIP = "SKIP"
    LATEST = "LATEST"
    ALL = "ALL"
    DRIP = "DRIP"


Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="Its key or id.")]


def pause(
    schedule: Schedule,
    *,
    reason: Annotated[str, typer.Option(help="Why; others will ask.")],
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Resume by itself then.")
    ] = None,
    resume_with: Annotated[
        Missed,
        typer.Option("--then", case_sensitive=False, help="What --until does with missed ones."),
    ] = Missed.SKIP,
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Stop a schedule from firing, with a reason. Runs already queued still run."""
    end = None if until is None else read_instant(until).isoformat()
    server = connect(url, token, project)
    asked = {
        "id": schedule_id(server, schedule),
        "reason": reason,
        "until": end,
        "resumeWith": resume_with,
    }
    paused = server.change("changes", "schedulePause", input=asked)["schedule"]
    if output is not Format.TABLE:
        say(structured(paused, output))
        return
    until_when = ""
    if paused["pausedUntil"]:
        zone = zone_for(tz, server.ask("viewer", "viewer"))
        until_when = f" until {zone.show(paused['pausedUntil'])}"
    say(f"{paused['key']} is paused{until_when}.")


def resume(
    schedule: Schedule,
    *,
    missed: Annotated[
        Missed | None,
        typer.Option(
            case_sensitive=False,
            help="What becomes of what was due meanwhile: "
            + "; ".join(f"{choice}: {words}" for choice, words in _CHOICES.items())
            + ". Without it: SKIP.",
        ),
    ] = None,
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="With DRIP: how many start in a minute.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what each choice would do.")
    ] = False,
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Let a paused schedule fire again, and say what becomes of what it missed."""
    if per_minute is not None and missed is not Missed.DRIP:
        raise Misused("--per-minute goes with --missed DRIP.")
    server = connect(url, token, project)
    found = schedule_id(server, schedule)
    if plan:
        data = server.ask("plans", "resumePlans", id=found)
        plans = {choice: data[choice] for choice in _CHOICES}
        _show_plans(plans, output, zone_for(tz, data))
        return
    asked = {"id": found, "missed": missed or Missed.SKIP, "dripPerMinute": per_minute}
    resumed = server.change("changes", "scheduleResume", input=asked)["schedule"]
    if output is not Format.TABLE:
        say(structured(resumed, output))
        return
    zone = Zone.named(tz or resumed["timezone"])
    say(f"{resumed['key']} fires again, next at {zone.show(resumed['nextRunAt'])}.")


def _show_plans(plans: Record, output: Format, zone: Zone) -> None:
    if output is not Format.TABLE:
        say(structured(plans, output))
        return
    plan = plans["SKIP"]
    if not plan["missed"]:
        say("Nothing was missed.")
        return
    least = "" if plan["exact"] else "at least "
    say(f"Missed: {least}{plan['missed']}, {zone.show(plan['from'])} to {zone.show(plan['until'])}")
    rows = []
    for choice, words in _CHOICES.items():
        runs = [zone.show(each["at"]) for each in plans[choice]["wouldRun"]]
        first, last = (runs[0], runs[-1]) if runs else ("", "")
        rows.append([choice, str(len(runs)), first, last, words])
    for line in table_lines(["MISSED", "RUNS", "FIRST", "LAST", "DOES"], rows):
        say(line)
