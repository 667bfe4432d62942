"""Small pieces of English: lists, runs, durations."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

ORDINALS: Final = ("", "first", "second", "third", "fourth", "fifth")


def join(parts: Sequence[str]) -> str:
    """Return "a, b and c"."""
    if len(parts) < 2:
        return "".join(parts)
    return ", ".join(parts[:-1]) + " and " + parts[-1]


def runs_in_words(values: Iterable[int], word: Callable[[int], str] = str) -> str:
    """Return values with runs of three and more shortened: "1 to 5, 10 and 12"."""
    parts: list[str] = []
    for first, last in _runs(values):
        if last - first > 1:
            parts.append(f"{word(first)} to {word(last)}")
        else:
            parts.extend(word(value) for value in range(first, last + 1))
    return join(parts)


def _runs(values: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return runs


def common_step(values: Sequence[int]) -> int | None:
    """Return the distance from each value to the next, if it is always the same."""
    steps = {after - before for before, after in pairwise(values)}
    return steps.pop() if len(steps) == 1 else None


def counted(count: int, unit: str) -> str:
    """Return "1 day" or "2 days"."""
    return f"{count} {unit}{'' if count == 1 else 's'}"


def ordinal(number: int) -> str:
    """Return "second", or "12th"."""
    return ORDINALS[number] if number < len(ORDINALS) else f"{number}th"


def duration_in_words(duration: timedelta) -> str:
    """Return "1 hour 30 minutes"."""
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    units = ((duration.days, "day"), (hours, "hour"), (minutes, "minute"), (seconds, "second"))
    parts = [counted(count, unit) for count, unit in units if count]
    if duration.microseconds:
        parts.append(f"{duration.microseconds / 1000:g} milliseconds")
    return " ".join(parts) or "0 seconds"
