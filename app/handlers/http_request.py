"""Make an HTTP job's request from its configuration, its endpoint and its run.

Here templates are filled in, and what they say is checked like anything that came from outside.
What identifies the caller, to whomever it was meant for, never follows a redirect to another host.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
import orjson
from yarl import URL

from app.core.clock import utc_now
from app.handlers.execution import Execution, Refused
from app.handlers.http_config import (
    HttpConfig,
    has_open_host,
    is_header_value,
    url_problem,
)
from app.handlers.http_endpoint import Access
from app.handlers.http_signing import KeyUnusable, signature_headers
from app.handlers.network_guard import AddressRefused, NetworkGuard
from app.handlers.templates import Rendering, Template, TemplateFailed

_FOR_ONE_HOST_ONLY = frozenset(
    {"authorization", "cookie", "webhook-id", "webhook-timestamp", "webhook-signature"}
)


@dataclass(frozen=True, slots=True)
class Request:
    """One hop. `confidential`: the headers, in small letters, that are for its host only."""

    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes | None
    confidential: frozenset[str] = _FOR_ONE_HOST_ONLY
    # The body holds a secret.
    is_sealed: bool = False

    def with_header(self, name: str, value: str) -> Self:
        """Return the same request with a header in the place of any of that name."""
        others = {k: v for k, v in self.headers.items() if k.lower() != name.lower()}
        return replace(
            self, headers={**others, name: value}, confidential=self.confidential | {name.lower()}
        )

    def redirected(self, response: aiohttp.ClientResponse, guard: NetworkGuard) -> Self:
        """Return the next hop. Raises AddressRefused or ValueError."""
        target = self.url.join(URL(response.headers["Location"])).with_fragment(None)
        if problem := url_problem(str(target), guard):
            raise AddressRefused(f"It redirects to where it may not: {problem}")
        hop = replace(self, url=target)
        becomes_get = response.status == 303 or (
            response.status in (301, 302) and self.method == "POST"
        )
        if becomes_get and self.method != "HEAD":
            hop = replace(hop._without("content-type"), method="GET", body=None, is_sealed=False)
        if target.origin() != self.url.origin():
            if hop.is_sealed:
                raise AddressRefused("It redirects a body that holds a secret to another host.")
            hop = hop._without(*self.confidential)
        return hop

    def _without(self, *names: str) -> Self:
        kept = {k: v for k, v in self.headers.items() if k.lower() not in names}
        return replace(self, headers=kept)


def first_request(
    config: HttpConfig, execution: Execution, access: Access | None, guard: NetworkGuard
) -> Request:
    """Return the first hop, without an OAuth 2 token. Raises Refused or TemplateFailed."""
    rendering = Rendering(_values(execution, access))
    url = _url(config, access, rendering, guard)
    body, content_type = _body(config, execution, rendering)
    headers = {} if access is None else dict(access.headers)
    for name, template in config.headers.items():
        _put(headers, name, _header(name, rendering.text(template)))
    if content_type is not None and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    headers |= _run_headers(execution)
    if config.sign is not None:
        headers |= _signature(config.sign, execution, body or b"")
    request = Request(
        config.method,
        url.update_query({name: rendering.text(each) for name, each in config.query.items()}),
        headers,
        body,
        confidential=_FOR_ONE_HOST_ONLY | _with_secrets(headers, execution),
        is_sealed=body is not None and _holds_secret(body.decode("utf-8", "replace"), execution),
    )
    if access is None or access.credential is None:
        return request
    return request.with_header(*access.credential)


def _values(execution: Execution, access: Access | None) -> dict[str, Any]:
    scheduled_for = execution.scheduled_for.astimezone(UTC)
    previous = execution.previous_success_at
    return {
        "parameters": dict(execution.parameters),
        "endpoint": {} if access is None else dict(access.variables),
        "secrets": dict(execution.secrets),
        "run": {
            "attempt": execution.attempt,
            "id": execution.public_run_id,
            "job": execution.job_key,
            "maxAttempts": execution.max_attempts,
            "previousSuccessAt": previous and previous.astimezone(UTC).isoformat(),
            "project": execution.project_key,
            "schedule": execution.schedule_key,
            "scheduledDate": scheduled_for.date().isoformat(),
            "scheduledFor": scheduled_for.isoformat(),
        },
    }


def _url(
    config: HttpConfig, access: Access | None, rendering: Rendering, guard: NetworkGuard
) -> URL:
    if access is not None:
        path = rendering.text(config.target, encode=_segment)
        text = f"{access.base_url.rstrip('/')}/{path.lstrip('/')}" if path else access.base_url
    elif has_open_host(config.target):
        text = _open_url(config.target, rendering)
    else:
        text = rendering.text(config.target, encode=_segment)
    if problem := url_problem(text, guard):
        raise AddressRefused(problem)
    return URL(text)


def _open_url(target: Template, rendering: Rendering) -> str:
    """Fill in an address whose host is not known before: raw up to the host's end."""
    written = ""
    for part in target.parts:
        _, mark, rest = written.partition("://")
        has_host = bool(mark) and any(end in rest for end in "/?#")
        encode = _segment if has_host else None
        written += rendering.text(Template((part,)), encode=encode)
    return written


