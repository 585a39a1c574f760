"""The little of ASGI that the gateway uses: types, headers, whole answers. It knows nothing of models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, TypeAlias, TypeVar, overload
from urllib.parse import quote

import msgspec

__all__ = [
    "Application",
    "Fields",
    "Headers",
    "Receive",
    "Scope",
    "Send",
    "field_value",
    "send_bytes",
    "send_json",
]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Fields: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Headers of an answer, names in lower case."""


T = TypeVar("T")


class Headers(Mapping[str, str]):
    """The headers of a request by their names in lower case; of a repeated one the last counts.

    Clients send twenty of them and the gateway reads five: they are decoded when they are asked for.
    """

    __slots__ = ("_last", "_raw")

    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._last = dict(raw)

    def __getitem__(self, name: str) -> str:
        return self._last[name.encode("latin-1", "replace")].decode("latin-1")

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str, /) -> str: ...
    @overload
    def get(self, name: str, default: T, /) -> str | T: ...
    def get(self, name: str, default: T | None = None, /) -> str | T | None:
        value = self._last.get(name.encode("latin-1", "replace"))
        return default if value is None else value.decode("latin-1")

    def joined(self, name: str) -> str | None:
        """All values of a repeated header, as one list; None without any."""
        key = name.encode("latin-1", "replace")
        if key not in self._last:
            return None
        return ", ".join(value.decode("latin-1") for other, value in self._raw if other == key)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.encode("latin-1", "replace") in self._last

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._last)

    def __len__(self) -> int:
        return len(self._last)


def field_value(text: str) -> bytes:
    """Any text as the value of a header: what could end the header, or is not ASCII, is percent-encoded."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return quote(text, safe="/:@ ,;=+*()[]!?").encode()


async def send_bytes(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = b"application/json",
    headers: Fields = (),
    more: bool = False,
) -> None:
    """A whole answer; with `more` the caller ends it later, with an empty piece of the body."""
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", content_type), (b"content-length", length), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def send_json(send: Send, status: int, value: object, *, headers: Fields = ()) -> None:
    """A whole answer in JSON."""
    await send_bytes(send, status, msgspec.json.encode(value), headers=headers)
