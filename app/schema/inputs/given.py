"""Absent, null and given: from Strawberry's `UNSET` to the services' `ABSENT`."""

from collections.abc import Callable
from typing import Any, TypeVar

import strawberry

from app.services.absent import ABSENT, Given

Value = TypeVar("Value")
Read = TypeVar("Read")


def optional(description: str) -> Any:
    """Return a field that may be left out; null clears."""
    return strawberry.field(default=strawberry.UNSET, description=description)


def given(value: Value | None) -> Given[Value]:
    """Return what the caller said, which may be nothing."""
    return ABSENT if value is strawberry.UNSET else value


def read(value: Value | None, reader: Callable[[Value], Read]) -> Given[Read]:
    """Return what the caller said in another form."""
    if value is strawberry.UNSET:
        return ABSENT
    return None if value is None else reader(value)
