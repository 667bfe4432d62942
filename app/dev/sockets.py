"""A directory for one unix socket, short enough and ours alone.

The kernel allows 107 bytes for a socket's path, and data directories may lie deep. Then the socket
goes to a private directory under /tmp, and a symbolic link beside the data remembers where, so
that the next start removes what a crash left there.
"""

import shutil
import tempfile
from pathlib import Path

from app.dev.accounts import Account, open_way

_LONGEST_PATH_BYTES = 107


class SocketDirectory:
    """The place of a service's socket, next to its data or under /tmp."""

    def __init__(self, place: Path, *, socket_name: str) -> None:
        self._place = place
        self._socket_name = socket_name

    def make(self, account: Account | None) -> Path:
        """Return an empty directory with mode 700 that belongs to `account` (or to us)."""
        self.remove()
        socket = self._place / self._socket_name
        if len(bytes(socket)) <= _LONGEST_PATH_BYTES:
            path = self._place
            path.mkdir(mode=0o700)
        else:
            path = Path(tempfile.mkdtemp(prefix="tickwheel-", dir="/tmp"))
            self._place.symlink_to(path)
        if account:
            open_way(account, path)
            account.take(path)
        return path

    def remove(self) -> None:
        """Remove the directory of this start or of an earlier one."""
        if self._place.is_symlink():
            shutil.rmtree(self._place.readlink(), ignore_errors=True)
            self._place.unlink()
        else:
            shutil.rmtree(self._place, ignore_errors=True)
