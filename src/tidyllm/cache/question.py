"""The last thing a user said, apart from everything else of a request. It knows where formats keep it."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from tidyllm.cache.key import Memo, forward_key, request_key
from tidyllm.models.forward import Forward
from tidyllm.models.message import Text
from tidyllm.models.request import Request

__all__ = ["split_question"]

_TEXTS = frozenset({"text", "input_text"})


def split_question(x: Any, place: tuple[str, ...], *, stream: bool) -> tuple[bytes, str] | None:
    """A key of everything but the last user's text, and that text; None where a request does not end in one."""
    place = (*place, "similar")
    if isinstance(x, Forward):
        return _of_forward(x, place)
    try:
        request = Request.of(x)
    except TypeError:
        return None
    return _of_request(request, place, stream=stream)


def _of_request(request: Request, place: tuple[str, ...], *, stream: bool) -> tuple[bytes, str] | None:
    turns = request.turns
    if not turns or turns[-1].role != "user":
        return None
    last = turns[-1]
    if isinstance(last.content, str):
        text, content = last.content, ""
    elif last.content and isinstance(part := last.content[-1], Text):
        text, content = part.text, (*last.content[:-1], msgspec.structs.replace(part, text=""))
    else:
        return None
    blank = msgspec.structs.replace(last, content=content)
    key = request_key(msgspec.structs.replace(request, messages=(*turns[:-1], blank)), place, stream=stream)
    return None if key is None or not text.strip() else (key, text)


def _of_forward(call: Forward, place: tuple[str, ...]) -> tuple[bytes, str] | None:
    name = "messages" if "messages" in call.fields else "input"
    raw = call.fields.get(name)
    if raw is None or call.format in ("openai_embeddings", "anthropic_count_tokens"):
        return None
    try:
        held: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    text = held if isinstance(held, str) else _cut(held)
    if text is None or not text.strip():
        return None
    rest = "" if isinstance(held, str) else held
    fields = {**call.fields, name: msgspec.Raw(msgspec.json.encode(rest))}
    blank = Forward(call.format, fields, call.stream, call.decode, call.headers)
    return forward_key(blank, place, Memo(1)), text


def _cut(turns: object) -> str | None:
    """Take the last user's text out of a list of messages, in place."""
    if not isinstance(turns, list) or not turns:
        return None
    last = cast("list[object]", turns)[-1]
    if not isinstance(last, dict):
        return None
    message = cast("dict[str, object]", last)
    content = message.get("content")
    if message.get("role") != "user":
        return None
    if isinstance(content, str):
        message["content"] = ""
        return content
    if not isinstance(content, list) or not content:
        return None
    part = cast("list[object]", content)[-1]
    if not isinstance(part, dict):
        return None
    block = cast("dict[str, object]", part)
    text = block.get("text")
    if block.get("type") not in _TEXTS or not isinstance(text, str):
        return None
    block["text"] = ""
    return text
