"""The `tickwheel` command: starts any process, and says what is wrong when it cannot.

Entry points live here, so this is where settings are read and failures become exit codes: 2 for
settings that are wrong, 1 for anything else. Each command imports what it needs when it runs, so
that `--help` answers at once.
"""

import asyncio
import gc
import os
import signal
import sys
import zoneinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from app import __version__
from app.client.commands.program import client
from app.client.errors import ClientError
from app.client.output import plain
from app.core.errors import DependencyUnavailable, Forbidden, InvalidInput, TickwheelError
from app.doctor.command import EXAMPLES, doctor

if TYPE_CHECKING:
    from app.config import Settings


class Process(StrEnum):
    """What answers health checks."""

    API = "api"
    WORKER = "worker"


_EXIT_FAILED = 1
_EXIT_SETTINGS = 2
# Less than what a supervisor waits: open subscriptions are closed, not waited for.
_SHUTDOWN_SECONDS = 5

cli = typer.Typer(
    name="tickwheel",
    help="A self-hosted job scheduler that you talk to in GraphQL.\n\n"
    "To try it: `tickwheel dev`. To run it: `tickwheel migrate`, then any number of "
    "`tickwheel api` and `tickwheel worker`, on any number of machines.\n\n"
    "Settings are environment variables; `tickwheel settings` lists them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


audit_cli = typer.Typer(help="The record of who did what.", no_args_is_help=True)
cli.add_typer(audit_cli, name="audit")
secrets = typer.Typer(help="Make and rotate the keys that seal secrets.", no_args_is_help=True)
cli.add_typer(secrets, name="secrets")
cli.add_typer(client)
cli.command(epilog=EXAMPLES)(doctor)


@cli.command()
def dev() -> None:
    """Start everything here: PostgreSQL, Redis, API and worker. For development only.

    What is started keeps its data in TICKWHEEL_DATA_DIR (.tickwheel). Set TICKWHEEL_DATABASE_URL
    or TICKWHEEL_REDIS_URL to use a server of your own instead.
    """
    from app.config import load_settings
    from app.dev.development import develop
    from app.logs import configure_logs

    settings = load_settings(os.environ)
    configure_logs(settings, process="dev")
    asyncio.run(develop(settings, os.environ))


@cli.command()
def api() -> None:
    """Serve GraphQL over HTTP and WebSocket. Stateless: run as many as you like.

    Needs TICKWHEEL_DATABASE_URL and TICKWHEEL_REDIS_URL. Refuses an address that others can reach
    (TICKWHEEL_HOST) unless TICKWHEEL_ADMIN_TOKEN is set.
    """
    from app.config import load_settings
    from app.logs import configure_logs

    settings = load_settings(os.environ, required=("database_url", "redis_url"))
    configure_logs(settings, process="api")
    _serve(settings)


@cli.command()
def worker() -> None:
    """Fire schedules and execute runs. No leader: run as many as you like.

    Needs TICKWHEEL_DATABASE_URL and TICKWHEEL_REDIS_URL. SIGTERM stops claiming, lets running
    work finish and gives the rest back. When the instance is restarted (schedulerControl), it does
    the same and then becomes a new process with the same id, in place.
    """
    import uvloop

    from app.config import load_settings
    from app.logs import configure_logs
    from app.worker.main import run_worker

    settings = load_settings(os.environ, required=("database_url", "redis_url"))
    configure_logs(settings, process="worker")
    if uvloop.run(run_worker(settings)):
        _replace_process()


@cli.command()
def migrate() -> None:
    """Bring the tables to this version, and do nothing when they are. Safe to repeat."""
    from app.config import load_settings
    from app.store.migrate import upgrade

    settings = load_settings(os.environ, required=("database_url",))
    applied = asyncio.run(upgrade(settings.database_url))
    typer.echo(f"Applied: {', '.join(applied)}." if applied else "The tables are up to date.")


@cli.command()
def tick(
    once: Annotated[bool, typer.Option("--once", help="Fire what is due now, then end.")] = False,
) -> None:
    """Fire schedules from an operating-system cron or a Kubernetes CronJob: tick --once.

    Only turns due occurrences into runs; a worker executes them.
    """
    from app.config import load_settings
    from app.logs import configure_logs
    from app.worker.main import tick_once

    if not once:
        raise typer.BadParameter("A worker ticks by itself; for a single tick say --once.")
    settings = load_settings(os.environ, required=("database_url", "redis_url"))
    configure_logs(settings, process="tick")
    asyncio.run(tick_once(settings))


@secrets.command("generate-key")
def generate_key(
    key_id: Annotated[
        str, typer.Argument(help="A name for the key, stored beside what it seals: a date, say.")
    ],
) -> None:
    """Print a new key for TICKWHEEL_SECRET_KEYS_FILE or TICKWHEEL_SECRET_KEYS."""
    from app.sealing import new_key

    typer.echo(new_key(key_id))


@secrets.command()
def rotate() -> None:
    """Seal every stored secret with the first key, so that the other keys can be taken away.

    Safe to stop and to repeat. First give every process the new key, behind the old one; then put
    it first everywhere; then rotate; then take the old one away.
    """
    from app.config import load_settings
    from app.logs import configure_logs
    from app.runtime import open_runtime
    from app.services.secrets import rotate_secrets

    settings = load_settings(os.environ, required=("database_url", "redis_url"))
    configure_logs(settings, process="secrets")

    async def run() -> None:
        async with open_runtime(settings) as runtime:
            done = await rotate_secrets(runtime)
        typer.echo(f"Sealed anew: {done.resealed}. Every secret is sealed with {done.key_id!r}.")

    asyncio.run(run())


@cli.command()
def health(
    process: Annotated[Process, typer.Argument(help="Which process on this machine to ask.")],
) -> None:
    """Ask a running process whether it is ready; end with 0 if it is. For container checks."""
    from app.config import load_settings
    from app.listening import answers

    settings = load_settings(os.environ)
    address = {
        Process.API: (settings.host, settings.port),
        Process.WORKER: (settings.worker_host, settings.worker_port),
    }
    if not asyncio.run(answers(*address[process], "/readyz")):
        raise DependencyUnavailable(f"The {process} is not ready.")


@cli.command()
def login_link(
    url: Annotated[
        str | None,
        typer.Option(help="Where browsers reach the API; by default TICKWHEEL_HOST and _PORT."),
    ] = None,
) -> None:
    """Print a link that signs one browser in as the instance's administrator, once.

    It works for ten minutes, the session for twelve hours. Needs TICKWHEEL_DATABASE_URL.
    """
    from app.config import load_settings
    from app.services.browser_sessions import login_link as make_link

    settings = load_settings(os.environ, required=("database_url",))
    base = url or f"http://{settings.host}:{settings.port}"
    typer.echo(asyncio.run(make_link(settings.database_url, base)))


@audit_cli.command()
def verify(
    head: Annotated[
        str | None,
        typer.Option(
            help="A head that an earlier verification printed: the chain must still hold it."
        ),
    ] = None,
) -> None:
    """Verify that no entry of the audit was changed, removed or slipped in; end with 0 if so.

    Note the head it prints somewhere else, and give it the next time: an audit whose end was cut
    off looks whole otherwise. Needs TICKWHEEL_DATABASE_URL.
    """
    from app.config import load_settings
    from app.core.errors import Invalid

    settings = load_settings(os.environ, required=("database_url",))
    try:
        expected = None if head is None else bytes.fromhex(head)
    except ValueError as error:
        raise InvalidInput([Invalid(f"{head!r} is not a head: it is hexadecimal.")]) from error
    if not asyncio.run(_verify_audit(settings, expected)):
        sys.exit(_EXIT_FAILED)


async def _verify_audit(settings: "Settings", expected_head: bytes | None) -> bool:
    """Verify, showing how far it is; say what was found, and return whether all is well."""
    from app.core.ids import Kind, public_id
    from app.services.auditing import verify_audit
    from app.store.database import Database

    database = Database.open(settings.database_url, pool_size=1)
    with typer.progressbar(length=0, label="Verifying", file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        try:
            found = await verify_audit(database, expected_head=expected_head, on_progress=show)
        finally:
            await database.close()
    bad = "" if found.first_bad_id is None else public_id(Kind.AUDIT, found.first_bad_id)
    if found.ok:
        typer.echo(f"The audit is whole: {found.entries:,} entries are as they were sealed.")
    elif bad:
        typer.echo(f"The audit is NOT whole: {bad} was changed, removed or slipped in.", err=True)
    else:
        typer.echo("The audit is NOT whole: its end was cut off.", err=True)
    typer.echo(f"Not sealed yet: {found.unsealed:,}. Head: {found.head.hex()}")
    return found.ok


@cli.command()
def settings() -> None:
    """Print every setting with its default, what is allowed and what it means (Markdown)."""
    from app.config import settings_table

    typer.echo(settings_table(), nl=False)


@cli.command()
def schema() -> None:
    """Print the GraphQL schema."""
    from app.schema.schema import print_schema

    typer.echo(print_schema(), nl=False)


def _replace_process() -> None:
    """Run the same command again in this process: whoever supervises it notices nothing.

    What is installed now is loaded anew, which is the point.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command


def _serve(settings: "Settings") -> None:
    from app.listening import is_loopback, open_listener

    if not is_loopback(settings.host) and not settings.admin_token:
        raise Forbidden(
            f"TICKWHEEL_HOST is {settings.host!r}, which others can reach, and no "
            "TICKWHEEL_ADMIN_TOKEN is set. Set one (`openssl rand -hex 32` makes it), or listen "
            "on 127.0.0.1."
        )
    listener = open_listener(settings.host, settings.port, setting="TICKWHEEL_PORT")

    import uvicorn

    from app.asgi import build_application
    from app.schema.socket_protocol import SOCKET_OPTIONS

    application = build_application(settings)
    # What is loaded by now stays: a collector that walks over it stops every answer for 150 ms.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    config = uvicorn.Config(
        application,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        **SOCKET_OPTIONS,
    )
    server = uvicorn.Server(config)
    # When it has shut down, uvicorn raises the signal again; without a handler of ours that would
    # turn a clean stop into death by signal.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, server.handle_exit)
    server.run(sockets=[listener])


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tickwheel {__version__}")
        raise typer.Exit


@cli.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Hold what comes before the command."""


def main() -> None:
    """Run the command line. A failure we understand is one message, not a traceback."""
    # Zones come from the pinned tzdata package, never from the machine's own files.
    zoneinfo.reset_tzpath(())
    try:
        cli()
    except InvalidInput as error:
        for problem in error.errors:
            typer.echo(problem.message, err=True)
        sys.exit(_EXIT_SETTINGS)
    except ClientError as failure:
        for line in failure.lines():
            typer.echo(plain(line), err=True)
        sys.exit(failure.exit_code)
    except TickwheelError as error:
        typer.echo(error.message, err=True)
        sys.exit(_EXIT_FAILED)
    except ConnectionError as error:
        # Once it runs, a process bears with a server that is away; this is about the start.
        typer.echo(
            f"A server cannot be reached: {error}. Are TICKWHEEL_DATABASE_URL and "
            "TICKWHEEL_REDIS_URL right, and are the servers up?",
            err=True,
        )
        sys.exit(_EXIT_FAILED)
