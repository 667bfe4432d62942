"""Serve GraphiQL to browsers, from our own files and under a strict content security policy.

The page holds no secret and asks no one who they are: it is public, and what it may see is decided
by the token that its user gives it. Everything it loads comes from this server, and nothing runs
that is not in a file of ours: no inline script or style, no `eval`, no worker, no other host.

The files are built from `graphiql/` and committed; nothing here needs Node. Its links are relative
(`graphiql/…`, `graphql`), so it works wherever a proxy puts it, as long as the page, the API and
the files stay siblings.
"""

from pathlib import Path

from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FILES = Path(__file__).parent / "graphiql"

# 'self' in connect-src covers the WebSocket of the same origin, too.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def explorer_routes(path: str = "/graphiql") -> list[BaseRoute]:
    """Return the routes of the page, at `path`, and of its files, below it.

    `path` is a sibling of the GraphQL endpoint and ends in `graphiql`, as the page's links say.
    """
    if not path.endswith("/graphiql"):
        raise ValueError(f"The explorer's path must end in /graphiql, and {path} does not.")
    files = Mount(
        path,
        app=_ImmutableFiles(directory=_FILES / "static"),
        middleware=[Middleware(GZipMiddleware)],
        name="explorer_files",
    )
    return [Route(path, explorer_page, methods=["GET"], name="explorer"), files]


async def explorer_page(request: Request) -> Response:
    """Answer a browser with the page; the GraphQL view calls this for `Accept: text/html`."""
    headers = {
        **SECURITY_HEADERS,
        "Cache-Control": "no-cache",
        # One address answers a browser with this page, and a client with data.
        "Vary": "Accept",
    }
    return FileResponse(_FILES / "index.html", headers=headers)


class _ImmutableFiles(StaticFiles):
    """Files named by their content: what a name once meant, it means for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.headers.update(SECURITY_HEADERS)
        return response
