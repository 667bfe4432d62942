"""Options that commands share, and what they open."""

import os
from typing import Annotated

import typer

from app.client.address import find_address
from app.client.output import Format, Zone, note
from app.client.server import Record, Server

_ASKING = "Server"
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        rich_help_panel=_ASKING,
        help="Where the API is. [TICKWHEEL_URL; else what `tickwheel dev` runs here]",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        rich_help_panel=_ASKING,
        help="Who asks. Other users of this machine see options; better set TICKWHEEL_TOKEN.",
    ),
]
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        rich_help_panel=_ASKING,
        help="Which project, if the token opens several. [TICKWHEEL_PROJECT]",
    ),
]
Output = Annotated[
    Format, typer.Option("--output", "-o", help="A table to read, or all there is as data.")
]
TimeZone = Annotated[
    str | None,
    typer.Option("--tz", help="The zone in which instants are shown; else the one you chose."),
]


def connect(url: str | None, token: str | None, project: str | None) -> Server:
    """Return the server that options and environment name."""
    address = find_address(url=url, token=token, project=project, environ=os.environ)
    return Server(address, on_cut=note)


def zone_for(chosen: str | None, data: Record) -> Zone:
    """Return the zone that was asked for, or the one the viewer once chose."""
    return Zone.named(chosen or data["viewer"]["timezone"])
