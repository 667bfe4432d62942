"""Speak GraphQL to a server: ask by HTTP, watch by WebSocket.

Documents come from `operations/`, one file for what belongs together. What is watched goes on
after a cut connection: behind the last `cursor` where the stream has one, from the present state
where it has not.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPException
from importlib.resources import files
from typing import Any

from app import __version__
from app.client.address import Address
from app.client.errors import Problem, Refused, Unreachable, refuse_if_any

Record = dict[str, Any]

_ANSWER_SECONDS = 60.0
_CONNECT_SECONDS = 10.0
# How long a watch looks for a server that went away; a restart takes less.
_GIVE_UP_SECONDS = 60.0
_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
_FIRST_CLOSE_CODE_OF_OURS = 4400
_TOKEN_HINT = "Set TICKWHEEL_TOKEN to a token of the project; who administers it can make one."  # noqa: S105 - no token


class Server:
    """One server, asked by one caller. `on_cut` hears of connections that are made again."""

    def __init__(self, address: Address, *, on_cut: Callable[[str], None] = lambda _: None) -> None:
        self.address = address
        self._on_cut = on_cut
        # A redirect would take the token to where it leads.
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if address.is_local:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def ask(self, file: str, operation: str, **variables: Any) -> Record:
        """Return the data of a query or a mutation; raise `Refused` or `Unreachable`."""
        answer = self._post(_request(file, operation, variables))
        if answer.get("errors"):
            raise Refused(*(Problem.of(error) for error in answer["errors"]))
        data: Record = answer["data"]
        return data

    def change(self, file: str, operation: str, **variables: Any) -> Record:
        """Return the payload of a mutation with a single field; raise `Refused` with its errors."""
        payload: Record = self.ask(file, operation, **variables)[operation]
        refuse_if_any(payload["errors"])
        return payload

    def watch(self, file: str, operation: str, **variables: Any) -> Iterator[Record]:
        """Yield each message of a subscription, across cut connections, until it completes."""
        trouble: _Trouble | None = None
        heard = False
        while True:
            try:
                for message in self._subscribe(file, operation, variables):
                    heard, trouble = True, None
                    if "cursor" in message:
                        variables["after"] = message["cursor"]
                    yield message
            except _Cut as cut:
                if not heard:
                    raise self._unreachable(str(cut)) from cut
                if trouble is None:
                    trouble = _Trouble()
                    self._on_cut(f"{cut}; connecting again …")
                if not trouble.pause():
                    raise self._unreachable(str(cut)) from cut
            else:
                return

    def _post(self, body: Record) -> Record:
        request = urllib.request.Request(  # noqa: S310 - an address is http or https
            self.address.url,
            data=json.dumps(body).encode(),
            headers={
                "Accept": "application/json",
                "Content-Type": "application/json",
                "User-Agent": f"tickwheel/{__version__}",
                **self._credentials("Authorization", "X-Tickwheel-Project"),
            },
        )
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as response:
                return self._read(response.status, response.read())
        except urllib.error.HTTPError as error:
            return self._read(error.code, error.read())
        except urllib.error.URLError as error:
            raise self._unreachable(_in_words(error.reason)) from error
        except (OSError, HTTPException) as error:
            raise self._unreachable(_in_words(error)) from error

    def _read(self, status: int, body: bytes) -> Record:
        """Return an answer to a GraphQL request; anything else did not come from Tickwheel."""
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not {"data", "errors"} & answer.keys():
            raise self._unreachable(f"what answers with status {status} there is no Tickwheel")
        if status in (401, 403):
            problem = Problem.of(answer["errors"][0])
            raise Refused(Problem(problem.code, problem.message, hint=_TOKEN_HINT))
        return answer

    def _subscribe(self, file: str, operation: str, variables: Record) -> Iterator[Record]:
        """Yield the messages of one connection; raise `_Cut` when it ends before they do."""
        from websockets.exceptions import ConnectionClosed, WebSocketException
        from websockets.sync.client import connect
        from websockets.typing import Subprotocol

        options: Record = {"proxy": None} if self.address.is_local else {}
        try:
            with connect(
                self.address.websocket_url,
                subprotocols=[Subprotocol("graphql-transport-ws")],
                compression=None,
                max_size=None,
                open_timeout=_CONNECT_SECONDS,
                close_timeout=1,
                **options,
            ) as socket:
                credentials = self._credentials("authorization", "project")
                socket.send(json.dumps({"type": "connection_init", "payload": credentials}))
                request = _request(file, operation, variables)
                # A stream may be silent for long; pings, which the library sends, find a dead one.
                while True:
                    message = json.loads(socket.recv())
                    match message["type"]:
                        case "connection_ack":
                            start = {"id": "1", "type": "subscribe", "payload": request}
                            socket.send(json.dumps(start))
                        case "ping":
                            socket.send('{"type": "pong"}')
                        case "next":
                            yield _data(message["payload"])
                        case "error":
                            raise Refused(*(Problem.of(error) for error in message["payload"]))
                        case "complete":
                            return
        except ConnectionClosed as error:
            close = error.rcvd
            if close is not None and close.code >= _FIRST_CLOSE_CODE_OF_OURS:
                raise Refused(Problem("FORBIDDEN", close.reason, hint=_TOKEN_HINT)) from error
            raise _Cut("The connection was closed") from error
        except (OSError, WebSocketException) as error:
            raise _Cut(_in_words(error)) from error

    def _credentials(self, token_name: str, project_name: str) -> dict[str, str]:
        given = {}
        if self.address.token is not None:
            given[token_name] = f"Bearer {self.address.token}"
        if self.address.project is not None:
            given[project_name] = self.address.project
        return given

    def _unreachable(self, reason: str) -> Unreachable:
        return Unreachable(
            Problem(
                "UNREACHABLE",
                f"No answer from {self.address.url}: {reason}.",
                hint="Is the API running there? Name another server with --url or TICKWHEEL_URL; "
                "`tickwheel doctor` looks at one from the inside.",
            )
        )


class _Cut(Exception):
    """A connection ended before what it carried."""


class _Trouble:
    """A server that does not answer: how long already, and how long to wait before the next try."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._tries = 0

    def pause(self) -> bool:
        """Wait a little longer than the last time; return False once it has been long enough."""
        # A client has one thing to do; Ctrl-C ends the pause.
        time.sleep(_PAUSES_SECONDS[min(self._tries, len(_PAUSES_SECONDS) - 1)])
        self._tries += 1
        return time.monotonic() - self._since < _GIVE_UP_SECONDS


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


@cache
def document(file: str) -> str:
    """Return the text of one of our documents; a file may hold several operations."""
    return (files("app.client") / "operations" / f"{file}.graphql").read_text(encoding="utf-8")


def _request(file: str, operation: str, variables: Record) -> Record:
    return {"query": document(file), "operationName": operation, "variables": variables}


def _data(payload: Record) -> Record:
    if payload.get("errors"):
        raise Refused(*(Problem.of(error) for error in payload["errors"]))
    (message,) = payload["data"].values()
    return dict(message)


def _in_words(error: object) -> str:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words[0].lower() + words[1:].rstrip(".")
