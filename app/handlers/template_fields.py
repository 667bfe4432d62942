"""Read the texts of a configuration as templates, each with the path it stands at.

A reference `{"secret": "key"}` may stand wherever a template may; it is the template that names
that secret and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.secret_references import reference_to
from app.handlers.config_fields import Fields
from app.handlers.templates import (
    MOST_EXPRESSIONS,
    Expression,
    Name,
    Template,
    TemplateInvalid,
    compile_template,
    secret_template,
)


@dataclass(frozen=True, slots=True)
class NamedAt:
    """A name that a template uses, and where in the configuration."""

    path: tuple[str, ...]
    name: Name


class TemplateFields:
    """The templates of one configuration, being read; what is wrong is noted in its `Fields`."""

    def __init__(self, fields: Fields) -> None:
        self.names: list[NamedAt] = []
        self._fields = fields
        self._expressions = 0

    def text(self, name: str, *, required: bool = False) -> Template | None:
        """Read a text."""
        value = self._fields.anything(name)
        if required and not value:
            self._fields.problem(f"{name} is required.", name)
            return None
        return None if value is None else self._template(value, name)

    def texts(self, name: str) -> dict[str, Template]:
        """Read an object whose values are texts; numbers are written out."""
        values = self._fields.anything(name)
        if values is None:
            return {}
        if not isinstance(values, Mapping):
            self._fields.problem(f"{name} must be an object of texts.", name)
            return {}
        read = {}
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                value = str(value)  # noqa: PLW2901 - written out
            template = self._template(value, name, str(key))
            if template is not None:
                read[str(key)] = template
        return read

    def tree(self, name: str) -> Any:
        """Read any JSON value: every text in it is a template."""
        return self._tree(self._fields.anything(name), name)

    def _tree(self, value: Any, *path: str) -> Any:
        if isinstance(value, str) or reference_to(value) is not None:
            return self._template(value, *path)
        if isinstance(value, Mapping):
            return {key: self._tree(item, *path, str(key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._tree(item, *path, str(index)) for index, item in enumerate(value)]
        return value

    def _template(self, value: Any, *path: str) -> Template | None:
        key = reference_to(value)
        if key is None and not isinstance(value, str):
            self._fields.problem(f"{path[-1]} must be a text.", *path)
            return None
        try:
            template = secret_template(key) if key is not None else compile_template(value)
        except TemplateInvalid as error:
            self._fields.problem(str(error), *path)
            return None
        self._note(template, path)
        return template

    def _note(self, template: Template, path: tuple[str, ...]) -> None:
        before = self._expressions
        self._expressions += sum(isinstance(part, Expression) for part in template.parts)
        if before <= MOST_EXPRESSIONS < self._expressions:
            self._fields.problem(f"At most {MOST_EXPRESSIONS} expressions are allowed.", *path)
        where = (*self._fields.path, *path)
        self.names.extend(NamedAt(where, name) for name in template.names)
