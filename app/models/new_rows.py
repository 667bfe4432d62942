"""Make many rows at once.

SQLModel's constructor sets each column through three layers of instrumentation, a third of a
millisecond for a schedule: most of what creating it costs. Rows that are checked already and are
written by plain inserts need none of that.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy.orm.attributes import manager_of_class
from sqlmodel import SQLModel
from sqlmodel._compat import init_pydantic_private_attrs

Table = TypeVar("Table", bound=SQLModel)


def new_row(table: type[Table], columns: dict[str, Any]) -> Table:
    """Return a row that no session knows; what `columns` leaves out has its default."""
    row: Table = manager_of_class(table).new_instance()
    init_pydantic_private_attrs(row)
    constants, factories = _defaults(table)
    made = {name: make() for name, make in factories.items() if name not in columns}
    row.__dict__.update(constants, **made, **columns)
    row.__pydantic_fields_set__.update(columns)
    return row


@cache
def _defaults(table: type[SQLModel]) -> tuple[dict[str, Any], dict[str, Callable[[], Any]]]:
    """Return what columns hold by default, and how that is made where each row has its own."""
    constants: dict[str, Any] = {}
    factories: dict[str, Callable[[], Any]] = {}
    for name, field in table.model_fields.items():
        if field.default_factory is not None:
            factories[name] = cast(Callable[[], Any], field.default_factory)
        elif not field.is_required():
            constants[name] = field.default
    return constants, factories
