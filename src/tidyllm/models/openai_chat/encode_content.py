"""Our parts to the parts of a message's content. It knows nothing of messages."""

from __future__ import annotations

import base64
from typing import Any

from tidyllm.models.data_url import data_url
from tidyllm.models.losses import Losses
from tidyllm.models.media import empty, media_type_of
from tidyllm.models.message import Audio, File, Image, Opaque, Part, Text, Thinking
from tidyllm.models.openai_chat.marks import FORMAT, mark_of, own_fields, with_nulls
from tidyllm.models.openai_parts import encode_sound

__all__ = ["encode_part", "plain_text"]

_FILE_NAMES = {"application/pdf": "document.pdf", "text/plain": "document.txt"}
"""What a nameless document is called: OpenAI takes none without a name."""


def encode_part(part: Part, at: str, losses: Losses) -> dict[str, Any] | None:
    """The part as content; None when it was left out and reported.

    :raises Unsupported: this format has no such content.
    :raises BadRequest: the part holds nothing, or bytes of an unknown kind.
    """
    if isinstance(part, Opaque):
        if part.format == FORMAT:
            return part.data
        losses.add(at, f"a {part.data.get('type', 'part')!r} part of the {part.format} format")
        return None
    mark = mark_of(part.extra)
    if isinstance(part, Text):
        body: dict[str, Any] | None = {"type": "text", "text": part.text}
    elif isinstance(part, Image):
        body = _image(part, mark, at, losses)
    elif isinstance(part, File):
        body = _file(part, mark, at, losses)
    elif isinstance(part, Audio):
        body = encode_sound(part)
    elif isinstance(part, Thinking) and mark.get("field") == "content":
        return mark.get("part") or {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
    else:
        losses.add(at, f"{type(part).__name__} is no content of this message")
        body = None
    if body is None or not part.extra:
        return body
    return with_nulls({**body, **own_fields(part.extra, part=True)}, mark)


def plain_text(part: Part) -> str | None:
    """The text of a part that says nothing besides; None for any other part."""
    if not isinstance(part, Text):
        return None
    if part.extra and (own_fields(part.extra, part=True) or mark_of(part.extra)):
        return None
    return part.text


def _image(image: Image, mark: dict[str, Any], at: str, losses: Losses) -> dict[str, Any] | None:
    if image.data is not None:
        url = data_url(image.data, media_type_of(image.data, image.media_type, at))
    elif image.url is not None:
        url = image.url
    elif image.file_id is not None:
        losses.add(f"{at}.file_id", "images are sent by URL or as bytes")
        return None
    else:
        raise empty(image, at)
    if mark.get("form") == "string":
        return {"type": "image_url", "image_url": url}
    inner: dict[str, Any] = {"url": url, **dict.fromkeys(mark.get("inner_nulls", ()))}
    if image.detail is not None:
        inner["detail"] = image.detail
    return {"type": "image_url", "image_url": inner}


def _file(file: File, mark: dict[str, Any], at: str, losses: Losses) -> dict[str, Any] | None:
    inner: dict[str, Any] = dict.fromkeys(mark.get("inner_nulls", ()))
    if file.data is not None:
        kind = file.media_type
        if kind is None and mark.get("form") != "bare" and file.data.startswith(b"%PDF-"):
            kind = "application/pdf"
        inner["file_data"] = data_url(file.data, kind) if kind else base64.b64encode(file.data).decode()
        if file.name is None and "unnamed" not in mark:
            inner["filename"] = _FILE_NAMES.get(kind or "", "document")
    elif file.url is not None:
        if mark.get("form") != "url":
            losses.add(f"{at}.url", "files are sent as bytes or by file_id")
            return None
        inner["file_data"] = file.url
    if file.file_id is not None:
        inner["file_id"] = file.file_id
    if not inner:
        raise empty(file, at)
    if file.name is not None:
        inner["filename"] = file.name
    return {"type": "file", "file": inner}
