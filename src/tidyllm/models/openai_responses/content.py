"""The parts of a message's content, both ways: `input_text`, `input_image`, `input_file`, `input_audio`.

It knows nothing of messages and items. A part of an unknown type is `Opaque`, whole. Base64 is decoded where
writing it back gives the same text; a data URL in any other spelling stays a URL.
"""

from __future__ import annotations

import base64
from typing import Any

from tidyllm.models import openai_parts
from tidyllm.models.checks import Misfit, text
from tidyllm.models.data_url import data_url, decode_data_url, exact_base64
from tidyllm.models.losses import Losses
from tidyllm.models.media import empty, media_type_of
from tidyllm.models.message import Audio, File, Image, Opaque, Part, Text
from tidyllm.models.openai_responses.marks import FORMAT, mark_of, marked, own_fields

__all__ = ["decode_content", "encode_part"]

_TEXTS = frozenset({"input_text", "output_text", "text"})


def decode_content(content: object, at: str) -> str | tuple[Part, ...]:
    """The content of a message of the user's side, or the output of a tool.

    :raises Misfit: it is neither a string nor a list of parts.
    """
    return openai_parts.decode_content(content, at, _part)


def encode_part(part: Part, at: str, losses: Losses) -> dict[str, Any] | None:
    """The part as content of a user, a developer or a tool; None when it was left out and reported.

    :raises Unsupported: this format has no such content.
    :raises BadRequest: the part holds nothing, or bytes of an unknown kind.
    """
    if isinstance(part, Text):
        body: dict[str, Any] = {"type": (mark_of(part) or {}).get("type", "input_text"), "text": part.text}
    elif isinstance(part, Image):
        body = _image(part, at)
    elif isinstance(part, File):
        body = _file(part, at)
    elif isinstance(part, Audio):
        body = openai_parts.encode_sound(part)
    elif isinstance(part, Opaque) and part.format == FORMAT:
        return part.data
    else:
        losses.add(at, _why_not(part))
        return None
    return {**body, **own_fields(part.extra, at, losses)} if part.extra else body


def _part(data: dict[str, Any], at: str) -> Part:
    kind = text(data.get("type", ...), f"{at}.type")
    if kind in _TEXTS:
        rest = {key: value for key, value in data.items() if key not in {"type", "text"}}
        usual = None if kind == "input_text" else kind
        return Text(text=text(data.get("text", ...), f"{at}.text"), extra=marked(rest, type=usual))
    if kind == "input_image":
        return _read_image(data, at)
    if kind == "input_file":
        return _read_file(data, at)
    if kind == "input_audio":
        return _read_audio(data, at)
    return Opaque(format=FORMAT, data=data)


def _taken(data: dict[str, Any], names: dict[str, str], at: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The string fields that we know, by our name for them, and the rest; null stays in the rest."""
    known = {
        ours: text(data[wire], f"{at}.{wire}") for wire, ours in names.items() if data.get(wire) is not None
    }
    rest = {k: v for k, v in data.items() if k != "type" and (v is None or k not in names)}
    return known, rest


def _read_image(data: dict[str, Any], at: str) -> Part:
    known, rest = _taken(data, {"image_url": "url", "file_id": "file_id", "detail": "detail"}, at)
    found = decode_data_url(known["url"]) if "url" in known else None
    if found is not None:
        del known["url"]
        return Image(data=found[1], media_type=found[0], extra=rest, **known)
    if "url" not in known and "file_id" not in known:
        raise Misfit(f"{at}.image_url", "a URL, unless there is a file_id", data.get("image_url", ...))
    return Image(extra=rest, **known)


def _read_file(data: dict[str, Any], at: str) -> Part:
    names = {"file_data": "data", "file_url": "url", "file_id": "file_id", "filename": "name"}
    known, rest = _taken(data, names, at)
    if "data" not in known:
        if "url" not in known and "file_id" not in known:
            expected = "a string, unless there is a file_id or file_url"
            raise Misfit(f"{at}.file_data", expected, data.get("file_data", ...))
        return File(extra=rest, **known)
    given = known.pop("data")
    found = decode_data_url(given)
    if found is not None:
        return File(data=found[1], media_type=found[0], extra=rest, **known)
    bare = exact_base64(given)
    if bare is not None:
        return File(data=bare, extra=rest, **known)
    return File(extra={**rest, "file_data": given}, **known)  # no base64 that we could write back: untouched


def _read_audio(data: dict[str, Any], at: str) -> Part:
    sound = openai_parts.decode_sound(data, at)
    if sound is None:
        return Opaque(format=FORMAT, data=data)
    rest = {key: value for key, value in data.items() if key not in {"type", "input_audio"}}
    return Audio(data=sound[0], format=sound[1], extra=rest)


def _image(image: Image, at: str) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "input_image"}
    if image.data is not None:
        body["image_url"] = data_url(image.data, media_type_of(image.data, image.media_type, at))
    elif image.url is not None:
        body["image_url"] = image.url
    if image.file_id is not None:
        body["file_id"] = image.file_id
    if len(body) == 1:
        raise empty(image, at)
    if image.detail is not None:
        body["detail"] = image.detail
    return body


def _file(file: File, at: str) -> dict[str, Any]:
    body: dict[str, Any] = {"type": "input_file"}
    if file.data is not None:
        kind = file.media_type
        body["file_data"] = data_url(file.data, kind) if kind else base64.b64encode(file.data).decode()
    if file.url is not None:
        body["file_url"] = file.url
    if file.file_id is not None:
        body["file_id"] = file.file_id
    if len(body) == 1 and "file_data" not in file.extra:
        raise empty(file, at)
    if file.name is not None:
        body["filename"] = file.name
    return body


def _why_not(part: Part) -> str:
    if isinstance(part, Opaque):
        return f"it is a part that only the {part.format} format understands"
    return f"{type(part).__name__} is no content of this message"
