"""The checks, one after the other. Each is bounded in time and changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.broker.redis import open_redis
from app.client.address import find_address
from app.client.errors import ClientError
from app.client.server import Server
from app.config import Settings, load_settings
from app.core.clock import elapsed_seconds, utc_now
from app.core.errors import InvalidInput, TickwheelError
from app.core.health import judge_clock, judge_instance
from app.core.vocabulary import FindingCode, SchedulerState, Severity, WorkerState
from app.listening import is_loopback
from app.store.database import Database, ReadConnection
from app.store.health import read_clock, read_instance_facts
from app.store.migrate import is_current
from app.store.status import read_control, read_workers

_PATIENCE_SECONDS = 10.0
_LEAST_POSTGRES = 15
_LEAST_REDIS = (6, 2)
_NAMES = {"postgresql": "PostgreSQL", "redis": "Redis"}
# Which part of the instance a finding is about, and what to do.
_PART_OF = {
    FindingCode.NO_WORKER: ("worker", "Start one: `tickwheel worker`; its log says why it ended."),
    FindingCode.TICKER_SILENT: ("ticker", "Look for `tick.failed` in the workers' logs."),
    FindingCode.OVERDUE: (
        "ticker",
        "If a worker ticks it does not keep up: look at the CPU of workers and PostgreSQL.",
    ),
    FindingCode.LEASES_NOT_SWEPT: ("worker", "Look for `sweep.failed` in the workers' logs."),
}


class Grade(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do where it is not well."""

    name: str
    grade: Grade
    message: str
    do: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return it as data."""
        return {"check": self.name, "grade": self.grade, "message": self.message, "do": self.do}


async def examine(
    environ: Mapping[str, str], *, url: str | None, token: str | None, project: str | None
) -> AsyncIterator[Check]:
    """Yield each check as soon as it is made."""
    try:
        settings = load_settings(environ)
    except InvalidInput as error:
        for problem in error.errors:
            yield Check(
                "configuration", Grade.FAIL, problem.message, "`tickwheel settings` explains them."
            )
        return
    for check in _configuration(settings):
        yield check
    is_inside = bool(settings.database_url)
    if is_inside:
        async for check in _postgres(settings):
            yield check
    if settings.redis_url:
        yield await _redis(settings)
    server = Server(find_address(url=url, token=token, project=project, environ=environ))
    for check in await asyncio.to_thread(_ask_api, server, is_inside=is_inside):
        yield check


def _configuration(settings: Settings) -> Iterator[Check]:
    name = "configuration"
    if not is_loopback(settings.host) and not settings.admin_token:
        yield Check(
            name,
            Grade.FAIL,
            f"TICKWHEEL_HOST is {settings.host}, which others can reach, and no "
            "TICKWHEEL_ADMIN_TOKEN is set: the API will not start.",
            "Set one; `openssl rand -hex 32` makes it.",
        )
    elif settings.database_url and not (settings.secret_keys or settings.secret_keys_file):
        yield Check(
            name,
            Grade.WARN,
            "No key for secrets is set: secrets cannot be stored or used.",
            "Set TICKWHEEL_SECRET_KEYS_FILE; `tickwheel secrets generate-key` makes a key.",
        )
    else:
        yield Check(name, Grade.OK, "Every setting is allowed.")


async def _postgres(settings: Settings) -> AsyncIterator[Check]:
    """Look at PostgreSQL and, if it answers, at what it says of the instance."""
    database = Database.open(settings.database_url, pool_size=1)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS), database.reading(None) as connection:
            yield await _version(connection)
            if not await is_current(settings.database_url):
                yield Check(
                    "tables",
                    Grade.FAIL,
                    "The tables are not those of this version.",
                    "Run `tickwheel migrate`, with the version that you are about to start.",
                )
                return
            yield Check("tables", Grade.OK, "They are those of this version.")
            yield await _clock(connection)
            for check in await _instance(connection, settings):
                yield check
    except (OSError, SQLAlchemyError, TickwheelError, TimeoutError) as error:
        yield Check(
            "PostgreSQL",
            Grade.FAIL,
            f"It does not answer: {_in_words(error)}",
            "Is it up, and is TICKWHEEL_DATABASE_URL right?",
        )
    finally:
        await database.close()


async def _version(connection: ReadConnection) -> Check:
    began = elapsed_seconds()
    row = (await connection.execute(text("SHOW server_version"))).scalar_one()
    taken = (elapsed_seconds() - began) * 1000
    major = int(str(row).split(".", maxsplit=1)[0])
    said = f"Version {str(row).split(maxsplit=1)[0]}, {taken:.1f} ms a round trip."
    if major < _LEAST_POSTGRES:
        return Check("PostgreSQL", Grade.FAIL, said, "Tickwheel needs version 15 or later.")
    return Check("PostgreSQL", Grade.OK, said)


async def _clock(connection: ReadConnection) -> Check:
    began = elapsed_seconds()
    ours = utc_now()
    theirs = await read_clock(connection)
    half = timedelta(seconds=(elapsed_seconds() - began) / 2)
    offset = ours + half - theirs
    found = judge_clock(offset, half, host="this machine", as_of=theirs)
    if found is None:
        size = abs(offset).total_seconds() * 1000
        return Check("clock", Grade.OK, f"{size:.0f} ms from PostgreSQL's.")
    grade = Grade.FAIL if found.severity is Severity.CRITICAL else Grade.WARN
    return Check("clock", grade, found.message, "Run NTP on every machine.")


async def _instance(connection: ReadConnection, settings: Settings) -> list[Check]:
    """Return how the workers, their ticks and their handlers are."""
    facts = await read_instance_facts(connection, lease_seconds=settings.lease_seconds)
    control = await read_control(connection)
    found = list(judge_instance(facts))
    workers = [
        worker
        for worker in await read_workers(connection, lease_seconds=settings.lease_seconds)
        if worker.state in (WorkerState.ONLINE, WorkerState.DRAINING)
    ]
    checks = [_scheduler(control.state, control.reason)]
    for observation in found:
        part, advice = _PART_OF[observation.code]
        critical = observation.severity is Severity.CRITICAL
        checks.append(
            Check(part, Grade.FAIL if critical else Grade.WARN, observation.message, advice)
        )
    complained = {check.name for check in checks}
    if "worker" not in complained:
        checks.append(_online(len(workers)))
    if "ticker" not in complained and facts.last_tick_at is not None:
        ago = (facts.as_of - facts.last_tick_at).total_seconds()
        checks.append(Check("ticker", Grade.OK, f"The last tick was {ago:.1f} s ago."))
    return [*checks, *_handlers((worker.host, worker.confinement) for worker in workers)]


def _scheduler(state: SchedulerState, reason: str | None) -> Check:
    if state is SchedulerState.RUNNING:
        return Check("scheduler", Grade.OK, "It is running.")
    because = f": {reason}" if reason else ""
    return Check(
        "scheduler",
        Grade.WARN,
        f"It is {state}{because}. Nothing fires.",
        "`schedulerControl` with the action START lets it go on.",
    )


def _online(number: int) -> Check:
    if number:
        return Check("worker", Grade.OK, f"{number} online.")
    return Check(
        "worker", Grade.WARN, "None is online at this moment.", "Start `tickwheel worker`."
    )


def _handlers(workers: Iterable[tuple[str, Mapping[str, Any] | None]]) -> list[Check]:
    """Return how the processes of runs are confined, once for each way and host."""
    checks = []
    for host, confinement in sorted(workers, key=lambda each: each[0]):
        if confinement is None or not confinement["commands"]:
            checks.append(Check("handlers", Grade.OK, f"{host}: commands are not allowed."))
            continue
        user = confinement["user"]
        controllers = ", ".join(confinement["controllers"])
        cgroup = f"a cgroup ({controllers})" if controllers else "a cgroup"
        within = cgroup if confinement["cgroup"] else "limits of each process"
        said = f"{host}: commands run as {user}, within {within}."
        if user == "root":
            checks.append(
                Check(
                    "handlers",
                    Grade.WARN,
                    said,
                    "Set TICKWHEEL_COMMAND_USER, or run the worker as somebody else.",
                )
            )
        elif not confinement["cgroup"]:
            advice = "Delegate a cgroup to the worker, or name one with TICKWHEEL_COMMAND_CGROUP."
            checks.append(Check("handlers", Grade.WARN, said, advice))
        else:
            checks.append(Check("handlers", Grade.OK, said))
    return list(dict.fromkeys(checks))


async def _redis(settings: Settings) -> Check:
    client = open_redis(settings.redis_url)
    try:
        began = elapsed_seconds()
        found = await client.info("server")
        taken = (elapsed_seconds() - began) * 1000
    except (OSError, RedisError, TimeoutError) as error:
        return Check(
            "Redis",
            Grade.FAIL,
            f"It does not answer: {_in_words(error)}",
            "Is it up, and is TICKWHEEL_REDIS_URL right? Nothing is lost meanwhile; workers look "
            "into PostgreSQL on their own timers, and live updates come late.",
        )
    finally:
        await client.aclose()
    version = str(found["redis_version"])
    said = f"Version {version}, {taken:.1f} ms a round trip."
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_REDIS:
        return Check("Redis", Grade.WARN, said, "Tickwheel is tested with 6.2 and later.")
    return Check("Redis", Grade.OK, said)


def _ask_api(server: Server, *, is_inside: bool) -> list[Check]:
    """Return whether the API answers and, when nothing else was asked, what it says."""
    try:
        data = server.ask("health", "health")
    except ClientError as error:
        grade = Grade.WARN if is_inside else Grade.FAIL
        return [Check("API", grade, problem.message, problem.hint) for problem in error.problems]
    viewer, status = data["viewer"], data["scheduler"]
    host = urlsplit(server.address.url).netloc
    who = f"{viewer['actor']['name']} is {viewer['role']} of project {viewer['project']['key']}"
    checks = [Check("API", Grade.OK, f"{host} answers; {who}.")]
    if is_inside:
        return checks
    for dependency in status["dependencies"]:
        grade = Grade.OK if dependency["healthy"] else Grade.FAIL
        checks.append(
            Check(
                _NAMES.get(dependency["name"], dependency["name"]),
                grade,
                dependency["detail"] or "The API reaches it.",
            )
        )
    checks.append(_scheduler(SchedulerState(status["state"]), status["reason"]))
    for problem in status["problems"]:
        checks.append(
            Check("instance", Grade.FAIL, problem, "`tickwheel get findings` lists more.")
        )
    workers = [each for each in status["workers"] if each["state"] in ("ONLINE", "DRAINING")]
    checks.append(_online(len(workers)))
    return [*checks, *_handlers((each["host"], each["confinement"]) for each in workers)]


def _in_words(error: BaseException) -> str:
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
