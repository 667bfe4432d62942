"""What can go wrong for a client, and the exit code of each.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused, or failed |
| 2 | a wrong option, argument or setting |
| 3 | the run that was waited for did not succeed |
| 4 | the server cannot be reached |
| 130 | stopped by Ctrl-C |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_RUN_FAILED = 3
EXIT_UNREACHABLE = 4


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: a stable code, words, and where in the input it lies."""

    code: str
    message: str
    path: tuple[str, ...] = ()
    hint: str | None = None

    @classmethod
    def of(cls, error: Mapping[str, Any]) -> "Problem":
        """Return what an entry of a payload's `errors` says, or one of the answer's `errors`."""
        extensions = error.get("extensions") or {}
        return cls(
            code=str(error.get("code") or extensions.get("code") or "INVALID"),
            message=str(error["message"]),
            path=tuple(str(step) for step in error.get("path") or ()),
            hint=error.get("hint") or extensions.get("hint"),
        )

    def lines(self) -> list[str]:
        """Return the problem as it is printed."""
        where = f" ({'.'.join(self.path)})" if self.path else ""
        said = [f"error: {self.code}{where}: {self.message}"]
        return said if self.hint is None else [*said, f"hint: {self.hint}"]


class ClientError(Exception):
    """A failure that ends a command: printed to standard error, without a traceback."""

    exit_code = EXIT_FAILED

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems

    def lines(self) -> list[str]:
        """Return all of it as it is printed."""
        return [line for problem in self.problems for line in problem.lines()]


class Refused(ClientError):
    """The server has answered, and said no."""


class Unreachable(ClientError):
    """Nobody answers at that address, or it is no Tickwheel."""

    exit_code = EXIT_UNREACHABLE


class Misused(ClientError):
    """Options that do not go together, or an argument that is none."""

    exit_code = EXIT_USAGE

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(Problem("USAGE", message, hint=hint))


def refuse_if_any(errors: Sequence[Mapping[str, Any]]) -> None:
    """Raise what the `errors` of a payload say; an empty list says nothing."""
    if errors:
        raise Refused(*(Problem.of(error) for error in errors))
