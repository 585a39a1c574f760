"""The parts of a message's content to ours: text, image, file, audio, thinking. It knows nothing of messages.

A part of an unknown type, and a known one with an unknown field inside, is `Opaque`, whole. Base64 is decoded where
writing it back gives the same text.
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models import openai_parts
from tidyllm.models.checks import Misfit, array, is_object, object_, text
from tidyllm.models.data_url import decode_data_url, exact_base64
from tidyllm.models.message import Audio, File, Image, Opaque, Part, Text, Thinking
from tidyllm.models.openai_chat.marks import FORMAT, marked, rest_of

__all__ = ["decode_content", "decode_parts"]


def decode_content(content: object, at: str) -> str | tuple[Part, ...]:
    """The content of a message: text, or parts.

    :raises Misfit: it is neither a string nor an array of parts.
    """
    return openai_parts.decode_content(content, at, _part)


def decode_parts(parts: list[Any], at: str) -> tuple[Part, ...]:
    """:raises Misfit: an entry is no part."""
    return tuple([_part(object_(part, f"{at}[{i}]"), f"{at}[{i}]") for i, part in enumerate(parts)])


def _part(data: dict[str, Any], at: str) -> Part:
    kind = text(data.get("type", ...), f"{at}.type")
    if kind == "text":
        return Text(text=text(data.get("text", ...), f"{at}.text"), extra=rest_of(data, at, ("type", "text")))
    if kind == "image_url":
        return _image(data, at)
    if kind == "file":
        return _file(data, at)
    if kind == "input_audio":
        return _audio(data, at)
    if kind == "thinking":
        return _thinking(data, at)
    return Opaque(format=FORMAT, data=data)


def _inner(data: object, names: dict[str, str], at: str) -> tuple[dict[str, str], list[str]] | None:
    """The string fields of the inner object by our names for them, and its nulls; None when it holds more."""
    inner = object_(data, at)
    known: dict[str, str] = {}
    nulls: list[str] = []
    for key, value in inner.items():
        if value is None:
            nulls.append(key)
        elif key in names:
            known[names[key]] = text(value, f"{at}.{key}")
        else:
            return None
    return known, nulls


def _image(data: dict[str, Any], at: str) -> Part:
    where = f"{at}.image_url"
    given: object = data.get("image_url", ...)
    if isinstance(given, str):  # Mistral takes the bare URL as well
        known: dict[str, str] = {"url": given}
        nulls: list[str] = []
        form: str | None = "string"
    else:
        found = _inner(given, {"url": "url", "detail": "detail"}, where)
        if found is None:
            return Opaque(format=FORMAT, data=data)
        known, nulls, form = *found, None
    if "url" not in known:
        raise Misfit(f"{where}.url", "a string", None if "url" in nulls else ...)
    extra = rest_of(data, at, ("type", "image_url"), form=form, inner_nulls=nulls)
    decoded = decode_data_url(known["url"])
    detail = known.get("detail")
    if decoded is None:
        return Image(url=known["url"], detail=detail, extra=extra)
    return Image(data=decoded[1], media_type=decoded[0], detail=detail, extra=extra)


def _file(data: dict[str, Any], at: str) -> Part:
    where = f"{at}.file"
    found = _inner(
        data.get("file", ...), {"file_data": "data", "file_id": "file_id", "filename": "name"}, where
    )
    if found is None:
        return Opaque(format=FORMAT, data=data)
    known, nulls = found
    name, file_id, given = known.get("name"), known.get("file_id"), known.get("data")
    if given is None and file_id is None:
        raise Misfit(
            f"{where}.file_data", "a string, unless there is a file_id", None if "file_data" in nulls else ...
        )
    by_url = given is not None and given.startswith(("https://", "http://"))  # OpenRouter fetches it itself
    decoded = decode_data_url(given) if given is not None else None
    bare = exact_base64(given) if given is not None and decoded is None else None
    form = "url" if by_url else ("bare" if bare is not None else None)
    unnamed = True if given is not None and name is None else None
    extra = rest_of(data, at, ("type", "file"), form=form, unnamed=unnamed, inner_nulls=nulls)
    if given is None or by_url:
        return File(url=given, name=name, file_id=file_id, extra=extra)
    if decoded is not None:
        return File(data=decoded[1], media_type=decoded[0], name=name, file_id=file_id, extra=extra)
    if bare is None:
        return Opaque(format=FORMAT, data=data)
    return File(data=bare, name=name, file_id=file_id, extra=extra)


def _audio(data: dict[str, Any], at: str) -> Part:
    sound = openai_parts.decode_sound(data, at)
    if sound is None:
        return Opaque(format=FORMAT, data=data)
    return Audio(data=sound[0], format=sound[1], extra=rest_of(data, at, ("type", "input_audio")))


def _thinking(data: dict[str, Any], at: str) -> Part:
    """Mistral's reasoning, a part of the content that holds text parts itself."""
    inner = array(data.get("thinking", ...), f"{at}.thinking")
    texts = [part.get("text") for part in inner if is_object(part) and part.get("type") == "text"]
    if len(texts) != len(inner) or not all(isinstance(piece, str) for piece in texts):
        return Opaque(format=FORMAT, data=data)
    words = "".join(cast("list[str]", texts))
    usual = data.keys() == {"type", "thinking"} and len(inner) == 1 and len(inner[0]) == 2
    return Thinking(text=words, extra=marked({}, field="content", part=None if usual else data))
