"""What an API process counts, and what it shows of the instance."""

from collections.abc import Iterable, Sequence

from prometheus_client import Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from app import __version__
from app.metrics.process import process_registry


class Shown(Collector):
    """Families that somebody else has filled in, just before they are read."""

    def __init__(self) -> None:
        self.families: Sequence[Metric] = ()

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self.families


class ApiMetrics:
    """The metrics of an API process."""

    def __init__(self) -> None:
        self.registry = process_registry(__version__)
        self.instance = Shown()
        self.registry.register(self.instance)
        self.operations = Counter(
            "tickwheel_graphql_operations_total",
            "GraphQL operations over HTTP, by how they ended.",
            ["outcome"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "tickwheel_graphql_operation_seconds",
            "How long GraphQL operations over HTTP took.",
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
            registry=self.registry,
        )
        self.sockets = Gauge(
            "tickwheel_websockets", "Open WebSocket connections.", registry=self.registry
        )
        self.subscribers = Gauge(
            "tickwheel_subscribers", "Open subscriptions to live feeds.", registry=self.registry
        )

    def render(self) -> bytes:
        """Return everything as text."""
        return generate_latest(self.registry)
