"""The little of ASGI that the gateway uses: types, and whole answers. It knows nothing of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

import msgspec

__all__ = ["Headers", "Receive", "Scope", "Send", "headers_of", "send_bytes", "send_json"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = dict[str, str]


def headers_of(scope: Scope) -> Headers:
    """The request's headers, names in lower case; of a repeated one the last counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


async def send_bytes(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: str = "application/json",
    headers: Iterable[tuple[str, str]] = (),
) -> None:
    """A whole answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"content-length", str(len(body)).encode()),
                *((name.encode(), value.encode("latin-1", "replace")) for name, value in headers),
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_json(
    send: Send, status: int, value: object, *, headers: Iterable[tuple[str, str]] = ()
) -> None:
    """A whole answer in JSON."""
    await send_bytes(send, status, msgspec.json.encode(value), headers=headers)
