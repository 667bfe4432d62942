"""Structured logs, the same in every process: one line an event, on standard error.

Modules log through `structlog.get_logger(__name__)`; what libraries log through the standard
library takes the same way out. Context that belongs to a piece of work is bound around it and
appears on every line inside, also on those of libraries:

    with structlog.contextvars.bound_contextvars(run_id=run.id, schedule_id=run.schedule_id):
        ...

Times are UTC. Secrets that the process knows are struck out of the finished line, whoever put
them there.
"""

import logging
import sys
from collections.abc import Iterable
from typing import Any, Literal
from urllib.parse import urlsplit

import orjson
import structlog
from structlog.typing import EventDict, Processor

from app.config import Settings
from app.core.redaction import Redaction
from app.sealing import key_texts

# What these say at INFO, once a second or once a request, says nothing.
_QUIET = ("alembic", "arq", "uvicorn.access", "httpcore", "httpx", "sqlalchemy", "websockets")

# A process sees few secrets, but new tokens for as long as it lives: the oldest are forgotten.
_MOST_STRUCK_OUT = 1_000


class _Known:
    """The secrets of the process: its log is one for all that it does."""

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self.redaction = Redaction()

    def add(self, secrets: Iterable[str]) -> None:
        new = [secret for secret in secrets if secret and secret not in self._secrets]
        if new:
            kept = [*self._secrets, *new][-_MOST_STRUCK_OUT:]
            self._secrets = dict.fromkeys(kept)
            self.redaction = Redaction(kept)


_known = _Known()


def configure_logs(settings: Settings, *, process: str) -> None:
    """Send every log line of this process to standard error; `process` says who is speaking."""
    format_ = settings.log_format
    if format_ == "auto":
        format_ = "console" if sys.stderr.isatty() else "json"
    _configure(
        level=settings.log_level,
        format_=format_,
        process=process,
        secrets=(
            settings.admin_token,
            *_passwords(settings.database_url, settings.redis_url),
            *key_texts(settings.secret_keys),
        ),
    )


def strike_out(*secrets: str) -> None:
    """Keep these out of every line from now on, in any usual spelling."""
    _known.add(secrets)


def _configure(
    *, level: str, format_: Literal["json", "console"], process: str, secrets: Iterable[str]
) -> None:
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Named(process),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    strike_out(*secrets)
    handler.setFormatter(_formatter(shared, format_))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _formatter(shared: list[Processor], format_: Literal["json", "console"]) -> logging.Formatter:
    render: list[Processor] = (
        # The default draws tracebacks with every local variable: slow, and full of secrets.
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if format_ == "console"
        else [structlog.processors.format_exc_info, _in_order, _json]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *render,
            _without_secrets,
        ],
    )


class _Named:
    """Adds which of our processes wrote the line."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        event["process"] = self._process
        return event


def _without_secrets(_logger: Any, _method: str, line: Any) -> str:
    """Strike known secrets out of the rendered line: the last look before it leaves."""
    return _known.redaction.text(str(line))


def _in_order(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Put first what a reader looks for first."""
    first = ("timestamp", "level", "process", "logger", "event")
    return {**{name: event.pop(name) for name in first if name in event}, **event}


def _json(_logger: Any, _method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _passwords(*urls: str) -> Iterable[str]:
    return [urlsplit(url).password or "" for url in urls]
