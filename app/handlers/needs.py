"""What a job's configuration asks for beyond itself, so that it can be had before it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import InvalidInput
from app.core.secret_references import references_in
from app.core.vocabulary import JobKind
from app.handlers.config_fields import Fields
from app.handlers.http_config import read_http_config
from app.handlers.network_guard import NetworkGuard
from app.handlers.template_fields import NamedAt, TemplateFields

# What a configuration needs has nothing to do with where it may lead.
_ANYWHERE = NetworkGuard(allow_networks=("0.0.0.0/0", "::/0"))


@dataclass(frozen=True, slots=True)
class Needs:
    """What a configuration refers to: secrets and an endpoint by their keys, and template names."""

    secrets: frozenset[str] = frozenset()
    endpoint: str | None = None
    names: tuple[NamedAt, ...] = ()

    @property
    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Return the parameters that it cannot do without, each with where it is used."""
        return {
            at.name.member: at.path
            for at in self.names
            if at.name.root == "parameters" and at.name.member and not at.name.is_optional
        }


def needs_of(kind: JobKind, config: Mapping[str, Any]) -> Needs:
    """Return what a configuration needs. Never raises: what is wrong with it is told elsewhere."""
    keys = {key for _, key in references_in(config)}
    if kind is not JobKind.HTTP:
        return Needs(frozenset(keys))
    try:
        http = read_http_config(config, _ANYWHERE)
    except InvalidInput:
        return Needs(frozenset(keys))
    keys |= secret_names(http.names)
    if http.sign is not None:
        keys.add(http.sign)
    return Needs(frozenset(keys), http.connection, http.names)


def secret_names(names: tuple[NamedAt, ...]) -> set[str]:
    """Return the keys of the secrets that templates name."""
    return {at.name.member for at in names if at.name.root == "secrets" and at.name.member}


def endpoint_secrets(
    headers: Mapping[str, Any], variables: Mapping[str, Any], auth: Mapping[str, Any]
) -> frozenset[str]:
    """Return the keys of the secrets that an endpoint refers to. Never raises."""
    templates = TemplateFields(Fields({"headers": headers}))
    templates.texts("headers")
    referred = {key for value in (variables, auth) for _, key in references_in(value)}
    return frozenset(referred | secret_names(tuple(templates.names)))
