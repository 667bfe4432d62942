"""What a process counts about itself, in Prometheus' terms.

One registry per process, made by its entry point and passed down; nothing is a global.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ApiMetrics:
    """The metrics of an API process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
