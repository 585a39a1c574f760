"""The transports under test, made alike, so that each test runs on every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop

from tidyllm.models.http import HTTPCall, Transport
from tidyllm.models.http_aiohttp import AiohttpTransport
from tidyllm.models.http_choice import ChoosingTransport
from tidyllm.models.http_pool import PoolTransport
from tidyllm.models.http_settings import HTTPSettings
from tidyllm.models.proxy import Proxies

__all__ = ["NAMES", "PROXYING", "PROXYING_NAMES", "TRANSPORTS", "Make", "post"]


class Make:
    """Makes a transport with these settings, and no proxy unless told. `loop` is where its tests run."""

    def __init__(
        self,
        kind: Callable[[HTTPSettings], Transport],
        loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._kind = kind
        self.loop = loop

    def __call__(
        self,
        *,
        connect_seconds: float = 10.0,
        connections: int = 100,
        keepalive_seconds: float = 15.0,
        max_body_bytes: int = 10_000_000,
        ca_file: str | None = None,
        proxies: Proxies | None = None,
    ) -> Transport:
        return self._kind(
            HTTPSettings(
                connect_seconds=connect_seconds,
                connections=connections,
                keepalive_seconds=keepalive_seconds,
                max_body_bytes=max_body_bytes,
                ca_file=ca_file,
                proxies=proxies or Proxies(),
            )
        )


TRANSPORTS = [Make(AiohttpTransport), Make(PoolTransport), Make(PoolTransport, uvloop.new_event_loop)]
NAMES = ["aiohttp", "pool", "pool on uvloop"]
PROXYING = [TRANSPORTS[0], Make(ChoosingTransport)]
PROXYING_NAMES = ["aiohttp", "choosing"]


async def post(transport: Transport, url: str, body: bytes = b"{}") -> bytes:
    """Send a small POST and read its answer."""
    async with await transport.send(
        HTTPCall("POST", url, {"content-type": "application/json"}, body)
    ) as answer:
        assert answer.status in {200, 204}
        return await answer.read()
