"""An endpoint as an HTTP job uses it: where it is, what it is told, and how it knows us.

Its base URL and headers are templates over its own variables; its credentials refer to secrets
and are never written out. `read_endpoint` checks a definition when it is saved and again when it is
used; `Access` is what is left when the secrets are in their places.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.core.errors import Invalid, InvalidInput
from app.core.secret_references import reference_to, with_secrets
from app.handlers.config_fields import Fields
from app.handlers.execution import EndpointDefinition
from app.handlers.http_config import (
    has_open_host,
    is_header_name,
    is_header_value,
    read_headers,
    url_problem,
)
from app.handlers.network_guard import NetworkGuard
from app.handlers.template_fields import NamedAt, TemplateFields
from app.handlers.templates import Rendering, Template, TemplateFailed

AUTH_TYPES = ("apiKey", "basic", "bearer", "oauth2")
_VARIABLE_KINDS = str | int | float | bool
_MOST_VARIABLES = 100


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """An endpoint's definition, checked."""

    base_url: Template
    headers: Mapping[str, Template]
    variables: Mapping[str, Any]
    auth: Mapping[str, Any]
    names: tuple[NamedAt, ...]


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What an OAuth 2 token is asked for with."""

    token_url: str
    client_id: str
    client_secret: str
    in_body: bool
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Access:
    """An endpoint, ready to be asked. `credential` is the header that says who we are."""

    id: UUID
    key: str
    generation: str
    base_url: str
    headers: Mapping[str, str]
    variables: Mapping[str, Any]
    credential: tuple[str, str] | None
    oauth: ClientCredentials | None


def read_endpoint(
    base_url: str,
    headers: Mapping[str, Any],
    variables: Mapping[str, Any],
    auth: Mapping[str, Any],
    guard: NetworkGuard,
) -> EndpointConfig:
    """Check an endpoint's definition. Raises InvalidInput, with paths as in its input."""
    fields = Fields({"baseUrl": base_url, "headers": headers, "variables": variables}, path=())
    templates = TemplateFields(fields)
    url = _read_base_url(fields, templates, guard)
    found_headers = read_headers(fields, templates)
    found_variables = _read_variables(fields)
    auth_fields = Fields(auth, path=("auth",))
    if auth:
        _read_auth(auth_fields, guard)
    for named in templates.names:
        _check_name(fields, named, found_variables)
    fields.finish(auth_fields)
    return EndpointConfig(url, found_headers, found_variables, auth, tuple(templates.names))


def open_access(
    definition: EndpointDefinition, secrets: Mapping[str, str], guard: NetworkGuard
) -> Access:
    """Put the secrets in their places. Raises InvalidInput or TemplateFailed."""
    config = read_endpoint(
        definition.base_url, definition.headers, definition.variables, definition.auth, guard
    )
    variables = with_secrets(config.variables, secrets)
    rendering = Rendering({"endpoint": variables, "secrets": secrets})
    base_url = rendering.text(config.base_url)
    if problem := url_problem(base_url, guard):
        raise InvalidInput([Invalid(f"The endpoint {definition.key}: {problem}")])
    headers = {name: rendering.text(value) for name, value in config.headers.items()}
    auth = with_secrets(config.auth, secrets)
    for name, value in headers.items():
        if not is_header_value(value):
            raise TemplateFailed(f"The endpoint's header {name} would have several lines.")
    return Access(
        id=definition.id,
        key=definition.key,
        generation=definition.generation,
        base_url=base_url,
        headers=headers,
        variables=variables,
        credential=_credential(auth),
        oauth=_client_credentials(auth),
    )


def _read_base_url(fields: Fields, templates: TemplateFields, guard: NetworkGuard) -> Template:
    url = templates.text("baseUrl", required=True) or Template(())
    stand_ins = "".join(part if isinstance(part, str) else "x" for part in url.parts)
    if any(mark in stand_ins for mark in "?#"):
        fields.problem("A base URL has no query and no fragment: give them in the job.", "baseUrl")
    elif stand_ins and not has_open_host(url):
        if problem := url_problem(stand_ins, guard):
            fields.problem(problem, "baseUrl")
    elif stand_ins and not stand_ins.startswith(("http://", "https://")):
        fields.problem("A base URL begins with http:// or https://.", "baseUrl")
    return url


