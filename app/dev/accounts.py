"""Who the embedded services run as.

PostgreSQL refuses to run as root, and Redis has no need to. Started by an ordinary user, both run
as that user. Started by root, they run as the owner of the data they find or else as a system
account made for them, which has no shell, no home and no password.
"""

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.core.errors import DependencyUnavailable

_SERVICE_ACCOUNT = "tickwheel-dev"


@dataclass(frozen=True, slots=True)
class Account:
    """An operating-system account other than ours."""

    name: str
    uid: int
    gid: int

    def subprocess_identity(self) -> dict[str, Any]:
        """Return the arguments that make a child process run as this account and no other group."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def take(self, path: Path) -> None:
        """Make the account own `path`."""
        os.chown(path, self.uid, self.gid)


def service_account(data: Path) -> Account | None:
    """Return the account for services that keep their files in `data`; None: our own."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return _account(pwd.getpwuid(data.stat().st_uid))
    return _account(_service_entry())


def open_way(account: Account, path: Path) -> None:
    """Let `account` pass through the directories above `path`, and see nothing of them.

    Only root needs this: a checkout below /root, say, is closed to everybody else.
    """
    for parent in path.absolute().parents:
        status = parent.stat()
        if status.st_uid != account.uid and not status.st_mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _service_entry() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam(_SERVICE_ACCOUNT)
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    try:
        subprocess.run([*command, _SERVICE_ACCOUNT], check=False, capture_output=True)  # noqa: S603 - a fixed name
        # Another process may have made it at the same moment; what counts is that it is there.
        return pwd.getpwnam(_SERVICE_ACCOUNT)
    except (FileNotFoundError, KeyError) as error:
        raise DependencyUnavailable(
            f"The account {_SERVICE_ACCOUNT} for the embedded services could not be made: run "
            f"`{' '.join(command)} {_SERVICE_ACCOUNT}`, or start Tickwheel as an ordinary user."
        ) from error
