"""Which proxy a request goes through, as the variables of the environment say, in every form that people write.

`HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` in either case, with or without a scheme. `NO_PROXY` holds, apart by commas
or blanks: `*`, names (`example.com` with all below it, `.example.com`, `*.example.com`), `host:port`, addresses, and
networks (`10.0.0.0/8`, `::1/128`, `[fd00::]/8`). What cannot be read excludes nothing and is no error.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies

from tfgrpo.errors import UsageError

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for `url`, with the login it may hold; None for a direct connection.

    Raises:
        UsageError: the proxy is of a kind that is not spoken here (SOCKS).
    """
    parts = urlsplit(url)
    table = getproxies()
    named = table.get(parts.scheme) or table.get("all")
    if not named or excluded(parts.hostname or "", parts.port or _PORTS.get(parts.scheme), table.get("no", "")):
        return None
    proxy = named if "://" in named else f"http://{named}"
    if urlsplit(proxy).scheme not in _PORTS:
        shown = public_proxy(proxy)
        raise UsageError(
            f"the proxy {shown} of the environment is not HTTP; name an HTTP proxy, or put the host into NO_PROXY"
        )
    return proxy


def public_proxy(proxy: str) -> str:
    """Return the address of a proxy without its login, for messages."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def excluded(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names a host."""
    host = host.lower().strip("[]").rstrip(".").partition("%")[0]
    address = _address(host)
    forms = frozenset() if address is None else frozenset(_forms(address))
    return any(_matches(entry, host, port, forms) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(entry: str, host: str, port: int | None, forms: frozenset[_Address]) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        network = _network(entry)
        return network is not None and any(one in network for one in forms)
    name, wanted = _apart(entry)
    if wanted is not None and wanted != port:
        return False
    if (fixed := _address(name)) is not None:
        return fixed in forms
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _apart(entry: str) -> tuple[str, int | None]:
    """Host and port of an entry; a bare IPv6 address has colons and no port."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, int(rest[1:]) if rest[1:].isdecimal() else None
    host, sign, port = entry.rpartition(":")
    return (host, int(port)) if sign and ":" not in host and port.isdecimal() else (entry, None)


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return None


def _forms(address: _Address) -> Iterator[_Address]:
    """An address, and the IPv4 one inside of an IPv6 one."""
    yield address
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        yield address.ipv4_mapped
