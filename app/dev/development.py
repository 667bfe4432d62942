"""`tickwheel dev`: everything on this machine, in one process tree, from one command.

Starts what the settings do not already name (PostgreSQL, Redis), migrates the tables, starts the
API and a worker, and says so when the API is ready. Each is started again when it ends. A signal
stops them in order: API, worker (which finishes its runs), Redis, PostgreSQL; a second signal
makes short work of the API and the worker.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIG_IGN, SIGHUP, SIGINT, SIGTERM, getsignal

import structlog

from app.config import Settings
from app.core.clock import elapsed_seconds
from app.core.errors import DependencyUnavailable
from app.dev.banner import banner
from app.dev.data_directory import admin_token, claimed, secret_keys_file
from app.dev.postgres import EmbeddedPostgres
from app.dev.programs import Program
from app.dev.redis import EmbeddedRedis
from app.dev.supervisor import Service, Supervisor
from app.listening import address_url, answers, wait_until_free
from app.services.browser_sessions import login_link
from app.store.migrate import upgrade

_READY_SECONDS = 60.0
# `make` passes on a signal that we may have received from the terminal or the group already.
_SAME_SIGNAL_SECONDS = 1.0
_log = structlog.get_logger(__name__)

Programs = Callable[[Mapping[str, str]], Sequence[Program]]


def our_programs(environment: Mapping[str, str]) -> Sequence[Program]:
    """Return the worker and the API, in the order in which they start."""
    tickwheel = (sys.executable, "-m", "app")
    return (
        Program("worker", (*tickwheel, "worker"), environment, stop_wait_seconds=30.0),
        Program("api", (*tickwheel, "api"), environment),
    )


async def develop(
    settings: Settings, environ: Mapping[str, str], *, programs: Programs = our_programs
) -> None:
    """Run everything until a signal comes."""
    directory = settings.data_dir.absolute()
    url = address_url(settings.host, settings.port)
    with claimed(directory, url=url):
        await wait_until_free(settings.host, settings.port, setting="TICKWHEEL_PORT")
        if settings.worker_port:
            await wait_until_free(
                settings.worker_host, settings.worker_port, setting="TICKWHEEL_WORKER_PORT"
            )
        await _Instance(settings, environ, directory, url, programs).run()


class _Instance:
    """One run of `tickwheel dev` on a data directory that is ours."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        directory: Path,
        url: str,
        programs: Programs,
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._directory = directory
        self._url = url
        self._programs = programs
        self._started_programs: Sequence[Program] = ()
        self._supervisor = Supervisor()
        self._stop_asked = asyncio.Event()
        self._stop_asked_at_seconds = 0.0

    async def run(self) -> None:
        """Start, serve until a signal or a failure, and stop whatever was started."""
        with _signals_call(self._ask_stop):
            serving = asyncio.create_task(self._serve())
            asked = asyncio.create_task(self._stop_asked.wait())
            try:
                await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                asked.cancel()
                await _ended(serving)
                await self._supervisor.stop()
            if serving.done() and not serving.cancelled():
                serving.result()

    def _ask_stop(self) -> None:
        if not self._stop_asked.is_set():
            _log.info("dev.stopping", hint="a second signal does not wait for running work")
            self._stop_asked.set()
            self._stop_asked_at_seconds = elapsed_seconds()
        elif elapsed_seconds() - self._stop_asked_at_seconds > _SAME_SIGNAL_SECONDS:
            for program in self._started_programs:
                program.kill()

    async def _serve(self) -> None:
        environment = await self._prepare()
        self._started_programs = self._programs(environment)
        await self._supervisor.start(self._started_programs)
        await self._ready()
        sys.stdout.write(
            banner(
                url=self._url,
                link=await login_link(environment["TICKWHEEL_DATABASE_URL"], self._url),
                directory=self._directory,
                token=environment["TICKWHEEL_ADMIN_TOKEN"],
                token_is_set=bool(self._settings.admin_token),
            )
        )
        sys.stdout.flush()
        await asyncio.Event().wait()

    async def _prepare(self) -> dict[str, str]:
        """Start what is missing and return the environment of our own processes."""
        postgres = EmbeddedPostgres(self._directory / "postgres")
        redis = EmbeddedRedis(self._directory / "redis")
        services: list[Service] = []
        if not self._settings.database_url:
            services.append(postgres)
        if not self._settings.redis_url:
            services.append(redis)
        await self._supervisor.start(services)
        database_url = self._settings.database_url or postgres.url
        await upgrade(database_url)
        return {
            "TICKWHEEL_GRAPHIQL": "true",
            **self._environ,
            "TICKWHEEL_DATABASE_URL": database_url,
            "TICKWHEEL_REDIS_URL": self._settings.redis_url or redis.url,
            "TICKWHEEL_ADMIN_TOKEN": self._settings.admin_token or admin_token(self._directory),
            "TICKWHEEL_SECRET_KEYS_FILE": str(self._secret_keys_file()),
        }

    def _secret_keys_file(self) -> Path:
        return self._settings.secret_keys_file or secret_keys_file(self._directory)

    async def _ready(self) -> None:
        host, port = self._settings.host, self._settings.port
        try:
            async with asyncio.timeout(_READY_SECONDS):
                while not await answers(host, port, "/readyz"):  # noqa: ASYNC110 - no event to wait for
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DependencyUnavailable(
                f"{self._url}/readyz has not answered for {_READY_SECONDS:g} seconds; "
                "the lines above say why."
            ) from None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


@contextmanager
def _signals_call(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    # Under `nohup` a terminal that closes is not a reason to stop.
    hang_up = () if getsignal(SIGHUP) == SIG_IGN else (SIGHUP,)
    signals = (SIGINT, SIGTERM, *hang_up)
    for signal in signals:
        loop.add_signal_handler(signal, stop)
    try:
        yield
    finally:
        for signal in signals:
            loop.remove_signal_handler(signal)
