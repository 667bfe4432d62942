"""Many subscribers in one process, as cheap as they can be: `python -m bench.live_clients`.

It opens the sockets, says "ready" when every subscription has had its first message, and notes of
each change the revision and the instant of its arrival. When its standard input ends, it writes
them to its standard output as pairs of doubles. Frames are taken apart by hand and nothing is
decoded, so that what is measured is the server; the clock is the machine's monotonic one, which
all processes share.
"""

import asyncio
import os
import socket
import sys
from array import array
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import orjson
import uvloop

from app.core.clock import elapsed_seconds

_AT_ONCE = 50
_REVISION = b'"revision":'
_TEXT, _PING, _PONG = 1, 9, 10
_SHORT, _MEDIUM, _LONG = 125, 126, 127


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who subscribes to what; `{number}` in the document becomes that of the subscriber."""

    url: str
    token: str
    document: str
    subscribers: int
    # Bytes that wait in the kernel for a subscriber who does not read; None: as many as it likes.
    receive_buffer: int | None = None


class Subscriber(asyncio.Protocol):
    """One socket with one subscription."""

    def __init__(self, crowd: Crowd, number: int, arrivals: "array[float]") -> None:
        self._crowd = crowd
        self._document = crowd.document.replace("{number}", str(number))
        self._arrivals = arrivals
        self._received = b""
        self._is_open = False
        self.subscribed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are those of asyncio by behaviour, not by class.
        self._transport = cast(asyncio.Transport, transport)
        address = urlsplit(self._crowd.url)
        head = (
            f"GET {address.path} HTTP/1.1",
            f"Host: {address.netloc}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Protocol: graphql-transport-ws",
        )
        self._transport.write(("\r\n".join(head) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if not self._is_open:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            assert self._received.startswith(b"HTTP/1.1 101"), self._received[:200]
            self._received, self._is_open = self._received[end + 4 :], True
            authorization = f"Bearer {self._crowd.token}"
            self._say(type="connection_init", payload={"authorization": authorization})
            self._say(id="1", type="subscribe", payload={"query": self._document})
        self._take_frames()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError("refused"))

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _say(self, **message: object) -> None:
        self._send(_TEXT, orjson.dumps(message))

    def _send(self, opcode: int, payload: bytes) -> None:
        """Send one frame, masked with zeros."""
        size = len(payload)
        length = (
            bytes([0x80 | size])
            if size <= _SHORT
            else bytes([0x80 | _MEDIUM]) + size.to_bytes(2, "big")
        )
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def _take_frames(self) -> None:
        received, start, available = self._received, 0, len(self._received)
        while available - start >= 2:
            size, begin = received[start + 1], start + 2
            if size == _MEDIUM:
                size, begin = int.from_bytes(received[begin : begin + 2], "big"), begin + 2
            elif size == _LONG:
                size, begin = int.from_bytes(received[begin : begin + 8], "big"), begin + 8
            if available < begin + size:
                break
            self._take(received[start] & 15, received, begin, begin + size)
            start = begin + size
        self._received = received[start:]

    def _take(self, opcode: int, received: bytes, begin: int, end: int) -> None:
        if opcode == _PING:
            self._send(_PONG, received[begin:end])
            return
        assert opcode == _TEXT, received[begin:end]
        at = received.find(_REVISION, begin, end)
        if at >= 0:
            digits = at + len(_REVISION)
            revision = int(received[digits : min(received.find(b",", digits), end)])
            self._arrivals.extend((revision, elapsed_seconds()))
        elif not self.subscribed.done() and received.find(b'"next"', begin, end) >= 0:
            self.subscribed.set_result(None)


class Subscribers:
    """A crowd in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def arrivals(self) -> "array[float]":
        """End them, and return the revision and the instant of each change they were told."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        found = array("d")
        found.frombytes(await self._process.stdout.read())
        await self._process.wait()
        return found


@asynccontextmanager
async def subscribing(crowd: Crowd) -> AsyncIterator[Subscribers]:
    """Run a crowd; it is there when the block begins."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.live_clients",
        crowd.url,
        crowd.token,
        crowd.document,
        str(crowd.subscribers),
        str(crowd.receive_buffer or ""),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield Subscribers(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _main() -> None:
    url, token, document, subscribers, buffer = sys.argv[1:]
    crowd = Crowd(url, token, document, int(subscribers), int(buffer) if buffer else None)
    arrivals: array[float] = array("d")
    everybody: list[Subscriber] = []
    for start in range(0, crowd.subscribers, _AT_ONCE):
        some = [
            Subscriber(crowd, number, arrivals)
            for number in range(start, min(start + _AT_ONCE, crowd.subscribers))
        ]
        for each in some:
            await _connect(crowd, each)
        await asyncio.gather(*(each.subscribed for each in some))
        everybody += some
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.read)
    for each in everybody:
        each.close()
    sys.stdout.buffer.write(arrivals.tobytes())
    sys.stdout.buffer.flush()


async def _connect(crowd: Crowd, subscriber: Subscriber) -> None:
    loop = asyncio.get_running_loop()
    address = urlsplit(crowd.url)
    connection = socket.socket()
    connection.setblocking(False)
    if crowd.receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, crowd.receive_buffer)
    await loop.sock_connect(connection, (address.hostname, address.port))
    await loop.create_connection(partial(_itself, subscriber), sock=connection)


def _itself(subscriber: Subscriber) -> Subscriber:
    return subscriber


if __name__ == "__main__":
    uvloop.run(_main())
