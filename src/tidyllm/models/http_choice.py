"""Which transport carries a call: the lean pool where it can, aiohttp for the rest. It sends nothing itself."""

from __future__ import annotations

from functools import cached_property

from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport
from tidyllm.models.http_settings import HTTPSettings

__all__ = ["ChoosingTransport"]


class ChoosingTransport:
    """A `Transport`. Give `settings` for other limits, certificates or proxies."""

    def __init__(self, settings: HTTPSettings | None = None) -> None:
        self._settings = settings

    @cached_property
    def _aiohttp(self) -> Transport:
        from tidyllm.models.http_aiohttp import AiohttpTransport

        return AiohttpTransport(self._settings)

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        return await self._aiohttp.send(call)

    async def aclose(self) -> None:
        await self._aiohttp.aclose()
