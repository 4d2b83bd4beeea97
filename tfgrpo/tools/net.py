"""Which addresses a page may be fetched from: public ones, and those that the user allowed by name.

A name is looked up once per hop; every answer must be public, and the connection goes to a checked answer itself, so a
name server that changes its mind between the check and the connection (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from tfgrpo.errors import ProviderError, UsageError
from tfgrpo.types import FailureKind

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "100.64.0.0/10", "2001:db8::/32")))
"""Not for public hosts; older Pythons call some of them global."""
LONGEST_URL = 4096


class Resolver(Protocol):
    """Looks a name up."""

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """Return all addresses of a host; raises OSError when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address to ask."""

    url: str
    host: str
    """As in the URL, without brackets; what the certificate must be for."""
    port: int
    addresses: tuple[str, ...]
    """Where to connect, in order; nothing else is connected to."""
    name: str
    """What messages call it: the host, or what the caller said."""


async def lookup(host: str, port: int) -> tuple[str, ...]:
    """Ask the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def check_url(url: str, allow: frozenset[str], resolve: Resolver = lookup, name: str = "") -> Target:
    """Return where to connect for `url`.

    Args:
        url: http or https, without a password.
        allow: `host` or `host:port`, lower case; these may lie at any address.
        resolve: the resolver.
        name: what messages call it, where that is not the host.

    Raises:
        ProviderError: kind refused_request for an address that may not be fetched, provider for an unknown host.
    """
    parts = split_url(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    try:
        addresses = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise ProviderError(f"the host {host} is not known; check the address or search again") from error
    if not addresses:
        raise ProviderError(f"the host {host} has no address; check the address or search again")
    if not {shown, f"{shown}:{port}"} & allow and any(not is_public(address) for address in addresses):
        raise refused_address(f"{host} lies in a private or local network, which may not be fetched; use a public page")
    return Target(url, host, port, addresses, name or host)


def split_url(url: str) -> SplitResult:
    """Take an address apart.

    Raises:
        ProviderError: kind refused_request, for anything but http(s)://host[:port]/...
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise refused_address(f"{_cut(url)} is not an address; give one that starts with https://") from None
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise refused_address(f"{_cut(url)} is not a web address; give one that starts with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise refused_address("an address may not hold a user name or password; leave them out")
    if len(url) > LONGEST_URL or any(ord(c) < 33 or ord(c) == 127 for c in url.strip()):
        raise refused_address(f"{_cut(url)} has blanks or control characters, or is too long; give a plain address")
    return parts


def is_public(address: str) -> bool:
    """Say whether an IP address is on the public internet; addresses that wrap another count as the inner one too."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(map(_is_public, (found, *_inner(found))))


def _is_public(address: Address) -> bool:
    # Behind NAT64 every IPv4 host looks like this: what counts is the inner address.
    if address in _NAT64:
        return True
    wrong = (
        address.is_private,
        address.is_loopback,
        address.is_link_local,
        address.is_multicast,
        address.is_reserved,
        address.is_unspecified,
        isinstance(address, ipaddress.IPv6Address) and address.is_site_local,
        any(address in network for network in _SPECIAL),
        # A zone (fe80::1%eth0) names an interface of this machine.
        getattr(address, "scope_id", None) is not None,
    )
    wraps = isinstance(address, ipaddress.IPv6Address) and any(_inner(address))
    return not any(wrong) and (address.is_global or wraps)


def _inner(address: Address) -> Iterable[Address]:
    """The IPv4 addresses that an IPv6 address stands for: mapped, compatible, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _NAT64 or int(address) >> 32 == 0:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def parse_allowed(entries: Iterable[str]) -> frozenset[str]:
    """Check and fold the user's `allow` list.

    Raises:
        UsageError: an entry that is no `host` or `host:port`.
    """
    found = set()
    for entry in entries:
        parts = urlsplit(f"//{entry}")
        try:
            right = parts.hostname and parts.port != 0 and not parts.path and not parts.username and "*" not in entry
        except ValueError:
            right = False
        if not right:
            raise UsageError(f"allow: {entry!r} is no host; write 127.0.0.1:8090, localhost or [::1]:8090")
        found.add(entry.lower())
    return frozenset(found)


def refused_address(message: str) -> ProviderError:
    """An address that will never be fetched."""
    return ProviderError(message, FailureKind.REFUSED_REQUEST)


def _cut(url: str) -> str:
    return repr(url if len(url) <= 100 else f"{url[:100]}…")
