"""Find the programs that come inside Python wheels, without importing those packages.

Importing them would do more than we want: both start keeping state of their own.
"""

import stat
from importlib.util import find_spec
from pathlib import Path

from app.core.errors import DependencyUnavailable
from app.dev.accounts import Account, open_way

_READ_AND_PASS = stat.S_IROTH | stat.S_IXOTH


def wheel_path(package: str, *parts: str) -> Path:
    """Return the path of something inside an installed package."""
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location, *parts)
        if path.exists():
            return path
    raise DependencyUnavailable(
        f"The package {package} is not installed, so there is nothing to embed: install "
        "tickwheel[embedded], or set TICKWHEEL_DATABASE_URL and TICKWHEEL_REDIS_URL."
    )


def let_run(account: Account, *trees: Path) -> None:
    """Let `account` run and load what is in `trees`, also where it was installed for us alone."""
    for tree in trees:
        open_way(account, tree)
        for path in (tree, *tree.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode & _wanted(mode) != _wanted(mode):
                path.chmod(mode | _wanted(mode))


def _wanted(mode: int) -> int:
    return _READ_AND_PASS if mode & stat.S_IXUSR else stat.S_IROTH
