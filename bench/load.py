"""Requests over loopback from a process of its own: the same one again and again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.pool import Pool
from urllib.parse import urlsplit

import uvloop

from app.core.clock import elapsed_seconds
from bench.figures import percentile


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    url: str
    body: bytes
    authorization: str = ""

    def wire(self) -> bytes:
        """Return the bytes of a request."""
        parts = urlsplit(self.url)
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Content-Type: application/json",
            "Accept: application/json",
            f"Content-Length: {len(self.body)}",
        ]
        if self.authorization:
            lines.append(f"Authorization: {self.authorization}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it."""

    per_second: float
    p50_ms: float
    p99_ms: float


class LoadProcess:
    """The process that asks."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def put(self, request: Request, *, connections: int, seconds: float) -> Load:
        """Ask for so long over so many connections, each waiting for its answer."""
        return self._pool.apply(_run, (request, connections, seconds))


@contextmanager
def load_process() -> Iterator[LoadProcess]:
    """Start the process, and end it at the end of the block."""
    with get_context("spawn").Pool(1) as pool:
        yield LoadProcess(pool)


def _run(request: Request, connections: int, seconds: float) -> Load:
    return uvloop.run(_ask(request, connections, seconds))


async def _ask(request: Request, connections: int, seconds: float) -> Load:
    parts, wire = urlsplit(request.url), request.wire()
    took: list[float] = []

    async def work(until: float) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while (began := elapsed_seconds()) < until:
                writer.write(wire)
                await _read_answer(reader)
                took.append(elapsed_seconds() - began)
        finally:
            writer.close()

    began = elapsed_seconds()
    await asyncio.gather(*(work(began + seconds) for _ in range(connections)))
    rate = len(took) / (elapsed_seconds() - began)
    return Load(rate, percentile(took, 50) * 1e3, percentile(took, 99) * 1e3)


async def _read_answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    _, _, rest = head.partition(b"content-length:")
    body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0]))
    assert b'"errors"' not in body, body[:500]
