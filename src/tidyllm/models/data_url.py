"""Base64 and data URLs. It knows nothing of messages.

Where a body is to be written back as it was, they are decoded only if encoding gives the same text again.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

__all__ = ["data_url", "decode_data_url", "exact_base64", "image_type", "read_data_url"]


def data_url(data: bytes, media_type: str) -> str:
    """The bytes as a URL: `data:image/png;base64,...`."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def decode_data_url(url: str) -> tuple[str, bytes] | None:
    """Media type and bytes of a data URL; None for any other URL, and for one that `data_url` would spell otherwise."""
    if not url.startswith("data:"):
        return None
    head, mark, payload = url[5:].partition(";base64,")
    if not mark or not head or ";" in head or "," in head:
        return None
    data = exact_base64(payload)
    return None if data is None else (head, data)


def read_data_url(url: str) -> tuple[bytes, str | None]:
    """Bytes and media type of a data URL in any spelling: with parameters, line breaks, or percent signs.

    :raises ValueError: it is broken.
    """
    head, comma, payload = url[5:].partition(",")
    if not comma:
        raise ValueError("it has no comma")
    words = head.split(";")
    media_type = words[0].strip().lower() or None
    if words[-1].strip().lower() != "base64":
        return unquote_to_bytes(payload), media_type
    return base64.b64decode("".join(payload.split()), validate=True), media_type


def exact_base64(payload: str) -> bytes | None:
    """The bytes, if encoding them gives `payload` again."""
    try:
        data = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        return None
    # Length and last group decide: only there can padding and unused bits be spelled in several ways.
    tail = base64.b64encode(data[-(len(data) % 3 or 3) :]).decode() if data else ""
    return data if payload.endswith(tail) and len(payload) == 4 * ((len(data) + 2) // 3) else None


def image_type(data: bytes) -> str | None:
    """The media type of an image by its first bytes; None for none of the four that models take."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data.startswith(b"RIFF") and data[8:12] == b"WEBP" else None
