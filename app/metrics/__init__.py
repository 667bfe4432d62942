"""What a process counts about itself, in Prometheus' terms.

One registry per process, made by its entry point and passed down; nothing is a global. What a
worker does is counted in `engine`, once a batch; an API process counts its own in `api` and shows
the instance beside it. Labels have few values: names that people choose are bounded.

Every name is in docs/operations.md; a test scrapes both kinds of process and compares.
"""

from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics

from app.metrics.api import ApiMetrics
from app.metrics.engine import EngineMetrics

__all__ = ["CONTENT_TYPE_LATEST", "ApiMetrics", "EngineMetrics"]

# A series beside each counter that says when it was first seen; nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call] # The library has no types here.
