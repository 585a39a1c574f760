"""Requests to an identity provider, through the same door as those to models. It knows no protocol."""

from __future__ import annotations

from collections.abc import Mapping

from tidyllm import clock
from tidyllm.access import SignOnDown
from tidyllm.models.http import HTTPCall, Transport, default_transport

__all__ = ["fetcher"]

_SECONDS = 10.0
_LARGEST = 1024 * 1024


class _Fetcher:
    def __init__(self, transport: Transport | None) -> None:
        self._transport = transport

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, bytes]:
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        late = False

        def ring() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = clock.call_later(_SECONDS, ring)
        try:
            transport = self._transport or default_transport()
            async with await transport.send(HTTPCall(method, url, headers, body)) as response:
                response.max_body_bytes = _LARGEST
                return response.status, await response.read()
        except asyncio.CancelledError:
            if not late or task.uncancel() > 0:
                raise
            raise SignOnDown(f"the identity provider did not answer within {_SECONDS:g} s.") from None
        finally:
            timer.cancel()


def fetcher(transport: Transport | None = None) -> _Fetcher:
    """Sends one request, and waits 10 seconds for its answer. It follows no redirect: codes and secrets go along."""
    return _Fetcher(transport)