def _segment(value: str) -> str:
    """Encode a value so that it stays one part of a path or query, whatever it holds."""
    if value in (".", ".."):
        raise TemplateFailed(f"A value in a path is {value!r}, which leads elsewhere.")
    return quote(value, safe="")


def _header(name: str, value: str) -> str:
    if not is_header_value(value):
        raise TemplateFailed(f"The header {name} would have several lines.")
    return value


def _put(headers: dict[str, str], name: str, value: str) -> None:
    for other in [other for other in headers if other.lower() == name.lower()]:
        del headers[other]
    headers[name] = value


def _body(
    config: HttpConfig, execution: Execution, rendering: Rendering
) -> tuple[bytes | None, str | None]:
    """Return the body and its content type."""
    if config.body is not None:
        return rendering.text(config.body).encode(), "text/plain; charset=utf-8"
    if config.form is not None:
        form = {name: rendering.text(value) for name, value in config.form.items()}
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if config.sends_json:
        return orjson.dumps(rendering.tree(config.json)), "application/json"
    if config.sends_parameters:
        return orjson.dumps(dict(execution.parameters)), "application/json"
    return None, None


def _run_headers(execution: Execution) -> dict[str, str]:
    """Tell the other side which run this is, so that a repeated attempt has one effect."""
    span = hashlib.blake2b(
        f"{execution.run_id}/{execution.attempt}".encode(), digest_size=8
    ).hexdigest()
    return {
        "Idempotency-Key": execution.public_run_id,
        "Tickwheel-Run": execution.public_run_id,
        "Tickwheel-Attempt": str(execution.attempt),
        "Tickwheel-Occurrence": execution.scheduled_for.astimezone(UTC).isoformat(),
        "traceparent": f"00-{execution.run_id.hex}-{span}-01",
    }


def _signature(key: str, execution: Execution, body: bytes) -> dict[str, str]:
    secret = execution.secrets.get(key)
    if secret is None:
        raise Refused(f"There is no secret with the key {key!r}.", type_name="SecretMissing")
    try:
        return signature_headers(
            secret, message_id=execution.public_run_id, at=utc_now(), body=body
        )
    except KeyUnusable as error:
        raise Refused(str(error), type_name="KeyUnusable") from None


def _with_secrets(headers: Mapping[str, str], execution: Execution) -> frozenset[str]:
    return frozenset(
        name.lower() for name, value in headers.items() if _holds_secret(value, execution)
    )


def _holds_secret(text: str, execution: Execution) -> bool:
    redaction = execution.redaction
    return redaction is not None and redaction.text(text) != text
