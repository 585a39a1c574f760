"""Pictures and documents to Converse's blocks. It knows nothing of messages.

Bedrock takes them as bytes, or from S3; it fetches nothing from the web.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from tidyllm.errors import BadRequest
from tidyllm.models.data_url import read_data_url
from tidyllm.models.losses import Losses
from tidyllm.models.media import empty, media_type_of
from tidyllm.models.message import File, Image

__all__ = ["document_block", "image_block"]

_IMAGES: Final = {
    "image/gif": "gif",
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/png": "png",
    "image/webp": "webp",
}
_DOCUMENTS: Final = {
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "text/csv": "csv",
    "text/html": "html",
    "text/markdown": "md",
    "text/x-markdown": "md",
}
_SUFFIXES: Final = {**{kind: kind for kind in (*_DOCUMENTS.values(), "txt")}, "htm": "html", "markdown": "md"}
_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9 ()\[\]-]+")
_NO_WEB: Final = "Bedrock takes bytes, or an address in S3 (s3://bucket/key), and fetches nothing else"


def image_block(image: Image, where: str, losses: Losses) -> dict[str, Any] | None:
    """The block; None when Bedrock has no place for it and `losses` is lenient.

    :raises BadRequest: the image holds nothing, or its data URL is broken.
    """
    if image.detail not in {None, "auto"}:
        losses.add(f"{where}.detail")
    found = _source(image, where, losses)
    if found is None:
        return None
    source, data, media_type = found
    if data is not None:
        media_type = media_type_of(data, media_type, where)
    kind = _IMAGES.get((media_type or "").lower()) or _IMAGES.get(f"image/{_suffix(image.url)}")
    if kind is None:
        losses.add(
            where, f"Bedrock takes pictures as PNG, JPEG, GIF or WebP, not {media_type or 'unnamed ones'}"
        )
        return None
    return {"image": {"format": kind, "source": source}}


def document_block(
    file: File, where: str, losses: Losses, more: dict[str, Any], *, number: int
) -> dict[str, Any] | None:
    """The block; None as above. `more`: its own fields (`context`, `citations`); `number`: for one without a name."""
    found = _source(file, where, losses)
    if found is None:
        return None
    source, data, media_type = found
    kind = _document_format(file, data, media_type)
    if kind is None:
        losses.add(where, f"Bedrock takes no documents of type {media_type or 'unknown'}")
        return None
    name = " ".join(_BAD_NAME.sub("-", file.name or "").split())[:200] or f"document {number}"
    return {"document": {"format": kind, "name": name, "source": source, **more}}


def _source(
    part: Image | File, where: str, losses: Losses
) -> tuple[dict[str, Any], bytes | None, str | None] | None:
    data, media_type = part.data, part.media_type
    if data is None and part.url is not None:
        if part.url.startswith("s3://"):
            return {"s3Location": {"uri": part.url}}, None, media_type
        if not part.url.startswith("data:"):
            losses.add(where, _NO_WEB)
            return None
        try:
            data, found = read_data_url(part.url)
        except ValueError as exc:
            raise BadRequest(f"{where}.url is a broken data URL: {exc}.", field=f"{where}.url") from exc
        media_type = media_type or found
    if data is not None:
        return {"bytes": base64.b64encode(data).decode()}, data, media_type
    if part.file_id is not None:
        losses.add(where, "Bedrock keeps no files: give the bytes, or an address in S3")
        return None
    raise empty(part, where)


def _document_format(file: File, data: bytes | None, media_type: str | None) -> str | None:
    kind = (media_type or "").partition(";")[0].strip().lower()
    if kind in _DOCUMENTS:
        return _DOCUMENTS[kind]
    suffix = _SUFFIXES.get(_suffix(file.name)) or _SUFFIXES.get(_suffix(file.url))
    if kind.startswith("text/"):
        return suffix or "txt"
    if suffix is None and data is not None and data.startswith(b"%PDF"):
        return "pdf"
    return suffix if kind in {"", "application/octet-stream"} else None


def _suffix(name: str | None) -> str:
    return (name or "").rpartition(".")[2].lower()
