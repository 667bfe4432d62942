"""Templates: put, delete, list, and fill in. What was made from one does not change with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from app.core.errors import (
    AlreadyExists,
    Invalid,
    InvalidInput,
    LimitExceeded,
    NotFound,
    StateConflict,
)
from app.core.templates import BUILT_IN, defaults_of_schema, fill_in, open_names
from app.core.vocabulary import Role
from app.models import Template
from app.models.columns import new_id
from app.runtime import Runtime
from app.services.access import Principal
from app.services.complaints import Complaints
from app.services.rules import (
    check_description,
    check_key,
    check_name,
    check_object,
    check_parameters,
    check_parameters_schema,
)
from app.services.writing import Accepted, Subject, field_changes, note_audit
from app.store import templates as store
from app.store.database import ReadConnection, Transaction
from app.store.instants import read_now

MOST_TEMPLATES = 1_000
"""How many templates of its own a project has at most."""


@dataclass(frozen=True, slots=True)
class AnyTemplate:
    """A template, a project's own or a built-in one."""

    id: UUID
    key: str
    name: str
    description: str | None
    version: int
    built_in: bool
    parameters_schema: Mapping[str, Any] | None
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, row: Template) -> "AnyTemplate":
        """Return a project's own."""
        return cls(
            row.id,
            row.key,
            row.name,
            row.description,
            row.version,
            False,
            row.parameters_schema,
            row.defaults,
        )

    def filled(self, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the defaults with every parameter in its place.

        Raises InvalidInput with a path below `templateParameters`.
        """
        given = {**defaults_of_schema(self.parameters_schema), **(parameters or {})}
        try:
            check_parameters(given, self.parameters_schema)
        except (Invalid, InvalidInput) as error:
            raise _moved(error) from None
        wanted = set(open_names(self.defaults))
        if self.parameters_schema is None and given.keys() - wanted:
            unknown = min(given.keys() - wanted)
            raise Invalid(
                f"The template {self.key} has no parameter {unknown}.",
                path=("templateParameters", unknown),
            )
        missing = sorted(wanted - given.keys())
        if missing:
            raise Invalid(
                f"The template {self.key} needs {', '.join(missing)}.",
                path=("templateParameters", missing[0]),
            )
        filled: dict[str, Any] = fill_in(dict(self.defaults), given)
        return filled


BUILT_IN_TEMPLATES = tuple(
    AnyTemplate(
        uuid5(NAMESPACE_URL, f"tickwheel:template:{template.key}"),
        template.key,
        template.name,
        template.description,
        1,
        True,
        template.parameters_schema,
        template.defaults,
    )
    for template in BUILT_IN
)


@dataclass(frozen=True, slots=True)
class TemplateRequest:
    """What a template is to be; the key says which one."""

    key: str
    name: str
    description: str | None
    parameters_schema: Any
    defaults: Any


async def list_templates(connection: ReadConnection, principal: Principal) -> list[AnyTemplate]:
    """Return the built-in templates, and then the project's own, by key."""
    rows = await store.read_templates(connection, principal.project_id, limit=MOST_TEMPLATES)
    return [*BUILT_IN_TEMPLATES, *map(AnyTemplate.of, rows)]


async def find_template(
    connection: ReadConnection, principal: Principal, template_id: UUID
) -> AnyTemplate | None:
    """Return one template that the project has."""
    for template in BUILT_IN_TEMPLATES:
        if template.id == template_id:
            return template
    row = await store.read_template(connection, principal.project_id, template_id)
    return None if row is None else AnyTemplate.of(row)


def read_template(request: TemplateRequest) -> AnyTemplate:
    """Return the template that a request asks for. Raises InvalidInput with all that is wrong."""
    complaints = Complaints()
    with complaints.under():
        check_key(request.key)
    with complaints.under():
        check_name(request.name)
    with complaints.under():
        check_description(request.description or "")
    schema, defaults = request.parameters_schema, request.defaults
    if schema is not None:
        with complaints.under():
            check_parameters_schema(check_object(schema, "parametersSchema"))
    with complaints.under():
        check_object(defaults, "defaults")
    complaints.raise_if_any()
    properties = (schema or {}).get("properties", {})
    for name in sorted(set(open_names(defaults)) - set(properties)):
        complaints.add(
            Invalid(
                f"{name} is left open, and parametersSchema has no property of that name.",
                path=("defaults",),
            )
        )
    complaints.raise_if_any()
    return AnyTemplate(
        new_id(), request.key, request.name, request.description, 1, False, schema, defaults
    )


def sample_of(template: AnyTemplate) -> dict[str, Any] | None:
    """Return the defaults filled in with the schema's own values, if there are enough of them."""
    given = defaults_of_schema(template.parameters_schema)
    if set(open_names(template.defaults)) - given.keys():
        return None
    sample: dict[str, Any] = fill_in(dict(template.defaults), given)
    return sample


async def put_template(
    runtime: Runtime, principal: Principal, wanted: AnyTemplate
) -> Accepted[AnyTemplate]:
    """Create the template of that key, or replace it."""
    principal.require(Role.EDITOR)
    _refuse_built_in(wanted.key)
    columns = {
        "name": wanted.name,
        "description": wanted.description,
        "parameters_schema": wanted.parameters_schema,
        "defaults": dict(wanted.defaults),
    }
    async with runtime.database.transaction(principal.project_id) as transaction:
        before = await store.lock_template(transaction, principal.project_id, wanted.key)
        if before is None:
            after = await _create(transaction, principal, wanted, columns)
            await _note(transaction, principal, after, "templatePut", "Created")
            return Accepted(AnyTemplate.of(after))
        changes = field_changes(before.model_dump(), columns)
        if not changes:
            return Accepted(AnyTemplate.of(before))
        after = await store.update_template(
            transaction, before.id, {**columns, "updated_by": principal.actor}
        )
        await _note(transaction, principal, after, "templatePut", "Changed", changes=changes)
    return Accepted(AnyTemplate.of(after))


async def remove_template(
    runtime: Runtime, principal: Principal, key: str
) -> Accepted[AnyTemplate]:
    """Delete a template; what was made from it stays."""
    principal.require(Role.EDITOR)
    if any(template.key == key for template in BUILT_IN_TEMPLATES):
        raise StateConflict(
            "A built-in template cannot be deleted.",
            current="BUILT_IN",
            allowed=["a template of the project"],
            path=("key",),
        )
    async with runtime.database.transaction(principal.project_id) as transaction:
        row = await store.lock_template(transaction, principal.project_id, key)
        if row is None:
            raise NotFound(f"There is no template with the key {key[:200]!r}.", path=("key",))
        await store.delete_template(transaction, row.id)
        await _note(transaction, principal, row, "templateDelete", "Deleted")
    return Accepted(AnyTemplate.of(row))


def _moved(error: Invalid | InvalidInput) -> InvalidInput:
    """Return errors of `parameters` as those of `templateParameters`."""
    errors = error.errors if isinstance(error, InvalidInput) else (error,)
    for each in errors:
        each.path = ("templateParameters", *each.path[1:])
    return InvalidInput(errors)


def _refuse_built_in(key: str) -> None:
    if any(template.key == key for template in BUILT_IN_TEMPLATES):
        raise AlreadyExists(f"{key!r} is a built-in template: choose another key.", path=("key",))


async def _create(
    transaction: Transaction,
    principal: Principal,
    wanted: AnyTemplate,
    columns: Mapping[str, Any],
) -> Template:
    if await store.count_templates(transaction, principal.project_id) >= MOST_TEMPLATES:
        raise LimitExceeded(f"A project has at most {MOST_TEMPLATES:,} templates.", path=("key",))
    now = await read_now(transaction)
    template = Template(
        **columns,
        id=wanted.id,
        project_id=principal.project_id,
        key=wanted.key,
        created_at=now,
        updated_at=now,
        created_by=principal.actor,
        updated_by=principal.actor,
    )
    await store.insert_template(transaction, template)
    return template


async def _note(
    transaction: Transaction,
    principal: Principal,
    template: Template,
    action: str,
    what: str,
    *,
    changes: list[dict[str, Any]] | None = None,
) -> None:
    summary = f"{what} template {template.key}."
    await note_audit(
        transaction,
        principal,
        action,
        Subject.TEMPLATE,
        [(template.id, summary)],
        changes=changes or [],
    )
