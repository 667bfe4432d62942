"""An HTTP job's configuration: what may be said, and what it means.

Checked when the job is saved and read again when it runs, by the same function. Host names are
not resolved here: that they are allowed is only true at the moment of connecting. What a template
will say is not known here either, so a request is checked once more when it is made.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from app.handlers.certificates import trusted_certificates
from app.handlers.config_fields import Fields
from app.handlers.json_path import PathInvalid, Step, read_path
from app.handlers.network_guard import AddressRefused, NetworkGuard
from app.handlers.template_fields import NamedAt, TemplateFields
from app.handlers.templates import Template

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# Without a body of their own, the parameters are the body of the others.
_WITHOUT_BODY = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS = re.compile(r"[1-5](?:xx|[0-9]{2})", re.IGNORECASE)
_AUTHORITY = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE)
_MAX_URL = 8192
_MOST_CERTIFICATES = 64 * 1024

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
    """An HTTP job's configuration, checked.

    `target` is the whole address, or with `connection` the path below that endpoint's.
    """

    target: Template
    connection: str | None
    method: str
    headers: Mapping[str, Template]
    query: Mapping[str, Template]
    body: Template | None
    # A JSON value whose texts are templates; `sends_json` tells null from nothing.
    json: Any
    form: Mapping[str, Template] | None
    sends_json: bool
    connect_seconds: float
    read_seconds: float | None
    total_seconds: float | None
    expected: frozenset[str]
    follow: bool
    sign: str | None
    result_path: tuple[Step, ...]
    ca_certificates: str | None
    names: tuple[NamedAt, ...]

    @property
    def sends_parameters(self) -> bool:
        """Whether the run's parameters are the body."""
        has_own = self.body is not None or self.form is not None or self.sends_json
        return not has_own and self.method not in _WITHOUT_BODY

    def expects(self, status: int) -> bool:
        """Whether the status means success."""
        return str(status) in self.expected or f"{status // 100}xx" in self.expected


def read_http_config(config: Mapping[str, Any], guard: NetworkGuard) -> HttpConfig:
    """Check an HTTP job's configuration. Raises InvalidInput."""
    fields = Fields(config)
    templates = TemplateFields(fields)
    connection = fields.text("connection")
    target = _read_target(fields, templates, guard, connection)
    method = (fields.text("method", "POST") or "POST").upper()
    if method not in METHODS:
        fields.problem(f"{method} is not a method here.", "method", hint=", ".join(METHODS))
    timeout = fields.inner("timeout")
    connect_seconds = timeout.number("connect", 10.0, minimum=0.001, maximum=600)
    result = HttpConfig(
        target=target,
        connection=connection,
        method=method,
        headers=read_headers(fields, templates),
        query=templates.texts("query"),
        body=templates.text("body"),
        json=templates.tree("json"),
        form=templates.texts("form") if "form" in fields else fields.anything("form"),
        sends_json="json" in fields,
        connect_seconds=connect_seconds or 10.0,
        read_seconds=timeout.number("read", minimum=0.001, maximum=86_400),
        total_seconds=timeout.number("total", minimum=0.001, maximum=86_400),
        expected=_read_expected(fields),
        follow=fields.flag("follow", True),
        sign=fields.text("sign"),
        result_path=_read_result_path(fields),
        ca_certificates=_read_certificates(fields),
        names=tuple(templates.names),
    )
    given = [name for name in ("body", "json", "form") if name in fields]
    if len(given) > 1:
        fields.problem(f"Give one of {' and '.join(given)}, not both.", given[1])
    _refuse_secrets_for_an_open_host(fields, result)
    fields.finish(timeout)
    return result


def _read_target(
    fields: Fields, templates: TemplateFields, guard: NetworkGuard, connection: str | None
) -> Template:
    if connection is None:
        fields.refuse("path", "A path goes with a connection; without one give the whole url.")
        target = templates.text("url", required=True)
        # A host that the run will name is checked when it has.
        is_known = target is not None and not has_open_host(target)
        problem = url_problem(_with_stand_ins(target), guard) if target and is_known else None
    else:
        fields.refuse("url", "The address is the connection's: give a path below it.")
        target = templates.text("path")
        below = _with_stand_ins(target or Template(()))
        problem = url_problem(f"http://endpoint.invalid/{below}", guard)
    if problem:
        fields.problem(problem, "url" if connection is None else "path")
    return target or Template(())


def _refuse_secrets_for_an_open_host(fields: Fields, config: HttpConfig) -> None:
    """Who may choose a run's parameters must not choose where its secrets go."""
    is_open = config.connection is None and has_open_host(config.target)
    secret = config.sign is not None or any(at.name.root == "secrets" for at in config.names)
    if is_open and secret:
        fields.problem(
            "Its host is only known at the run, so this job may carry no secrets: write the host "
            "out, or use an endpoint.",
            "url",
        )


def has_open_host(target: Template) -> bool:
    """Return whether the host of an address is only known when the run's values are filled in."""
    first = target.parts[0] if target.parts else ""
    if not isinstance(first, str):
        return True
    authority = _AUTHORITY.match(first)
    return len(target.parts) > 1 and (authority is None or authority.end() == len(first))


def _with_stand_ins(target: Template) -> str:
    return "".join(part if isinstance(part, str) else "x" for part in target.parts)


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


def read_headers(fields: Fields, templates: TemplateFields) -> dict[str, Template]:
    """Read headers; what their templates will say is checked when the request is made."""
    headers = templates.texts("headers")
    for name, value in headers.items():
        literal = "".join(part for part in value.parts if isinstance(part, str))
        if not _HEADER_NAME.fullmatch(name) or not is_header_value(literal):
            fields.problem("This is not a header.", "headers", name)
        elif is_reserved_header(name):
            fields.problem(f"{name} is set by Tickwheel.", "headers", name)
    return headers


def is_header_name(name: str) -> bool:
    """Return whether this can be the name of a header, and is not one of ours."""
    return bool(_HEADER_NAME.fullmatch(name)) and not is_reserved_header(name)


def is_header_value(value: str) -> bool:
    """Return whether this can be the value of a header: one line of it."""
    return not any(character in "\r\n\0" for character in value)


def is_reserved_header(name: str) -> bool:
    """Return whether only Tickwheel sets a header."""
    lower = name.lower()
    return lower in _RESERVED_HEADERS or lower.startswith(("tickwheel-", "webhook-"))


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


def _read_result_path(fields: Fields) -> tuple[Step, ...]:
    try:
        return read_path(fields.text("resultPath") or "")
    except PathInvalid as error:
        fields.problem(str(error), "resultPath")
        return ()


def _read_certificates(fields: Fields) -> str | None:
    text = fields.text("caCertificates")
    if text is None:
        return None
    if len(text) > _MOST_CERTIFICATES:
        fields.problem(f"At most {_MOST_CERTIFICATES:,} characters.", "caCertificates")
        return None
    try:
        trusted_certificates(None, text)
    except ssl.SSLError:
        fields.problem(
            "These are no certificates in PEM: -----BEGIN CERTIFICATE----- and so on.",
            "caCertificates",
        )
    return text
