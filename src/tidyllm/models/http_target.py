"""Where a call goes and whether it can be written at all: URLs and headers, checked. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote, urlsplit

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["Target", "request_head", "sent_headers", "target"]

_PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_OURS = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"})


class Target(msgspec.Struct, frozen=True):
    """The parts of a URL, as the wire wants them."""

    scheme: str
    """`http` or `https`."""
    host: str
    """Lower case, in ASCII (`xn--…`), without brackets."""
    port: int
    path: str
    """Path and query, percent-encoded, as in the request line."""
    authority: str
    """For the `host` header: host and port, the port only if it is not the scheme's own."""

    where: str
    """Host and port, for messages: a path or a query could hold a key."""
    origin: str
    """Scheme, host and port: calls to one origin share their connections."""


@lru_cache(maxsize=512)
def target(url: str) -> Target:
    """:raises ConfigError: it is no URL that can be called."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (
            (parts.hostname or "")
            .encode("idna" if not (parts.hostname or "").isascii() else "ascii")
            .decode()
        )
    except ValueError as exc:  # also UnicodeError
        raise _bad(url, str(exc)) from exc
    if parts.scheme not in _PORTS:
        raise _bad(url, f"its scheme is {parts.scheme!r} where http or https was expected")
    if not host:
        raise _bad(url, "it names no host")
    if ":" not in host and not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise _bad(url, f"{host!r} is no name of a host")
    if parts.username is not None:
        raise _bad(url, "it holds a user name")
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    path = quote(path, safe="/:?#[]@!$&'()*+,;=~%-._")
    bracketed = f"[{host}]" if ":" in host else host
    own_port = _PORTS[parts.scheme]
    authority = bracketed if port is None or port == own_port else f"{bracketed}:{port}"
    where = f"{bracketed}:{own_port if port is None else port}"
    origin = f"{parts.scheme}://{where}"
    return Target(parts.scheme, host, own_port if port is None else port, path, authority, where, origin)


def _bad(url: str, why: str) -> ConfigError:
    shown = re.sub(r"//[^/@]*@", "//…@", url.partition("?")[0])
    return ConfigError(
        f"{shown!r} is no URL to call: {why}.", where="base_url", hint="Write it as https://host:port/path."
    )


@lru_cache(maxsize=1024)
def _name(name: str) -> str:
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise ConfigError(f"{name!r} is no name of an HTTP header.", where="headers")
    if lower in _OURS:
        raise ConfigError(
            f"header {name!r} follows from the call itself.", where="headers", hint="Leave it out."
        )
    return lower


def sent_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers as they are sent, names in lower case, with ours where the call has none.

    :raises ConfigError: a name or a value would break the request apart. The value is not shown: it may be a key.
    """
    sent = {"accept-encoding": "identity", "user-agent": "tidyllm"}
    for name, value in headers.items():
        if not value.isprintable() and _CONTROL.search(value):
            raise ConfigError(
                f"the value of header {name!r} holds a line end or another control character.",
                where="headers",
                hint="Does a key read from a file end with a line end?",
            )
        sent[_name(name)] = value
    return sent


def request_head(method: str, to: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """Request line and headers, up to the empty line.

    :raises ConfigError: as `sent_headers`; or the method is none.
    """
    if method not in _METHODS:
        raise ConfigError(
            f"{method!r} is no method that can be sent; {', '.join(_METHODS)} are.", where="method"
        )
    lines = [f"{method} {to.path} HTTP/1.1\r\nhost: {to.authority}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in sent_headers(headers).items()]
    if body or method != "GET":
        lines.append(f"content-length: {len(body)}\r\n")
    lines.append("\r\n")
    return "".join(lines).encode()
