"""An HTTP job's configuration: what may be said, and what it means.

Checked when the job is saved and read again when it runs, by the same function. Host names are
not resolved here: that they are allowed is only true at the moment of connecting.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from app.handlers.config_fields import Fields
from app.handlers.network_guard import AddressRefused, NetworkGuard

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# Without `body` or `json`, the parameters are the body of the others.
_WITHOUT_BODY = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(r"[1-5](?:xx|[0-9]{2})", re.IGNORECASE)
_MAX_URL = 8192

# Ours, or the protocol's: a job that set them could speak for another run or split a request.
_RESERVED_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "idempotency-key",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """An HTTP job's configuration, checked."""

    url: URL
    method: str
    headers: Mapping[str, str]
    body: str | None
    json: Any
    connect_seconds: float
    read_seconds: float | None
    expected: frozenset[str]
    follow: bool
    result_path: str | None

    @property
    def sends_parameters(self) -> bool:
        """Whether the run's parameters are the body."""
        return self.body is None and self.json is None and self.method not in _WITHOUT_BODY

    def expects(self, status: int) -> bool:
        """Whether the status means success."""
        return str(status) in self.expected or f"{status // 100}xx" in self.expected


def read_http_config(config: Mapping[str, Any], guard: NetworkGuard) -> HttpConfig:
    """Check an HTTP job's configuration. Raises InvalidInput."""
    fields = Fields(config)
    for name in ("connection", "path"):
        fields.refuse(name, "Endpoints are not available yet; give the whole address as url.")
    fields.refuse("sign", "Signing is not available yet; leave sign out.")
    url = _read_url(fields, guard)
    method = (fields.text("method", "POST") or "POST").upper()
    if method not in METHODS:
        fields.problem(f"{method} is not a method here.", "method", hint=", ".join(METHODS))
    body, json = fields.text("body"), fields.anything("json")
    if body is not None and json is not None:
        fields.problem("Give body or json, not both.", "json")
    timeout = fields.inner("timeout")
    connect_seconds = timeout.number("connect", 10.0, minimum=0.001, maximum=600)
    result = HttpConfig(
        url=url.update_query(fields.texts("query")),
        method=method,
        headers=_read_headers(fields),
        body=body,
        json=json,
        connect_seconds=connect_seconds or 10.0,
        read_seconds=timeout.number("read", minimum=0.001, maximum=86_400),
        expected=_read_expected(fields),
        follow=fields.flag("follow", True),
        result_path=fields.text("resultPath"),
    )
    fields.finish(timeout)
    return result


def _read_url(fields: Fields, guard: NetworkGuard) -> URL:
    text = fields.text("url", required=True) or ""
    problem = url_problem(text, guard) if text else None
    if problem:
        fields.problem(problem, "url")
    return URL("http://unreadable.invalid") if problem or not text else URL(text)


def url_problem(text: str, guard: NetworkGuard) -> str | None:
    """Return what is wrong with an address, as far as can be known without resolving it."""
    if len(text) > _MAX_URL or any(character <= " " or character in "\\\x7f" for character in text):
        return f"A url has at most {_MAX_URL} characters, none of them blank or a backslash."
    try:
        url = URL(text)
        if url.scheme not in ("http", "https") or not url.raw_host or not url.port:
            return "A url begins with http:// or https:// and names a host."
        if url.raw_user is not None or url.raw_password is not None:
            return "A url carries no user or password: it is shown in logs. Use a header."
        guard.checked_url(url)
    except AddressRefused as error:
        return error.message
    except ValueError as error:
        return f"This is not a url: {error}."
    return None


def _read_headers(fields: Fields) -> dict[str, str]:
    headers = fields.texts("headers")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or any(c in value for c in "\r\n\0"):
            fields.problem("This is not a header.", "headers", name)
        elif name.lower() in _RESERVED_HEADERS or name.lower().startswith("tickwheel-"):
            fields.problem(f"{name} is set by Tickwheel.", "headers", name)
    return headers


def _read_expected(fields: Fields) -> frozenset[str]:
    expected = fields.items("expectStatus", ["2xx"])
    for index, status in enumerate(expected):
        if not _STATUS.fullmatch(str(status)):
            fields.problem(
                "A status is a number such as 204, or a class such as 2xx.",
                "expectStatus",
                str(index),
            )
    return frozenset(str(status).lower() for status in expected)
