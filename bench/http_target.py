"""A server that answers every request at once, as a process: `python -m bench.http_target`.

It prints its port, and ends when its standard input does. Made of asyncio alone, so that what is
measured is the client.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import uvloop

_ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
)
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"


class _Target(asyncio.Protocol):
    """One connection. Reads heads, skips bodies, answers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are those of asyncio by behaviour, not by class.
        self._transport = cast(asyncio.Transport, transport)
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_END_OF_HEAD)) >= 0:
            head = self._received[:end].lower()
            start = head.find(_LENGTH)
            length = int(head[start + len(_LENGTH) :].split(b"\r\n", 1)[0]) if start >= 0 else 0
            whole = end + len(_END_OF_HEAD) + length
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(_ANSWER)


@asynccontextmanager
async def running_target() -> AsyncIterator[str]:
    """Run the server and return its origin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.http_target",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Target, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve())
