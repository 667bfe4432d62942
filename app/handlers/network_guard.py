"""Which addresses an HTTP job may reach, decided at the point of connection.

A job's URL comes from the API, so whoever may edit jobs could make the worker speak to whatever
the worker can reach: its own database, a cloud's metadata service, the inside of a network. Three
checks, each sufficient against its own kind of trick:

1. A host that is an address in any notation (`127.1`, `0x7f.1`, `2130706433`, `[::ffff:7f00:1]`)
   is read as what it would connect to, and checked.
2. A name is resolved once; all of its addresses must be allowed, and the connection goes to those
   addresses, not to a second answer (rebinding).
3. The socket itself is only made for an allowed address, whatever came before.

Only public unicast is allowed, and networks the operator opened. What an address means is decided
on the address inside it: IPv4 mapped into IPv6 and NAT64 are judged as the IPv4 address; other
transition schemes are refused. Own ports on own addresses stay closed even in an opened network,
and the ports of our PostgreSQL and Redis on every address in one.

Redirects are the caller's: each hop comes through here again.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

# IANA's special-purpose registries, and multicast; `ipaddress.is_global` of Python 3.11 misses
# some of it and calls multicast global.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Everything outside global unicast is refused; within it, these are special.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo, ORCHID, benchmarking and other protocol assignments.
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",
        "3ffe::/16",  # The former 6bone.
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(OSError):
    """The target is not one that jobs may reach. An OSError, as aiohttp expects of a connect."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)
        self.message = message


class NetworkGuard:
    """The rules of one instance."""

    def __init__(
        self,
        *,
        allow_networks: Iterable[str] = (),
        own_ports: Iterable[int] = (),
        store_ports: Iterable[int] = (),
    ) -> None:
        self._allowed = tuple(ip_network(text, strict=False) for text in allow_networks)
        self._own_ports = frozenset(own_ports)
        self._store_ports = frozenset(store_ports)

    def check(self, address: str, port: int) -> None:
        """Raise AddressRefused unless jobs may connect there."""
        actual = actual_address(address)
        if not is_public(actual):
            if not self._opened(actual):
                raise AddressRefused(
                    f"{actual} is not a public address; the instance's operator can open networks."
                )
            if port in self._store_ports:
                raise AddressRefused(f"{actual}:{port} is where Tickwheel's own data may be.")
        if port in self._own_ports and is_own(actual):
            raise AddressRefused(f"{actual}:{port} is Tickwheel itself.")

    def checked_url(self, url: URL) -> URL:
        """Return the URL with its host as an address if it is one, in any notation, and allowed.

        Names pass: they are checked when resolved. Raises AddressRefused.
        """
        host = url.raw_host or ""
        literal = literal_address(host)
        if literal is None:
            return url
        self.check(literal, url.port or 0)
        return url if literal == host else url.with_host(literal)

    def open_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for a connection, if its target is allowed: the last word."""
        family, kind, protocol, _, target = address_info
        self.check(target[0], target[1])
        return socket.socket(family, kind, protocol)

    def _opened(self, address: Address) -> bool:
        return any(
            address.version == network.version and address in network for network in self._allowed
        )


class GuardedResolver(AbstractResolver):
    """Resolves for aiohttp, which connects to exactly what is returned here."""

    def __init__(self, guard: NetworkGuard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`, all of them allowed."""
        addresses = await self._resolve(host, port)
        if not addresses:
            raise OSError(errno.ENOENT, f"{host} has no address")
        for address in addresses:
            self._guard.check(address, port)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def system_resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver, once."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(target[0]) for *_, target in found))


def literal_address(host: str) -> str | None:
    """Return the address that `host` denotes without asking a resolver, or None for a name."""
    if ":" in host:
        return host
    # inet_aton reads what connect() would: decimal, hexadecimal, octal and short forms. It also
    # accepts what follows a blank, which no URL host contains.
    try:
        return str(IPv4Address(socket.inet_aton(host.removesuffix("."))))
    except OSError:
        return None


@lru_cache(maxsize=4096)
def actual_address(text: str) -> Address:
    """Return the address a packet to `text` would be for, seen through mapping and NAT64.

    Raises AddressRefused if it is not an address.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        raise AddressRefused(f"{text!r} is not an address.") from None
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


@lru_cache(maxsize=4096)
def is_public(address: Address) -> bool:
    """Whether the address is unicast on the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST_V6 and not any(
        address in network for network in _NOT_PUBLIC_V6
    )


def is_own(address: Address) -> bool:
    """Whether the address is this machine's. The kernel knows: only own addresses can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
        return True
