"""A directory for one unix socket: short, plainly named and ours alone.

The kernel allows 107 bytes for a socket's path, and data directories may lie deep; a socket's path
also ends up in URLs and lists, where spaces and commas mean something. Then the socket goes to a
private directory under /tmp, and a symbolic link beside the data remembers where, so that the next
start removes what a crash left there.
"""

import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from app.dev.accounts import Account, open_way

_LONGEST_PATH_BYTES = 107
_PLAIN = re.compile(r"[\w./-]+", re.ASCII)


class SocketDirectory:
    """The place of a service's socket, next to its data or under /tmp."""

    def __init__(self, place: Path, *, socket_name: str) -> None:
        self._place = place
        self._socket_name = socket_name

    def make(self, account: Account | None) -> Path:
        """Return an empty directory with mode 700 that belongs to `account` (or to us)."""
        path = self._earlier(account) or self._new()
        if account:
            open_way(account, path)
            account.take(path)
        return path

    def _new(self) -> Path:
        self.remove()
        if self._is_fit_for_a_socket():
            self._place.mkdir(mode=0o700)
            return self._place
        path = Path(tempfile.mkdtemp(prefix="tickwheel-", dir="/tmp"))
        self._place.symlink_to(path)
        return path

    def _is_fit_for_a_socket(self) -> bool:
        path = str(self._place / self._socket_name)
        return len(path.encode()) <= _LONGEST_PATH_BYTES and _PLAIN.fullmatch(path) is not None

    def _earlier(self, account: Account | None) -> Path | None:
        """Return the directory of an earlier start, emptied: its users keep their URL.

        Somebody else may have taken the name under /tmp since then, so it must still be ours.
        """
        path = self._place.readlink() if self._place.is_symlink() else self._place
        owner = account.uid if account else os.geteuid()
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
            return None
        for entry in path.iterdir():
            entry.unlink()
        return path

    def remove(self) -> None:
        """Remove the directory of this start or of an earlier one."""
        if self._place.is_symlink():
            path = self._place.readlink()
            self._place.unlink()
            if not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
        else:
            shutil.rmtree(self._place, ignore_errors=True)
