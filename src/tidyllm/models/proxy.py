"""Which proxy a URL goes through, by the variables that every tool reads. Pure; it opens no connection.

`HTTPS_PROXY` and `HTTP_PROXY` for URLs of that scheme, `ALL_PROXY` for either, `NO_PROXY` for the
exceptions; each also in lower case, which wins. The loopback is never proxied: a proxy elsewhere has another
one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["Proxies"]


class Proxies(msgspec.Struct, frozen=True):
    """Proxies by scheme (`http`, `https`), and the hosts that are reached without one.

    A proxy's URL begins with `http://`, which may be left out, or `https://`, and may hold a name and a password.
    `exceptions` are entries as in `NO_PROXY`: `*`, a host (`example.com` and all names below it; a leading `.` or
    `*.` changes nothing), an address, a network (`10.0.0.0/8`), each also with a port (`example.com:8443`).
    """

    by_scheme: Mapping[str, str] = {}
    exceptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for scheme, url in self.by_scheme.items():
            _checked(url, f"proxies.{scheme}")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Proxies:
        """:raises ConfigError: a variable names no proxy that speaks HTTP."""

        def read(name: str) -> str:
            return (environ.get(name.lower()) or environ.get(name) or "").strip()

        by_scheme: dict[str, str] = {}
        for scheme, variable in (("http", "HTTP_PROXY"), ("https", "HTTPS_PROXY")):
            if variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ:
                continue  # a CGI script gets the caller's `Proxy:` header in this variable
            name = variable if read(variable) else "ALL_PROXY"
            if url := read(name):
                _checked(url, name)
                by_scheme[scheme] = url
        words = read("NO_PROXY").replace(",", " ").split()
        return cls(by_scheme, tuple(word.lower() for word in words))

    def url_for(self, scheme: str, host: str, port: int) -> str | None:
        """The proxy's URL for a server, or None for a direct connection. `host` without brackets."""
        proxy = self.by_scheme.get(scheme)
        if proxy is None:
            return None
        host = host.lower().rstrip(".")
        address = _address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return None
        if any(_excepted(entry, host, port, address) for entry in self.exceptions):
            return None
        return proxy if "://" in proxy else f"http://{proxy}"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _checked(url: str, where: str) -> None:
    scheme, mark, rest = url.partition("://")
    if mark and (scheme.lower() not in {"http", "https"} or not rest):
        raise ConfigError(
            f"a proxy of kind {scheme!r} cannot be used; http:// and https:// can.",
            where=where,
            hint="Leave it out, or except the host from it.",
        )


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _excepted(entry: str, host: str, port: int, address: _Address | None) -> bool:
    if entry == "*":
        return True
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            pass  # an address with a port, or a name
    name, _, wanted = entry.rpartition(":")
    if name and wanted.isdigit() and (":" not in name or name.startswith("[")):
        if int(wanted) != port:
            return False
        entry = name
    entry = entry.removeprefix("[").removesuffix("]").removeprefix("*").removeprefix(".")
    return bool(entry) and (host == entry or (address is None and host.endswith(f".{entry}")))
