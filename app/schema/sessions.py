"""Browser sessions: a cookie that a one-time link buys.

A browser sends its cookies along with every request that any page makes, so a cookie alone proves
nothing. It counts only for a POST whose JSON body no foreign page can send without asking first,
and for a WebSocket, and only if the browser says that a page of our own origin is asking.
"""

from urllib.parse import urlsplit

import orjson
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from app.core.errors import ErrorCode
from app.listening import is_loopback
from app.runtime import Runtime
from app.schema.errors import AWAY_MESSAGE
from app.services.access import Unauthenticated
from app.services.browser_sessions import SESSION_LASTS, begin_session, end_session
from app.store.outages import is_away

COOKIE = "tickwheel_session"
_MOST_BODY_BYTES = 1_000


def session_of(connection: HTTPConnection) -> str | None:
    """Return the token of the browser's session, if a page of ours is asking."""
    token = connection.cookies.get(COOKIE)
    return token if token and is_same_origin(connection) else None


def is_same_origin(connection: HTTPConnection) -> bool:
    """Return whether the browser says that the asking page came from this very server.

    The scheme is not compared: behind a proxy that speaks TLS it is not ours to know.
    """
    origin = connection.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == connection.headers.get("host")


async def log_in(runtime: Runtime, request: Request) -> Response:
    """Take the code of a link, and set the cookie."""
    code = await _code_of(request)
    if code is None or not is_same_origin(request):
        return _refused(400, "BAD_REQUEST", 'Send the code of a link: {"code": "…"}.')
    try:
        token = await begin_session(runtime, code)
    except Unauthenticated as error:
        return _refused(401, "UNAUTHENTICATED", str(error))
    except Exception as error:
        if not is_away(error):
            raise
        return _refused(503, ErrorCode.DEPENDENCY_UNAVAILABLE.value, AWAY_MESSAGE)
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(SESSION_LASTS.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=not _is_plain_and_local(request),
    )
    return response


async def log_out(runtime: Runtime, request: Request) -> Response:
    """End the session, and take the cookie away."""
    token = session_of(request)
    if token is not None:
        await end_session(runtime, token)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE)
    return response


async def _code_of(request: Request) -> str | None:
    """Return the code in the body; None for a body that is none of ours."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY_BYTES:
            return None
    try:
        code = orjson.loads(body)["code"]
    except (ValueError, TypeError, LookupError):
        return None
    return code if isinstance(code, str) else None


def _is_plain_and_local(request: Request) -> bool:
    """Return whether this is `http://127.0.0.1`, where browsers take no cookie that wants TLS."""
    return request.url.scheme == "http" and is_loopback(request.url.hostname or "")


def _refused(status: int, code: str, message: str) -> Response:
    return JSONResponse(
        {"errors": [{"message": message, "extensions": {"code": code}}]}, status_code=status
    )
