"""The data directory of `tickwheel dev`: one instance at a time, its admin token, its secret keys.

The lock is the kernel's (flock), so it is gone the moment its holder is, however that ended; what
the file says is only for the message to the second instance.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.core.errors import DependencyUnavailable, StateConflict
from app.sealing import new_key

_TOKEN_BYTES = 32


@contextmanager
def claimed(directory: Path, *, url: str) -> Iterator[None]:
    """Hold `directory` for this process, or say who holds it. `url` is where we will answer."""
    descriptor = _open_lock(directory)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(directory, os.pread(descriptor, 1000, 0)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def admin_token(directory: Path) -> str:
    """Return the token kept in `directory`, made on first use; only its owner can read it."""
    path = _made_once(
        directory / "admin-token", lambda: f"tw_admin.{secrets.token_urlsafe(_TOKEN_BYTES)}"
    )
    return path.read_text().strip()


def secret_keys_file(directory: Path) -> Path:
    """Return the file of the keys that seal secrets, made on first use, for its owner only."""
    return _made_once(directory / "secret-keys", lambda: new_key("dev"))


def _made_once(path: Path, make: Callable[[], str]) -> Path:
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{make()}\n")
    path.chmod(0o600)
    return path


def _open_lock(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DependencyUnavailable(
            f"The data directory {directory} cannot be used: {error.strerror}. Name another with "
            "TICKWHEEL_DATA_DIR, or start Tickwheel as the user who owns this one."
        ) from error


def _taken(directory: Path, content: bytes) -> StateConflict:
    try:
        holder = json.loads(content)
        who = f"by process {holder['pid']}, which answers at {holder['url']}"
    except (ValueError, KeyError, TypeError):
        who = "by another process"
    return StateConflict(
        f"The data directory {directory} is in use {who}. Stop that one, or name another "
        "directory with TICKWHEEL_DATA_DIR and other ports with TICKWHEEL_PORT and "
        "TICKWHEEL_WORKER_PORT.",
        current="IN_USE",
        allowed=["FREE"],
    )
