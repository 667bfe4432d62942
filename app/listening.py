"""Ask about a TCP address: is it free, and who answers there?"""

import asyncio
import ipaddress
import socket
from contextlib import suppress

from app.core.errors import DependencyUnavailable

# The kernel may still be clearing away an API process that died with its supervisor.
_PATIENCE_SECONDS = 2.0
_ANSWER_SECONDS = 5.0


def address_url(host: str, port: int) -> str:
    """Return the URL at which a browser on this machine reaches a server listening there."""
    reachable = _reachable(host)
    return f"http://{f'[{reachable}]' if ':' in reachable else reachable}:{port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server that listens on `host`."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def open_listener(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a bound socket, or say which setting to change."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        listener = socket.create_server(address, family=family, backlog=2048)
        # Accepted connections inherit it: a small answer must not wait for the next one.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except socket.gaierror as error:
        setting = setting.replace("PORT", "HOST")
        raise DependencyUnavailable(
            f"{setting} is {host!r}, which is no address of this machine ({error.strerror}): "
            "use 127.0.0.1, 0.0.0.0 or a name that resolves to one of its own."
        ) from error
    except OSError as error:
        raise DependencyUnavailable(
            f"Cannot listen on {host} port {port}: {error.strerror}. Stop the program that uses "
            f"it, or choose another with {setting}."
        ) from error


async def wait_until_free(host: str, port: int, *, setting: str) -> None:
    """Return once something could listen there; fail soon when it stays taken."""
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while _taken(host, port):  # noqa: ASYNC110 - the kernel sends no event
                await asyncio.sleep(0.05)
    except TimeoutError:
        open_listener(host, port, setting=setting).close()


async def answers(host: str, port: int, path: str) -> bool:
    """Return whether a GET there gives status 200."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(_reachable(host), port)
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
                return status.split()[1:2] == [b"200"]
            finally:
                writer.close()
    return False


def _taken(host: str, port: int) -> bool:
    try:
        open_listener(host, port, setting="").close()
    except DependencyUnavailable:
        return True
    return False


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound
