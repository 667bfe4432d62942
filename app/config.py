"""The settings of a process, read once from the environment by an entry point.

Every setting is an environment variable with the prefix `TICKWHEEL_`. What is wrong is reported
all at once, each with its name, the value given (never a secret's) and what is allowed; a name
that we do not know is wrong, too. Nothing below the entry points reads settings or environment.
"""

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from app.core.durations import format_duration, parse_duration
from app.core.errors import Invalid, InvalidInput
from app.core.vocabulary import Role
from app.sealing import Keyring

PREFIX = "TICKWHEEL_"
# Set in the environment of every run, beside other names that are no settings either.
_MARK_OF_A_RUN = "TICKWHEEL_RUN_ID"
# Where `tickwheel get` and its neighbours ask, and as whom: for the client alone.
_OF_THE_CLIENT = ("TICKWHEEL_URL", "TICKWHEEL_TOKEN", "TICKWHEEL_PROJECT")
# Whoever knows the secret of a symmetric one could sign as anybody.
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")


def _flag(value: object) -> object:
    text = str(value).lower()
    if text in (*_YES, *_NO):
        return text in _YES
    raise ValueError("neither true nor false")


def _names(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(name for part in value.split(",") if (name := part.strip()))


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.isascii() and value.isdigit():
        value = f"PT{value}S"
    try:
        return parse_duration(value)
    except Invalid as error:
        raise ValueError(error.message) from error


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_network(network)) for network in value)


def _modules(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"{name} is not the name of a Python module")
    return value


def _secret_keys(value: str) -> str:
    try:
        Keyring.read(value, None)
    except Invalid as error:
        raise ValueError(error.message) from None
    return value


def _timezone(value: str) -> str:
    if value not in known_timezones():
        raise ValueError("not a known time zone")
    return value


