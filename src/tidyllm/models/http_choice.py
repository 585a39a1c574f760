"""Which transport carries a call: the lean pool where it can, aiohttp for the rest. It sends nothing itself."""

from __future__ import annotations

import os
from functools import cached_property
from importlib.util import find_spec

from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport
from tidyllm.models.http_settings import HTTPSettings
from tidyllm.models.http_target import Target, target
from tidyllm.models.proxy import Proxies

__all__ = ["ChoosingTransport"]

_NEEDED = ("httptools", "aiohappyeyeballs")
"""By the pool. The first comes with the extra `gateway`, the second with aiohttp."""


class ChoosingTransport:
    """A `Transport`. The pool is for URLs that no proxy is set for, where its libraries are installed.

    Either keeps the same promises; the pool takes a fifth of the time. Give `settings` for other limits, certificates
    or proxies.
    """

    def __init__(self, settings: HTTPSettings | None = None) -> None:
        self._settings = settings or HTTPSettings()
        self._chosen: dict[str, Transport] = {}  # by origin; a program has few

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        to = target(call.url)
        chosen = self._chosen.get(to.origin)
        if chosen is None:
            chosen = self._chosen[to.origin] = self._choose(to)
        return await chosen.send(call)

    async def aclose(self) -> None:
        for used in set(self._chosen.values()):
            await used.aclose()

    def _choose(self, to: Target) -> Transport:
        proxy = self._proxies.url_for(to.scheme, to.host, to.port)
        return self._pool if proxy is None and all(map(find_spec, _NEEDED)) else self._aiohttp

    @cached_property
    def _proxies(self) -> Proxies:
        return self._settings.proxies or Proxies.from_environ(os.environ)

    @cached_property
    def _aiohttp(self) -> Transport:
        from tidyllm.models.http_aiohttp import AiohttpTransport

        return AiohttpTransport(self._settings)

    @cached_property
    def _pool(self) -> Transport:
        from tidyllm.models.http_pool import PoolTransport

        return PoolTransport(self._settings)
