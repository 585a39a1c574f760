"""Images and documents: Anthropic's `source` objects to our parts and back. It knows nothing of messages.

Base64 text is decoded, so a body written back holds it in its canonical form (no line breaks, padded).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from tidyllm.errors import BadRequest
from tidyllm.models.anthropic.checks import child, need_object, need_str, rest
from tidyllm.models.checks import Misfit
from tidyllm.models.data_url import read_data_url
from tidyllm.models.media import empty, media_type_of
from tidyllm.models.message import File, Image

__all__ = ["decode_document", "decode_image", "document_source", "image_source"]


def decode_image(block: dict[str, Any], where: str) -> Image | None:
    """The image in an `image` block; None when its source is of a kind which `Image` cannot hold."""
    source = need_object(block, "source", where)
    where = child(where, "source")
    extra = rest(block, "type", "source")
    match need_str(source, "type", where):
        case "base64" if len(source) <= 3:
            media_type = need_str(source, "media_type", where)
            return Image(data=_bytes(source, where), media_type=media_type, extra=extra)
        case "url" if len(source) <= 2:
            return Image(url=need_str(source, "url", where), extra=extra)
        case "file" if len(source) <= 2:
            return Image(file_id=need_str(source, "file_id", where), extra=extra)
        case _:
            return None


def decode_document(block: dict[str, Any], where: str) -> File | None:
    """The document in a `document` block; None when its source is of a kind which `File` cannot hold."""
    source = need_object(block, "source", where)
    where = child(where, "source")
    name: object = block.get("title")
    if isinstance(name, str):
        extra = rest(block, "type", "source", "title")
    else:
        name, extra = None, rest(block, "type", "source")
    kind = need_str(source, "type", where)
    if kind in {"base64", "text"} and len(source) <= 3:
        media_type = need_str(source, "media_type", where)
        if kind == "text" and media_type == "text/plain":
            return File(data=_utf8(source, where), media_type=media_type, name=name, extra=extra)
        if kind == "base64" and media_type == "application/pdf":
            return File(data=_bytes(source, where), media_type=media_type, name=name, extra=extra)
    elif kind == "url" and len(source) <= 2:
        return File(url=need_str(source, "url", where), name=name, extra=extra)
    elif kind == "file" and len(source) <= 2:
        return File(file_id=need_str(source, "file_id", where), name=name, extra=extra)
    return None


def image_source(image: Image, where: str) -> dict[str, Any]:
    """:raises BadRequest: the image has neither url, data nor file_id, or data without a media type."""
    data, media_type = image.data, image.media_type
    if data is None and image.url is not None:
        if not image.url.startswith("data:"):
            return {"type": "url", "url": image.url}
        data, media_type = _data_url(image.url, child(where, "url"))
    if data is not None:
        media_type = media_type_of(data, media_type, where)
        return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    if image.file_id is not None:
        return {"type": "file", "file_id": image.file_id}
    raise empty(image, where)


def document_source(file: File, where: str) -> dict[str, Any] | None:
    """The source for this document; None when Anthropic takes no documents of its media type.

    :raises BadRequest: the file has neither url, data nor file_id.
    """
    data, media_type = file.data, file.media_type
    if data is None and file.url is not None:
        if not file.url.startswith("data:"):
            return {"type": "url", "url": file.url}
        data, media_type = _data_url(file.url, child(where, "url"))
    if data is not None:
        if media_type == "application/pdf" or (media_type is None and data.startswith(b"%PDF")):
            text = base64.b64encode(data).decode()
            return {"type": "base64", "media_type": "application/pdf", "data": text}
        if media_type is not None and media_type.startswith("text/"):
            try:
                return {"type": "text", "media_type": "text/plain", "data": data.decode()}
            except UnicodeDecodeError:
                return None
        return None
    if file.file_id is not None:
        return {"type": "file", "file_id": file.file_id}
    raise empty(file, where)


def _bytes(source: dict[str, Any], where: str) -> bytes:
    text = need_str(source, "data", where)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:  # line breaks are common where a mail library made it
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Misfit(child(where, "data"), "base64", text, said=f"broken ({exc})") from exc


def _utf8(source: dict[str, Any], where: str) -> bytes:
    text = need_str(source, "data", where)
    try:
        return text.encode()
    except UnicodeEncodeError as exc:  # JSON can spell half of a character
        said = f"broken ({exc.reason} at {exc.start})"
        raise Misfit(child(where, "data"), "valid text", text, said=said) from exc


def _data_url(url: str, where: str) -> tuple[bytes, str | None]:
    try:
        return read_data_url(url)
    except ValueError as exc:
        raise BadRequest(f"{where} is a broken data URL: {exc}.", field=where) from exc
