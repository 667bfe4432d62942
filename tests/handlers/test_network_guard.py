"""Which addresses a job may reach. Nothing here opens a connection: the guard alone is asked."""

import socket
from ipaddress import ip_address

import pytest
from yarl import URL

from app.handlers.network_guard import (
    AddressRefused,
    GuardedResolver,
    NetworkGuard,
    is_own,
    literal_address,
)

FORBIDDEN = {
    "loopback": "127.0.0.1",
    "all of loopback": "127.255.255.254",
    "this network": "0.0.0.0",
    "this network's rest": "0.1.2.3",
    "private 10": "10.0.0.1",
    "private 172": "172.31.255.255",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "cloud metadata": "169.254.169.254",
    "protocol assignments": "192.0.0.8",
    "documentation": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmarking": "198.18.0.1",
    "multicast": "224.0.0.1",
    "multicast that looks global": "239.255.255.250",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "loopback v6": "::1",
    "unspecified v6": "::",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:a9fe:a9fe",
    "compatible loopback": "::127.0.0.1",
    "NAT64 of private": "64:ff9b::10.0.0.1",
    "NAT64 of loopback": "64:ff9b::7f00:3",
    "NAT64 of metadata": "64:ff9b::a9fe:a9fe",
    "local NAT64": "64:ff9b:1::8.8.8.8",
    "discard": "100::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "ORCHID": "2001:20::1",
    "documentation v6": "2001:db8::1",
    "documentation v6, new": "3fff::1",
    "6to4 of anything": "2002:808:808::1",
    "unique local": "fd00::1",
    "cloud metadata v6": "fd00:ec2::254",
    "link-local": "fe80::1",
    "link-local with zone": "fe80::1%lo",
    "site-local": "fec0::1",
    "multicast v6": "ff02::1",
    "segment routing": "5f00::1",
    "unassigned": "4000::1",
    "not an address": "localhost",
}

PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "100.128.0.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
)


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        NetworkGuard().check(address, 80)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    NetworkGuard().check(address, 443)


@pytest.mark.parametrize(
    ("host", "address"),
    {
        "127.0.0.1": "127.0.0.1",
        "2130706433": "127.0.0.1",
        "0x7f000001": "127.0.0.1",
        "0x7f.0.0.1": "127.0.0.1",
        "0177.0.0.1": "127.0.0.1",
        "017700000001": "127.0.0.1",
        "127.1": "127.0.0.1",
        "127.0.1": "127.0.0.1",
        "0": "0.0.0.0",
        "127.0.0.1.": "127.0.0.1",
        "2852039166": "169.254.169.254",
        "example.com": None,
        "0x7f000001.example.com": None,
    }.items(),
)
def test_a_host_in_any_notation_is_read_as_what_it_would_connect_to(
    host: str, address: str | None
) -> None:
    assert literal_address(host) == address
    if address is not None:
        assert socket.getaddrinfo(host.removesuffix("."), 80)[0][4][0] == address


@pytest.mark.parametrize(
    "url",
    [
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://[::ffff:7f00:1]/",
        "http://0x7F.1/",
        "http://2130706433/",
        "http://127.0.0.1./",
    ],
)
def test_a_disguised_loopback_url_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        NetworkGuard().checked_url(URL(url))


def test_an_allowed_literal_is_rewritten_to_what_is_connected_to() -> None:
    guard = NetworkGuard(allow_networks=["127.0.0.0/8"])
    assert guard.checked_url(URL("http://0x7f.1:81/a")) == URL("http://127.0.0.1:81/a")


def test_the_operator_opens_networks_and_nothing_else() -> None:
    guard = NetworkGuard(allow_networks=["10.1.0.0/16", "fd12::/16"])
    guard.check("10.1.2.3", 80)
    guard.check("::ffff:10.1.2.3", 80)
    guard.check("fd12::1", 80)
    for address in ("10.2.0.1", "127.0.0.1", "fd13::1"):
        with pytest.raises(AddressRefused):
            guard.check(address, 80)


def test_own_ports_stay_closed_in_an_opened_network() -> None:
    guard = NetworkGuard(allow_networks=["127.0.0.0/8", "::1"], own_ports=[5432])
    guard.check("127.0.0.1", 80)
    for address in ("127.0.0.1", "127.0.0.9", "::1", "::ffff:127.0.0.1"):
        with pytest.raises(AddressRefused, match="Tickwheel itself"):
            guard.check(address, 5432)


def test_the_ports_of_our_stores_stay_closed_on_every_address_of_an_opened_network() -> None:
    """Fails when only this machine's own addresses are closed: they may be on another one."""
    guard = NetworkGuard(allow_networks=["10.0.0.0/8"], store_ports=[5432])
    guard.check("10.0.0.5", 80)
    guard.check("8.8.8.8", 5432)
    for address in ("10.0.0.5", "::ffff:10.0.0.5"):
        with pytest.raises(AddressRefused, match="own data"):
            guard.check(address, 5432)


def test_own_ports_elsewhere_are_nobody_s_business() -> None:
    NetworkGuard(own_ports=[5432]).check("8.8.8.8", 5432)


def test_an_address_is_own_if_the_kernel_would_bind_it() -> None:
    assert is_own(ip_address("127.1.2.3"))
    assert not is_own(ip_address("192.0.2.1"))


async def test_one_forbidden_address_among_several_refuses_the_name() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "10.0.0.1"]

    with pytest.raises(AddressRefused):
        await GuardedResolver(NetworkGuard(), resolve).resolve("mixed.test", 80)


async def test_a_name_without_addresses_is_an_error() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return []

    with pytest.raises(OSError, match="no address"):
        await GuardedResolver(NetworkGuard(), resolve).resolve("empty.test", 80)


def test_the_socket_itself_is_only_made_for_an_allowed_address() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))
    with pytest.raises(AddressRefused):
        NetworkGuard().open_socket(info)
    NetworkGuard(allow_networks=["127.0.0.1"]).open_socket(info).close()
