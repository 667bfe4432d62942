"""The log file of an embedded service, kept from growing without end."""

from pathlib import Path
from typing import BinaryIO

_LARGEST_BYTES = 10_000_000


def open_log(path: Path) -> BinaryIO:
    """Open for appending, mode 600; a large one is set aside first, replacing the one before."""
    if path.exists() and path.stat().st_size > _LARGEST_BYTES:
        path.replace(path.with_suffix(".log.1"))
    path.touch(mode=0o600, exist_ok=True)
    return path.open("ab")


def tail(path: Path, *, lines: int = 15) -> str:
    """Return the last lines, for an error message."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 10_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
