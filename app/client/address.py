"""Which server to ask, and who asks.

Options come first, then `TICKWHEEL_URL`, `TICKWHEEL_TOKEN` and `TICKWHEEL_PROJECT`. Where nothing
names a server, it is the one that `tickwheel dev` runs here, with the token in its data directory:
that token is never sent anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from app.client.errors import Misused

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is, and the credentials for it."""

    url: str
    token: str | None
    project: str | None

    @property
    def websocket_url(self) -> str:
        """Return the same address for a WebSocket."""
        return "ws" + self.url.removeprefix("http")

    @property
    def is_local(self) -> bool:
        """Return whether it lies on this machine, where no proxy belongs in between."""
        return urlsplit(self.url).hostname in _LOOPBACK


def find_address(
    *, url: str | None, token: str | None, project: str | None, environ: Mapping[str, str]
) -> Address:
    """Return the address that options and environment name; raise `Misused` for one that is none.

    A text of `url` without a path gets `/graphql`.
    """
    named = url or environ.get("TICKWHEEL_URL")
    token = token or environ.get("TICKWHEEL_TOKEN")
    if named is None and token is None:
        token = _development_token(environ)
    return Address(
        url=_endpoint(named or _development_url(environ)),
        token=token,
        project=project or environ.get("TICKWHEEL_PROJECT"),
    )


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise Misused(
            f"{url[:200]!r} is not the URL of a server.",
            "Write it like https://tickwheel.example.org or http://127.0.0.1:8080.",
        )
    path = parts.path.rstrip("/") or "/graphql"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _development_url(environ: Mapping[str, str]) -> str:
    return f"http://127.0.0.1:{environ.get('TICKWHEEL_PORT') or 8080}"


def _development_token(environ: Mapping[str, str]) -> str | None:
    directory = Path(environ.get("TICKWHEEL_DATA_DIR") or ".tickwheel")
    try:
        return (directory / "admin-token").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return environ.get("TICKWHEEL_ADMIN_TOKEN") or None
