"""A delay that spreads a herd: fixed by schedule and occurrence, never past the next one."""

from datetime import timedelta
from hashlib import blake2b
from typing import Final

_MILLISECOND: Final = timedelta(milliseconds=1)


def jitter_delay(key: str, nominal: int, most: timedelta) -> timedelta:
    """Return a delay in [0, most), in whole milliseconds.

    The same schedule and nominal instant (in microseconds) always give the same delay, so that a
    restart or a second worker comes to the same due instant.
    """
    steps = most // _MILLISECOND
    if steps <= 0:
        return timedelta(0)
    digest = blake2b(f"{key}\0{nominal}".encode(), digest_size=8).digest()
    return _MILLISECOND * (int.from_bytes(digest) % steps)
