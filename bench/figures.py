"""How figures are drawn from samples and printed."""

from collections.abc import Sequence
from math import ceil
from statistics import median

Row = Sequence[str | int | float]


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the smallest sample that at least `percent` of them do not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {name: median(each[name] for each in rounds) for name in rounds[0]}


def print_table(header: Sequence[str], rows: Sequence[Row]) -> None:
    """Print figures below each other; the first column is text."""
    table = [list(header), *([_shown(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    for first, *others in table:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        print("  " + "  ".join([first.ljust(widths[0]), *cells]))


def _shown(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else value