def _url_of(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError(f"the URL must begin with {' or '.join(schemes)}")
        return value

    return check


def _url_to_trust(value: str) -> str:
    parts = urlsplit(value)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if value and not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise ValueError("the URL must begin with https://")
    return value


def _algorithms(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or not set(value) <= set(_ASYMMETRIC):
        raise ValueError("an algorithm that is not allowed")
    return value


def _grants(value: tuple[str, ...]) -> tuple[str, ...]:
    for grant in value:
        group, _, rest = grant.rpartition("=")
        project, _, role = rest.rpartition(":")
        if not group or not project or role not in set(Role):
            raise ValueError(f"{grant!r} is no grant")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
_LONGEST_TIMEOUT = timedelta(days=30)


def _setting(
    default: object, meaning: str, *, allowed: str, secret: bool = False, **limits: Any
) -> Any:
    return Field(
        default,
        description=meaning,
        repr=not secret,
        json_schema_extra={"allowed": allowed, "secret": secret},
        **limits,
    )


class Settings(BaseModel):
    """All settings of all processes; each reads those it needs."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)

    # Where things are.
    database_url: Annotated[str, AfterValidator(_url_of("postgresql", "postgres"))] = _setting(
        "",
        "PostgreSQL 15 or later. `tickwheel dev` starts its own when this is not set.",
        allowed="`postgresql://user:password@host:5432/database`, or `?host=/directory` for a "
        "unix socket",
        secret=True,
    )
    database_pool_size: int = _setting(
        10, "Connections to PostgreSQL that one process keeps.", allowed="1 to 200", ge=1, le=200
    )
    redis_url: Annotated[str, AfterValidator(_url_of("redis", "rediss", "unix"))] = _setting(
        "",
        "Redis 6.2 or later, or Valkey. `tickwheel dev` starts its own when this is not set.",
        allowed="`redis://user:password@host:6379/0`, `rediss://…` for TLS, or "
        "`unix:///path/to/redis.sock?db=0`",
        secret=True,
    )
    redis_prefix: str = _setting(
        "tickwheel",
        "What every key and channel in Redis begins with; instances that share a Redis differ.",
        allowed="1 to 40 letters, digits, `-` or `_`",
        pattern=r"^[A-Za-z0-9_-]{1,40}$",
    )
    data_dir: Path = _setting(
        Path(".tickwheel"),
        "Where `tickwheel dev` keeps its databases, logs and admin token.",
        allowed="a directory; it is made if need be",
    )

    # What seals secrets.
    secret_keys_file: Path | None = _setting(
        None,
        "File with the keys that seal secrets, one a line, read when a process starts. The first "
        "one seals, all of them open. `tickwheel dev` makes one in the data directory.",
        allowed="a path; each line `id:base64` (`tickwheel secrets generate-key` makes one)",
    )
    secret_keys: Annotated[str, AfterValidator(_secret_keys)] = _setting(
        "",
        "The same keys without a file; they come before those of the file.",
        allowed="`id:base64`, separated by commas",
        secret=True,
    )

    # The API process.
    host: str = _setting(
        "127.0.0.1",
        "Address the API listens on. Anything but a loopback address needs an admin token.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    port: int = _setting(
        8080, "Port the API listens on.", allowed="a port, 1 to 65535", ge=1, le=65535
    )
    admin_token: str = _setting(
        "",
        "Bearer token of the instance's administrator. `tickwheel dev` makes one when this is "
        "not set and keeps it in the data directory.",
        allowed="at least 32 characters, none of them blank (`openssl rand -hex 32` makes one)",
        secret=True,
        pattern=r"^\S{32,512}$",
    )
    jwt_issuer: Annotated[str, AfterValidator(_url_to_trust)] = _setting(
        "",
        "OpenID Connect provider whose tokens are accepted, by its issuer URL.",
        allowed="an `https://` URL, or `http://` on a loopback address",
    )
    jwt_audience: str = _setting(
        "",
        "What the provider's tokens must name as their audience. Needed with "
        "`TICKWHEEL_JWT_ISSUER`.",
        allowed="a text",
    )
    jwt_jwks_url: Annotated[str, AfterValidator(_url_to_trust)] = _setting(
        "",
        "Where the provider's keys are; not set: what its discovery document says.",
        allowed="an `https://` URL, or `http://` on a loopback address",
    )
    jwt_algorithms: Annotated[Names, AfterValidator(_algorithms)] = _setting(
        ("RS256", "ES256", "EdDSA"),
        "Signature algorithms that are accepted; never symmetric ones.",
        allowed=f"names, separated by commas: `{' '.join(_ASYMMETRIC)}`",
    )
    jwt_groups_claim: str = _setting(
        "groups",
        "Claim that lists a person's groups or roles; dots lead into objects.",
        allowed="a name, or a path such as `realm_access.roles`",
        min_length=1,
    )
    jwt_grants: Annotated[Names, AfterValidator(_grants)] = _setting(
        (),
        "What the members of a group may do. `*` stands for every project; `*:ADMIN` also "
        "administers the instance.",
        allowed="`group=project:ROLE`, separated by commas: `ops=*:ADMIN,billing=billing:EDITOR`",
    )
    graphiql: Flag = _setting(
        False,
        "Whether the API serves the GraphiQL explorer. `tickwheel dev` turns it on.",
        allowed="`true` or `false`",
    )
    persisted_documents: Path | None = _setting(
        None,
        "Documents that clients name by `documentId` instead of sending them; read when the API "
        "starts.",
        allowed="a directory of `.graphql` files, or a JSON file of identifiers and documents",
    )
    persisted_only: Flag = _setting(
        False,
        "Whether nothing but these documents is executed. Needs `TICKWHEEL_PERSISTED_DOCUMENTS`.",
        allowed="`true` or `false`",
    )
    rate_requests: int = _setting(
        60_000,
        "Requests a minute that one caller may make, over all API processes. 0: any number.",
        allowed="0 to 100000000",
        ge=0,
        le=100_000_000,
    )
    rate_mutations: int = _setting(
        30_000,
        "Mutations among them. 0: any number.",
        allowed="0 to 100000000",
        ge=0,
        le=100_000_000,
    )
    rate_burst: int = _setting(
        5_000,
        "Requests of one caller that one API process takes within a second. 0: any number.",
        allowed="0 to 1000000",
        ge=0,
        le=1_000_000,
    )
    rate_strangers: int = _setting(
        600,
        "Failed attempts to be known, a minute, from one address. 0: any number.",
        allowed="0 to 1000000",
        ge=0,
        le=1_000_000,
    )
    rate_without_redis: Literal["open", "closed"] = _setting(
        "open",
        "What holds while Redis is away: each API process counts for itself, or answers nobody.",
        allowed="`open closed`",
    )
    subscriptions_per_caller: int = _setting(
        5_000,
        "How many subscriptions a caller may have open in one API process.",
        allowed="1 to 1,000,000",
        ge=1,
        le=1_000_000,
    )
    event_retention_hours: int = _setting(
        24,
        "Hours for which a subscriber may resume where it stopped.",
        allowed="hours, 1 to 720",
        ge=1,
        le=720,
    )

    metrics_schedules: int = _setting(
        0,
        "How many schedules the API's `/metrics` shows one by one, the oldest first: when each "
        "last ran and succeeded. 0: none.",
        allowed="0 to 10000",
        ge=0,
        le=10_000,
    )

    # The worker process.
    worker_host: str = _setting(
        "127.0.0.1",
        "Address on which a worker answers health checks and metrics.",
        allowed="a host name or an IP address",
        min_length=1,
    )
    worker_port: int = _setting(
        8081,
        "Port on which a worker answers health checks and metrics; 0: it does not.",
        allowed="a port, 0 to 65535",
        ge=0,
        le=65535,
    )
    worker_slots: int = _setting(
        200,
        "Runs that one worker executes at the same time.",
        allowed="1 to 10000",
        ge=1,
        le=10_000,
    )
    process_slots: int = _setting(
        32,
        "Commands and isolated functions that one worker executes at the same time, each in "
        "processes of its own. Other such runs hold a slot of the worker and wait.",
        allowed="1 to 10000",
        ge=1,
        le=10_000,
    )
    lease_seconds: float = _setting(
        15.0,
        "Seconds after which the runs of a worker that is not heard of are taken up again.",
        allowed="seconds, 2 to 600",
        ge=2,
        le=600,
    )
    heartbeat_seconds: float = _setting(
        5.0,
        "Seconds between two renewals of a worker's leases.",
        allowed="seconds, from 0.2 to less than half of `TICKWHEEL_LEASE_SECONDS`",
        ge=0.2,
        le=300,
    )
    sweep_seconds: float = _setting(
        3.0,
        "Seconds between two searches for runs that were lost or never announced.",
        allowed="seconds, from 0.2 to `TICKWHEEL_LEASE_SECONDS`",
        ge=0.2,
        le=600,
    )
    monitor_seconds: float = _setting(
        300.0,
        "Seconds between two rounds of the health monitor, whichever worker makes them.",
        allowed="seconds, 1 to 3600",
        ge=1,
        le=3600,
    )
    look_ahead_seconds: float = _setting(
        2.0,
        "Seconds before its instant at which a run is prepared; it never starts early.",
        allowed="seconds, 0 to 10",
        ge=0,
        le=10,
    )

    # What jobs may do here.
    allow_commands: Flag = _setting(
        False, "Whether jobs may run programs on the worker.", allowed="`true` or `false`"
    )
    allow_shell: Flag = _setting(
        False,
        "Whether projects may be given the right to shell lines. Needs `TICKWHEEL_ALLOW_COMMANDS`.",
        allowed="`true` or `false`",
    )
    command_user: str | None = _setting(
        None,
        "Whom commands run as when the worker is root; not set: `nobody`.",
        allowed="the name of an account of this machine",
        min_length=1,
    )
    command_cgroup: str | None = _setting(
        None,
        "Cgroup (version 2) below which each run of a command or Python process gets its own; not "
        "set: the worker's own, where it may.",
        allowed="a directory that the worker may write, such as one that was delegated to it",
        min_length=1,
    )
    http_allow_networks: Annotated[Names, AfterValidator(_networks)] = _setting(
        (),
        "Networks that HTTP jobs may reach although they are not public.",
        allowed="networks in CIDR form, separated by commas: `10.1.0.0/16,127.0.0.1/32`",
    )
    http_ca_file: Path | None = _setting(
        None,
        "File of certificates (PEM) that HTTP jobs trust besides the system's.",
        allowed="a path",
    )
    export_dir: Path | None = _setting(
        None,
        "Directory below which `export_runs` writes its files; not set: it writes none.",
        allowed="a directory that the worker may write",
    )
    tasks: Annotated[Names, AfterValidator(_modules)] = _setting(
        (),
        "Python modules whose `@task` functions jobs may run.",
        allowed="module names, separated by commas: `billing.tasks,reports`",
    )

    # Notifications by e-mail.
    smtp_host: str = _setting(
        "",
        "Mail server that notifications leave by; not set: rules cannot mail.",
        allowed="a host name or an IP address",
    )
    smtp_port: int = _setting(
        587, "Port of the mail server.", allowed="a port, 1 to 65535", ge=1, le=65535
    )
    smtp_tls: Literal["starttls", "tls", "none"] = _setting(
        "starttls",
        "How the connection to the mail server is encrypted: after a greeting, from its beginning, "
        "or not at all.",
        allowed="`starttls tls none`",
    )
    smtp_ca_file: Path | None = _setting(
        None,
        "File of certificates (PEM) that the mail server's is verified with besides the system's.",
        allowed="a path",
    )
    smtp_user: str = _setting(
        "", "Account on the mail server, if it asks for one.", allowed="a text"
    )
    smtp_password: str = _setting("", "Password of that account.", allowed="a text", secret=True)
    smtp_from: str = _setting(
        "",
        "Sender of notifications. Needed with `TICKWHEEL_SMTP_HOST`.",
        allowed="an e-mail address",
        pattern=r"^[^\s@]+@[^\s@]+$",
    )

    # What a job or schedule gets where neither it nor its project says otherwise.
    catch_up_window: Duration = _setting(
        timedelta(minutes=15),
        "How late a missed occurrence may still run.",
        allowed="an ISO 8601 duration (`PT15M`, `P1D`) or whole seconds",
    )
    default_timezone: Annotated[str, AfterValidator(_timezone)] = _setting(
        "UTC",
        "Time zone of schedules that name none.",
        allowed="a name of the IANA database, such as `Europe/Berlin`",
    )
    default_timeout: Duration = _setting(
        timedelta(hours=1),
        "How long one attempt may take.",
        allowed="an ISO 8601 duration or whole seconds, 1 second to 30 days",
        ge=timedelta(seconds=1),
        le=_LONGEST_TIMEOUT,
    )
    default_max_attempts: int = _setting(
        1, "How often a run is tried, the first time included.", allowed="1 to 100", ge=1, le=100
    )

    # Logs.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting(
        "INFO", "The least severe level that is logged.", allowed="`DEBUG INFO WARNING ERROR`"
    )
    log_format: Literal["auto", "json", "console"] = _setting(
        "auto",
        "How log lines look; `auto` is `console` on a terminal and `json` elsewhere.",
        allowed="`auto json console`",
    )


def load_settings(environ: Mapping[str, str], *, required: tuple[str, ...] = ()) -> Settings:
    """Return the settings in `environ`, or raise `InvalidInput` with everything that is wrong.

    A variable that is empty counts as not set. `required` names fields this process needs.
    """
    given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
    values = {
        field: given[variable_of(field)]
        for field in Settings.model_fields
        if variable_of(field) in given
    }
    problems = [*_unknown(given), *_missing(values, required)]
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        wrong = [str(detail["loc"][0]) for detail in error.errors()]
        raise InvalidInput([*problems, *(_wrong(name, values[name]) for name in wrong)]) from None
    problems += _contradictions(settings)
    if problems:
        raise InvalidInput(problems)
    return settings


def variable_of(field: str) -> str:
    """Return the name of a setting's environment variable."""
    return PREFIX + field.upper()


def settings_table() -> str:
    """Return the documentation of every setting as a Markdown table."""
    lines = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _shown(field.default)
        lines.append(
            f"| `{variable_of(name)}` | {default} | {_extra(field)['allowed']} "
            f"| {field.description} |"
        )
    return "\n".join(lines) + "\n"


@lru_cache(maxsize=1)
def known_timezones() -> frozenset[str]:
    """Return the zones of the pinned tzdata package, which alone decides what exists."""
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _unknown(given: Mapping[str, str]) -> Iterator[Invalid]:
    if _MARK_OF_A_RUN in given:
        return
    known = [variable_of(field) for field in Settings.model_fields]
    for name in sorted(given.keys() - {*known, *_OF_THE_CLIENT}):
        close = get_close_matches(name, known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "`tickwheel settings` lists them all."
        yield Invalid(f"{name} is not a setting. {hint}", path=[name], hint=hint)


def _missing(values: Mapping[str, str], required: tuple[str, ...]) -> Iterator[Invalid]:
    for field in required:
        if field not in values:
            yield Invalid(
                f"{variable_of(field)} is not set. Allowed: {_allowed(field)}.",
                path=[variable_of(field)],
            )


def _wrong(field: str, value: str) -> Invalid:
    secret = _extra(Settings.model_fields[field])["secret"]
    shown = "has a wrong value (not shown)" if secret else f"is {value[:200]!r}"
    return Invalid(
        f"{variable_of(field)} {shown}. Allowed: {_allowed(field)}.{_suggestion(field, value)}",
        path=[variable_of(field)],
    )


def _suggestion(field: str, value: str) -> str:
    if field != "default_timezone":
        return ""
    spelled = {name.lower(): name for name in known_timezones()}
    close = get_close_matches(value.lower().replace(" ", "_"), spelled, n=1)
    return f" Did you mean {spelled[close[0]]}?" if close else ""


def _contradictions(settings: Settings) -> Iterator[Invalid]:
    """Yield what each setting allows and another forbids."""
    if settings.heartbeat_seconds >= settings.lease_seconds / 2:
        yield _wrong("heartbeat_seconds", f"{settings.heartbeat_seconds:g}")
    if settings.sweep_seconds > settings.lease_seconds:
        yield _wrong("sweep_seconds", f"{settings.sweep_seconds:g}")
    if settings.allow_shell and not settings.allow_commands:
        yield _wrong("allow_shell", "true")
    if settings.persisted_only and settings.persisted_documents is None:
        yield _wrong("persisted_only", "true")
    if settings.jwt_issuer and not settings.jwt_audience:
        yield Invalid(
            "TICKWHEEL_JWT_ISSUER is set and TICKWHEEL_JWT_AUDIENCE is not. Allowed: both, or "
            "neither; without an audience a token for any other service would be accepted.",
            path=["TICKWHEEL_JWT_AUDIENCE"],
        )
    if settings.smtp_host and not settings.smtp_from:
        yield Invalid(
            "TICKWHEEL_SMTP_HOST is set and TICKWHEEL_SMTP_FROM is not. Allowed: both, or neither; "
            "mail needs a sender.",
            path=["TICKWHEEL_SMTP_FROM"],
        )
    if settings.smtp_user and settings.smtp_tls == "none":
        yield Invalid(
            "TICKWHEEL_SMTP_USER is set and TICKWHEEL_SMTP_TLS is none. Allowed: starttls or tls; "
            "a password is not sent in the clear.",
            path=["TICKWHEEL_SMTP_TLS"],
        )
    if settings.worker_port == settings.port and settings.worker_host == settings.host:
        yield Invalid(
            f"TICKWHEEL_WORKER_PORT is {settings.worker_port}, as is TICKWHEEL_PORT. "
            "Allowed: two different ports, or 0 for the worker's.",
            path=["TICKWHEEL_WORKER_PORT"],
        )


def _allowed(field: str) -> str:
    return str(_extra(Settings.model_fields[field])["allowed"]).replace("`", "")


def _extra(field: FieldInfo) -> dict[str, Any]:
    assert isinstance(field.json_schema_extra, dict)
    return field.json_schema_extra


def _shown(default: object) -> str:
    match default:
        case None | "" | ():
            return "not set"
        case bool():
            return f"`{str(default).lower()}`"
        case timedelta():
            return f"`{format_duration(default)}`"
        case float():
            return f"`{default:g}`"
        case _:
            return f"`{default}`"
