"""The command itself; the checks are imported when it runs."""

import asyncio
import os
from typing import TYPE_CHECKING

import typer

from app.client.commands.options import Output, Project, Token, Url
from app.client.errors import EXIT_FAILED
from app.client.output import Format, coloured, plain, say, structured

if TYPE_CHECKING:
    from app.doctor.checks import Check

EXAMPLES = """Examples

`tickwheel doctor` (on a machine of the instance, with its settings: looks from the inside)

`TICKWHEEL_URL=https://tickwheel.example.org tickwheel doctor -o json` (from anywhere)
"""


def doctor(
    output: Output = Format.TABLE, url: Url = None, token: Token = None, project: Project = None
) -> None:
    """Look at settings, PostgreSQL, Redis, tables, clocks, workers and ticker: what to do?

    Ends with 1 if anything fails; a warning is none. It changes nothing.
    """
    from app.doctor.checks import Grade, examine

    async def look() -> "list[Check]":
        made = []
        async for check in examine(os.environ, url=url, token=token, project=project):
            made.append(check)
            if output is Format.TABLE:
                _say_check(check)
        return made

    checks = asyncio.run(look())
    if output is not Format.TABLE:
        say(structured([check.as_json() for check in checks], output))
    if any(check.grade is Grade.FAIL for check in checks):
        raise typer.Exit(EXIT_FAILED)


def _say_check(check: "Check") -> None:
    padding = " " * (4 - len(check.grade))
    say(f"{coloured(check.grade)}{padding}  {check.name.ljust(13)}  {plain(check.message)}")
    if check.do is not None:
        say(f"{' ' * 21}{plain(check.do)}")
