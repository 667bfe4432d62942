"""Collect everything that is wrong with an input in one pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import InvalidInput, TickwheelError


class Complaints:
    """The failures found so far, each with its path into the input."""

    def __init__(self) -> None:
        self.errors: list[TickwheelError] = []

    def add(self, error: TickwheelError) -> None:
        """Note a failure, or each one of several."""
        self.errors.extend(error.errors if isinstance(error, InvalidInput) else [error])

    @contextmanager
    def under(self, *path: str) -> Iterator[None]:
        """Note a failure raised in the block, below `path`, and go on behind the block."""
        try:
            yield
        except TickwheelError as error:
            self.add(error.under(*path))

    def raise_if_any(self) -> None:
        """Raise what was found."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise InvalidInput(self.errors)
