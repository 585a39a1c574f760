"""Parts of content that OpenAI's two formats write alike. It knows nothing of messages and requests."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, cast

from tidyllm.models.checks import Misfit, object_, text
from tidyllm.models.data_url import exact_base64
from tidyllm.models.message import Audio, Part

__all__ = ["decode_content", "decode_sound", "encode_sound"]


def decode_content(
    content: object, at: str, part: Callable[[dict[str, Any], str], Part]
) -> str | tuple[Part, ...]:
    """The content of a message, or the output of a tool: text, or parts, each decoded by `part`.

    :raises Misfit: it is neither a string nor an array of parts.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise Misfit(at, "a string or an array of parts", content)
    parts = cast("list[Any]", content)
    return tuple([part(object_(data, f"{at}[{i}]"), f"{at}[{i}]") for i, data in enumerate(parts)])


def decode_sound(data: dict[str, Any], at: str) -> tuple[bytes, str] | None:
    """The bytes and the format of an `input_audio` part; None where it holds what `Audio` cannot.

    :raises Misfit: a field is missing or of a wrong type.
    """
    where = f"{at}.input_audio"
    inner = object_(data.get("input_audio", ...), where)
    given = text(inner.get("data", ...), f"{where}.data")
    kind = text(inner.get("format", ...), f"{where}.format")
    sound = exact_base64(given)
    return None if sound is None or len(inner) > 2 else (sound, kind)


def encode_sound(part: Audio) -> dict[str, Any]:
    """The `input_audio` part."""
    sound = {"data": base64.b64encode(part.data).decode(), "format": part.format}
    return {"type": "input_audio", "input_audio": sound}