def _read_variables(fields: Fields) -> dict[str, Any]:
    values = fields.anything("variables") or {}
    if not isinstance(values, Mapping) or len(values) > _MOST_VARIABLES:
        fields.problem(f"This is an object of at most {_MOST_VARIABLES} values.", "variables")
        return {}
    for name, value in values.items():
        if reference_to(value) is None and not isinstance(value, _VARIABLE_KINDS):
            fields.problem("A variable is a text, a number, true or false.", "variables", name)
    return dict(values)


def _check_name(fields: Fields, at: NamedAt, variables: Mapping[str, Any]) -> None:
    if at.name.root == "secrets" and at.path[0] == "baseUrl":
        message = "A secret is no part of a base URL: it is shown to whoever may read endpoints."
        fields.problems.append(Invalid(message, path=at.path))
    elif at.name.root in ("parameters", "run"):
        message = f"An endpoint knows no {at.name.root}: give that in the job."
        fields.problems.append(Invalid(message, path=at.path))
    elif at.name.root == "endpoint" and not (at.name.is_optional or at.name.member in variables):
        message = f"The endpoint has no variable {at.name.member!r}."
        fields.problems.append(Invalid(message, path=at.path))


def _read_auth(fields: Fields, guard: NetworkGuard) -> None:
    kind = fields.text("type", required=True)
    match kind:
        case "bearer":
            _read_secret(fields, "token")
        case "basic":
            _read_text_or_secret(fields, "username")
            _read_secret(fields, "password")
        case "apiKey":
            header = fields.text("header", required=True)
            if header and not is_header_name(header):
                fields.problem("This is not a header, or it is set by Tickwheel.", "header")
            _read_secret(fields, "value")
        case "oauth2":
            _read_oauth(fields, guard)
        case str():
            fields.problem(f"{kind} is not known.", "type", hint=", ".join(AUTH_TYPES))


def _read_oauth(fields: Fields, guard: NetworkGuard) -> None:
    token_url = fields.text("tokenUrl", required=True)
    if token_url and (problem := url_problem(token_url, guard)):
        fields.problem(problem, "tokenUrl")
    _read_text_or_secret(fields, "clientId")
    _read_secret(fields, "clientSecret")
    for index, scope in enumerate(fields.items("scopes", [])):
        if not isinstance(scope, str) or not scope or any(c <= " " for c in scope):
            fields.problem("A scope is a text without blanks.", "scopes", str(index))
    fields.text("audience")
    if fields.text("sendAs", "header") not in ("header", "body"):
        fields.problem("The client says who it is in a header or in the body.", "sendAs")


def _read_secret(fields: Fields, name: str) -> None:
    if reference_to(fields.anything(name)) is None:
        fields.problem(
            'This is a secret: put it with secretPut, and refer to it as {"secret": "its key"}.',
            name,
        )


def _read_text_or_secret(fields: Fields, name: str) -> None:
    value = fields.anything(name)
    if reference_to(value) is None and (not isinstance(value, str) or not value):
        fields.problem(f"{name} is required: a text, or a secret.", name)


def _credential(auth: Mapping[str, Any]) -> tuple[str, str] | None:
    match auth.get("type"):
        case "bearer":
            return _header("Authorization", f"Bearer {auth['token']}")
        case "basic":
            pair = f"{auth['username']}:{auth['password']}".encode()
            return _header("Authorization", f"Basic {base64.b64encode(pair).decode()}")
        case "apiKey":
            return _header(auth["header"], auth["value"])
    return None


def _header(name: str, value: str) -> tuple[str, str]:
    stripped = value.strip()
    if not is_header_value(stripped):
        raise TemplateFailed(f"The endpoint's secret has several lines and cannot be a {name}.")
    return name, stripped


def _client_credentials(auth: Mapping[str, Any]) -> ClientCredentials | None:
    if auth.get("type") != "oauth2":
        return None
    fields = {"grant_type": "client_credentials"}
    if auth.get("scopes"):
        fields["scope"] = " ".join(auth["scopes"])
    if auth.get("audience"):
        fields["audience"] = auth["audience"]
    return ClientCredentials(
        token_url=auth["tokenUrl"],
        client_id=auth["clientId"],
        client_secret=auth["clientSecret"],
        in_body=auth.get("sendAs") == "body",
        fields=fields,
    )
