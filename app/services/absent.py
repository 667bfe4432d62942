"""The difference between "leave it" and "clear it".

In a change, a field that is absent keeps its value; one that is None loses it.
"""

from enum import Enum
from typing import Final, Literal, TypeAlias, TypeGuard, TypeVar

T = TypeVar("T")


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "ABSENT"


ABSENT: Final = Absent.ABSENT
Given: TypeAlias = T | Literal[Absent.ABSENT] | None


def is_given(value: Given[T]) -> TypeGuard[T | None]:
    """Return whether the caller said anything about the field."""
    return value is not ABSENT


def chosen(value: Given[T], *, otherwise: T) -> T:
    """Return a given value; `otherwise` where it is absent or cleared."""
    return otherwise if value is ABSENT or value is None else value
