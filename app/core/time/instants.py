"""Instants as whole numbers.

Inside this package an instant is a count of microseconds since 1970 in UTC and a local time is
a count of seconds or microseconds since 1970-01-01T00:00 on the zone's own wall clock. Whole
numbers compare and add faster than `datetime`, and cannot forget their zone.
The edges of the package speak `datetime`: aware and in UTC for instants, naive for local times.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
"""One second in microseconds."""

DAY_SECONDS: Final = 86_400

HORIZON: Final = timedelta(days=50 * 366)
"""No search looks further than this from where it starts."""

EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOCAL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times are naive


def to_microseconds(instant: datetime) -> int:
    """Return an aware instant as microseconds since 1970."""
    since = instant - _EPOCH
    return (since.days * DAY_SECONDS + since.seconds) * SECOND + since.microseconds


def from_microseconds(microseconds: int) -> datetime:
    """Return an instant, aware and in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def local_to_microseconds(local: datetime) -> int:
    """Return a naive local time as microseconds on its own wall clock."""
    since = local - _LOCAL_EPOCH
    return (since.days * DAY_SECONDS + since.seconds) * SECOND + since.microseconds


def local_from_microseconds(microseconds: int) -> datetime:
    """Return a naive local time."""
    return _LOCAL_EPOCH + timedelta(microseconds=microseconds)


def day_of(local_seconds: int) -> date:
    """Return the local calendar day of a local time in seconds."""
    return date.fromordinal(local_seconds // DAY_SECONDS + EPOCH_ORDINAL)


EARLIEST: Final = to_microseconds(datetime(1900, 1, 1, tzinfo=UTC))
LATEST: Final = to_microseconds(datetime(9900, 1, 1, tzinfo=UTC))
"""Nothing is due outside these two; it keeps every sum inside `datetime`."""

NEVER: Final = LATEST * 4
"""Later than everything; `-NEVER` is earlier than everything."""
