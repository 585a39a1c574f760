"""A last touch on a body before it is sent: where a model lets others add to what goes out in Anthropic's format.

It knows no cache and no policy; it reads the top-level fields as they are written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tidyllm.models.forward import LARGE_BYTES, Forward
from tidyllm.models.passthrough import forwarded_body

if TYPE_CHECKING:
    from tidyllm.models.provider import Provider

__all__ = ["Touch", "going_out", "touched"]

Touch: TypeAlias = Callable[[Mapping[str, msgspec.Raw]], Mapping[str, msgspec.Raw]]
"""From the top-level fields of a body, as they are written, to those of them that change."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def touched(body: bytes, touch: Touch | None, format: str) -> bytes:
    """The body with what `touch` changes; the same bytes where that is nothing."""
    if touch is None or format != "anthropic":
        return body
    fields = _fields(body)
    changes = touch(fields)
    return msgspec.json.encode({**fields, **changes}) if changes else body


async def going_out(call: Forward, model: str, provider: Provider, touch: Touch | None) -> tuple[bytes, bool]:
    """The caller's body as it is sent, and whether usage was asked for that the caller did not ask for."""
    body, hides_usage = forwarded_body(call, model, provider)
    if touch is not None and len(body) > LARGE_BYTES:
        return await asyncio.to_thread(touched, body, touch, call.format), hides_usage
    return touched(body, touch, call.format), hides_usage
