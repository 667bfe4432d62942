"""Read a job's configuration strictly, and report everything that is wrong with it at once.

A `Fields` hands out the values of one object by name and type, notes each problem with its path
below `config`, and at the end refuses the keys nobody asked for. Unknown keys are errors because
a forgotten one is a security setting that silently does nothing.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from app.core.errors import Invalid, InvalidInput


class Fields:
    """The keys of one configuration object, being read."""

    def __init__(self, config: object, *, path: tuple[str, ...] = ("config",)) -> None:
        self.path = path
        self.problems: list[Invalid] = []
        self._known: list[str] = []
        self._config: Mapping[str, Any] = {}
        if isinstance(config, Mapping):
            self._config = config
        else:
            self.problem("This must be an object.")

    def __contains__(self, name: str) -> bool:
        return self._config.get(name) is not None

    def problem(self, message: str, *below: str, hint: str | None = None) -> None:
        """Note that something below this object is wrong."""
        self.problems.append(Invalid(message, path=(*self.path, *below), hint=hint))

    def text(self, name: str, default: str | None = None, *, required: bool = False) -> str | None:
        """Read a text."""
        value: str | None = self._read(name, str, "a text", default)
        if required and not value and not self._reported(name):
            self.problem(f"{name} is required.", name)
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Read true or false."""
        return bool(self._read(name, bool, "true or false", default))

    def number(
        self, name: str, default: float | None = None, *, minimum: float, maximum: float
    ) -> float | None:
        """Read a number within bounds."""
        value: float | None = self._read(name, (int, float), "a number", default)
        if value is None or minimum <= value <= maximum:
            return value
        self.problem(f"{name} must be between {minimum:g} and {maximum:g}.", name)
        return default

    def whole_number(self, name: str, *, minimum: int, maximum: int) -> int | None:
        """Read a whole number within bounds."""
        value: int | None = self._read(name, int, "a whole number", None)
        if value is None or minimum <= value <= maximum:
            return value
        self.problem(f"{name} must be between {minimum} and {maximum}.", name)
        return None

    def texts(self, name: str) -> dict[str, str]:
        """Read an object whose values are texts; numbers are written out."""
        values: Mapping[str, Any] = self._read(name, Mapping, "an object of texts", {})
        texts = {}
        for key, value in values.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                self.problem(f"{key} must be a text.", name, key)
            else:
                texts[key] = str(value)
        return texts

    def items(self, name: str, default: Sequence[Any]) -> Sequence[Any]:
        """Read a list."""
        return cast(Sequence[Any], self._read(name, list, "a list", default))

    def anything(self, name: str) -> Any:
        """Read a value of any type."""
        self._known.append(name)
        return self._config.get(name)

    def inner(self, name: str) -> "Fields":
        """Read an object inside this one; its problems are noted here by `finish`."""
        value = self._read(name, Mapping, "an object", {})
        return Fields(value, path=(*self.path, name))

    def refuse(self, name: str, message: str) -> None:
        """Know the key, and refuse it with a reason."""
        self._known.append(name)
        if name in self:
            self.problem(message, name)

    def finish(self, *inner: "Fields") -> None:
        """Raise InvalidInput if anything was wrong."""
        problems = self._all_problems()
        for fields in inner:
            problems += fields._all_problems()
        if problems:
            raise InvalidInput(problems)

    def _all_problems(self) -> list[Invalid]:
        for key in self._config:
            if key not in self._known:
                self.problem(f"{key} is not a setting here.", str(key), hint=self._hint(str(key)))
        return self.problems

    def _hint(self, key: str) -> str:
        allowed = f"Allowed: {', '.join(sorted(self._known))}."
        close = get_close_matches(key, self._known, n=1)
        return f"Did you mean {close[0]}? {allowed}" if close else allowed

    def _read(
        self, name: str, kind: type[Any] | tuple[type[Any], ...], words: str, default: Any
    ) -> Any:
        self._known.append(name)
        value = self._config.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problem(f"{name} must be {words}.", name)
            return default
        return value

    def _reported(self, name: str) -> bool:
        return any(problem.path == (*self.path, name) for problem in self.problems)
