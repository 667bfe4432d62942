"""Histograms that take a batch at once.

The library's own take one value at a time, under a lock; a herd of ten thousand would feel it. One
thread writes these, so that they need none.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BatchHistogram(Collector):
    """A histogram with at most one label, whose values are few."""

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        bounds: Sequence[float],
        label: str | None = None,
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = tuple(bounds)
        self._label = label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, values: Iterable[float], label: str = "") -> None:
        """Count values; what two clocks make a little negative counts as nothing."""
        counts = self._counts.setdefault(label, [0] * (len(self._bounds) + 1))
        total = self._sums.get(label, 0.0)
        bounds = self._bounds
        for value in values:
            positive = value if value > 0 else 0.0
            counts[bisect_left(bounds, positive)] += 1
            total += positive
        self._sums[label] = total

    def describe(self) -> Iterable[Metric]:
        """Return the family without its values."""
        yield self._family()

    def collect(self) -> Iterable[Metric]:
        """Return the family with what was counted."""
        family = self._family()
        edges = [*map(_edge, self._bounds), "+Inf"]
        for label, counts in self._counts.items():
            family.add_metric(
                [] if self._label is None else [label],
                buckets=list(zip(edges, accumulate(counts), strict=True)),
                sum_value=self._sums[label],
            )
        yield family

    def _family(self) -> HistogramMetricFamily:
        labels = [] if self._label is None else [self._label]
        return HistogramMetricFamily(self._name, self._documentation, labels=labels)


def _edge(bound: float) -> str:
    return str(float(bound))
