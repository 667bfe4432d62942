"""The client's commands, as one program that `tickwheel` takes in."""

import typer

from app.client.commands import describing, listing, logs, pausing, times, tokens, triggering

_SEE = "See and steer"
client = typer.Typer(rich_markup_mode="markdown")
client.command(rich_help_panel=_SEE, epilog=listing.EXAMPLES)(listing.get)
client.command(rich_help_panel=_SEE, epilog=describing.EXAMPLES)(describing.describe)
client.command(rich_help_panel=_SEE, epilog=triggering.EXAMPLES)(triggering.trigger)
client.command(rich_help_panel=_SEE, epilog=logs.EXAMPLES)(logs.logs)
client.command(rich_help_panel=_SEE, epilog=pausing.PAUSE_EXAMPLES)(pausing.pause)
client.command(rich_help_panel=_SEE, epilog=pausing.RESUME_EXAMPLES)(pausing.resume)
client.command("next", rich_help_panel=_SEE, epilog=times.NEXT_EXAMPLES)(times.next_)
client.command(rich_help_panel=_SEE, epilog=times.VALIDATE_EXAMPLES)(times.validate)
client.add_typer(tokens.tokens, name="token", rich_help_panel=_SEE)
