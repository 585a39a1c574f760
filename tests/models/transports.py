"""The transports under test, made alike, so that each test runs on every one of them."""

from __future__ import annotations

from typing import Protocol

from tidyllm.models.http import HTTPCall, Transport
from tidyllm.models.http_aiohttp import AiohttpTransport
from tidyllm.models.http_settings import HTTPSettings
from tidyllm.models.proxy import Proxies

__all__ = ["NAMES", "TRANSPORTS", "Make", "post"]


class Make(Protocol):
    """Makes a transport with these settings, and no proxy unless told."""

    def __call__(
        self,
        *,
        connect_seconds: float = 10.0,
        connections: int = 100,
        keepalive_seconds: float = 15.0,
        max_body_bytes: int = 10_000_000,
        ca_file: str | None = None,
        proxies: Proxies | None = None,
    ) -> Transport: ...


def _aiohttp(
    *,
    connect_seconds: float = 10.0,
    connections: int = 100,
    keepalive_seconds: float = 15.0,
    max_body_bytes: int = 10_000_000,
    ca_file: str | None = None,
    proxies: Proxies | None = None,
) -> Transport:
    return AiohttpTransport(
        HTTPSettings(
            connect_seconds=connect_seconds,
            connections=connections,
            keepalive_seconds=keepalive_seconds,
            max_body_bytes=max_body_bytes,
            ca_file=ca_file,
            proxies=proxies or Proxies(),
        )
    )


TRANSPORTS: list[Make] = [_aiohttp]
NAMES = ["aiohttp"]


async def post(transport: Transport, url: str, body: bytes = b"{}") -> bytes:
    """Send a small POST and read its answer."""
    async with await transport.send(
        HTTPCall("POST", url, {"content-type": "application/json"}, body)
    ) as answer:
        assert answer.status in {200, 204}
        return await answer.read()
