"""What can be set about the network, each default with its reason."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.models.proxy import Proxies

__all__ = ["HTTPSettings", "open_socket", "tls_context"]


class HTTPSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of a transport."""

    connect_seconds: float = 10.0
    """Time to look up a host, connect and agree on TLS. Services answer within 1 s from anywhere; three lost packets
    are resent within 7 s."""

    connections: int = 1_000
    """Connections open at once in one event loop, all hosts together; further calls wait in order. A process may
    open 1,024 files unless it is told otherwise, and who waits here would wait at the provider's limit instead."""

    keepalive_seconds: float = 15.0
    """How long an idle connection is kept for the next call. Servers close theirs after 5 to 75 s; a connection is
    looked at before it is used, so a longer time costs only sockets."""

    max_body_bytes: int = 64 * 1024 * 1024
    """Largest answer that is read whole, after decompression. The largest real ones, images in base64 and embeddings
    in batches, have up to 20 MB."""

    max_head_bytes: int = 64 * 1024
    """Largest head of an answer: status line and headers. Providers send 1 to 4 kB."""

    ca_file: str | None = None
    """Certificates (PEM) of authorities to trust beside the system's, or beside `SSL_CERT_FILE` where that is set."""

    proxies: Proxies | None = None
    """Default: as `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say when the first call is made."""


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Certificates and host names are always checked. Takes about 20 ms: the system's authorities are read.

    :raises ConfigError: `ca_file` cannot be read or holds no certificate.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cadata=Path(ca_file).read_text("ascii"))
        except (OSError, ValueError, ssl.SSLError) as exc:
            raise ConfigError(
                f"{ca_file!r} is no file of certificates: {exc}.", where="ca_file", hint="It must be PEM."
            ) from exc
    return context


AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


def open_socket(address: AddressInfo) -> socket.socket:
    """A socket that looks after its connection while a model thinks.

    Routers forget a connection on which nothing has been said for some minutes, and nobody is told: the answer never
    comes. A probe every 60 s keeps it in mind, and finds out when it is gone.
    """
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)):
        if hasattr(socket, option):
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return opened
