"""A network that fails: a relay on loopback between processes and a server.

It delays what it carries, holds it back as a link that is down does, forgets one side of each
connection so that the other waits for ever, or resets every connection and refuses new ones.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_CHUNK = 65_536
_LOSING_SECONDS = 1.5


class Proxy:
    """One relay, to the unix socket of a server."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._delay_seconds = 0.0
        self._is_up = asyncio.Event()
        self._is_up.set()
        self._refuses = False
        self._loses_answers = False
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Return the port on 127.0.0.1."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        """Cut everything and stop listening."""
        assert self._server is not None
        self._server.close()
        self._reset_all()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def delay(self, seconds: float) -> None:
        """Let each chunk take so long, in each direction."""
        self._delay_seconds = seconds

    def take_down(self) -> None:
        """Hold back whatever is said; once the link is up again it arrives, as TCP does it."""
        self._is_up.clear()

    async def forget(self) -> None:
        """Lose answers, close the side of the server, and tell the clients nothing.

        A client that waits for such an answer waits for ever, also when the link is back.
        """
        self._loses_answers = True
        await asyncio.sleep(_LOSING_SECONDS)  # So that many are waiting for one.
        self.take_down()
        self._loses_answers = False
        for _, server in self._pairs:
            server.transport.abort()

    def reset(self) -> None:
        """Reset every connection, and each new one."""
        self._refuses = True
        self._reset_all()

    def heal(self) -> None:
        """Carry everything again."""
        self._delay_seconds, self._refuses = 0.0, False
        self._is_up.set()

    def _reset_all(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._relay(reader, writer)
        finally:
            self._serving.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._is_up.wait()
        if self._refuses:
            _reset(writer)
            return
        try:
            answers, server = await asyncio.open_unix_connection(str(self._target))
        except OSError:
            _reset(writer)
            return
        self._pairs.add(pair := (writer, server))
        there = asyncio.create_task(self._carry(reader, server))
        back = asyncio.create_task(self._carry(answers, writer, are_answers=True))
        try:
            # Whichever side ends first; a forgotten client is left alone until it says something.
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if not self._is_up.is_set():
                await there
        finally:
            for task in (there, back):
                task.cancel()
            self._pairs.discard(pair)
            for one in pair:
                _reset(one)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        are_answers: bool = False,
    ) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK):
                if are_answers and self._loses_answers:
                    continue
                await self._is_up.wait()
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)  # The delay is the fault itself.
                writer.write(chunk)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, so that the other side sees a reset and not an end."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.family == socket.AF_INET and not writer.transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def relaying(target: Path) -> AsyncIterator[Proxy]:
    """Relay for as long as the block lasts."""
    proxy = Proxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
