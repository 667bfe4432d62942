"""What every process shows of itself."""

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)


def process_registry(version: str) -> CollectorRegistry:
    """Return a registry that shows the process: memory, CPU, files, garbage, version."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Gauge(
        "tickwheel_build_info", "1, labelled with the version.", ["version"], registry=registry
    )
    build.labels(version).set(1)
    return registry
