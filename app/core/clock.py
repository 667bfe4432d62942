"""The only place that reads a clock.

Everything else takes the instant as an argument. For anything two processes must agree on,
PostgreSQL's clock decides; this one stamps logs and paces local loops.
"""

from datetime import UTC, datetime
from time import monotonic


def utc_now() -> datetime:
    """Return the present instant of this machine's clock, aware, in UTC."""
    return datetime.now(UTC)


def elapsed_seconds() -> float:
    """Return seconds on a clock that never jumps; only differences mean something."""
    return monotonic()
