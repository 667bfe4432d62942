"""`tickwheel token`: make, list and take back tokens."""

from enum import StrEnum
from typing import Annotated

import typer

from app.client.commands.describing import read_instant
from app.client.commands.listing import get
from app.client.commands.options import Output, Project, TimeZone, Token, Url, connect
from app.client.output import Format, note, plain, say, structured

CREATE_EXAMPLES = """Examples

`tickwheel token create reporting --role VIEWER --expires 2028-01-01T00:00Z > token`

`export TICKWHEEL_TOKEN=$(tickwheel token create deploy --role EDITOR)`
"""


class Role(StrEnum):
    """What it may do; each role includes the ones before it."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    EDITOR = "EDITOR"
    ADMIN = "ADMIN"


tokens = typer.Typer(help="Tokens of the project: make, list, take back.", no_args_is_help=True)


@tokens.command(epilog=CREATE_EXAMPLES)
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    *,
    role: Annotated[Role, typer.Option(case_sensitive=False, help="What it may do.")],
    expires: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Until when; without it for ever.")
    ] = None,
    instance: Annotated[
        bool, typer.Option("--instance", help="For the whole instance; the role is ADMIN.")
    ] = False,
    output: Output = Format.TABLE,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Make a token and print it, this once: nobody can show it again. Takes the role ADMIN."""
    asked = {
        "name": name,
        "role": role,
        "expiresAt": None if expires is None else read_instant(expires).isoformat(),
        "instance": instance,
    }
    payload = connect(url, token, project).change("changes", "apiTokenCreate", input=asked)
    made = payload["token"]
    if output is not Format.TABLE:
        say(structured({**made, "secret": payload["secret"]}, output))
        return
    where = "the instance" if made["project"] is None else f"project {made['project']['key']}"
    note(f"{made['id']} ({plain(made['name'])}): {made['role']} of {where}. Keep what follows:")
    say(payload["secret"])


@tokens.command("list")
def list_(
    output: Output = Format.TABLE,
    tz: TimeZone = None,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """List the tokens, the newest first, with their last use. Takes the role ADMIN."""
    get("tokens", output=output, tz=tz, url=url, token=token, project=project)


@tokens.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `tickwheel token list` shows it.")],
    output: Output = Format.TABLE,
    url: Url = None,
    token: Token = None,
    project: Project = None,
) -> None:
    """Take a token back, for good: it is refused from the next request on."""
    payload = connect(url, token, project).change("changes", "apiTokenRevoke", id=id_)
    revoked = payload["token"]
    if output is not Format.TABLE:
        say(structured(revoked, output))
        return
    say(f"{revoked['id']} ({plain(revoked['name'])}) is revoked.")
