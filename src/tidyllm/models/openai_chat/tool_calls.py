"""Tool calls, both ways. It knows nothing of messages.

A call of a `custom` tool has a free text where others have arguments: it is a `ToolCall` like any other, whose text
is rarely a JSON object and then not `valid`; its mark says `custom`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.checks import is_object, json_text, object_, text
from tidyllm.models.message import ToolCall
from tidyllm.models.openai_chat.marks import mark_of, own_fields, rest_of, with_nulls

__all__ = ["arguments_text", "decode_call", "encode_call", "is_hollow"]

_KNOWN = ("function", "id", "type")


def decode_call(call: object, at: str, *, answer: bool = False) -> ToolCall:
    """One entry of `tool_calls`.

    `answer`: it comes from a provider. Then the id may be missing, and fields that hold nothing are left out.

    :raises Misfit: it has no name, or a field has a wrong type.
    """
    data = object_(call, at)
    if answer:
        data = {key: value for key, value in data.items() if key in _KNOWN or not is_hollow(value)}
    kind: object = data.get("type")
    if kind is not None:
        text(kind, f"{at}.type")
    custom = kind == "custom"
    holder = "custom" if custom else "function"
    inner = object_(data.get(holder, ...), f"{at}.{holder}")
    words = "input" if custom else "arguments"
    raw, form = _arguments(inner, words, f"{at}.{holder}.{words}")
    id = data.get("id", ...)
    if answer and id in (None, ...):
        id = ""
    rest = {key: value for key, value in inner.items() if key not in {"name", words}}
    extra = rest_of(
        data,
        at,
        {"id", "index", "type", holder},
        index=None if answer else data.get("index"),
        type=None if kind == "function" else kind,
        untyped=None if kind is not None else ("null" if "type" in data else "absent"),
        arguments=form,
        function=rest,
    )
    return ToolCall.parse(
        text(id, f"{at}.id"), text(inner.get("name", ...), f"{at}.{holder}.name"), raw, extra
    )


def encode_call(call: ToolCall) -> dict[str, Any]:
    """The entry of `tool_calls` for a call."""
    mark = mark_of(call.extra)
    kind: object = mark.get("type", "function")
    custom = kind == "custom"
    words = "input" if custom else "arguments"
    form: object = mark.get("arguments")
    inner: dict[str, Any] = {"name": call.name, **mark.get("function", {})}
    if form == "object":
        inner[words] = call.arguments
    elif form == "null":
        inner[words] = None
    elif form != "absent":
        inner[words] = call.raw_arguments if form == "empty" else arguments_text(call)
    data: dict[str, Any] = {"id": call.id, "type": kind, "custom" if custom else "function": inner}
    if "untyped" in mark:
        data["type"] = None
        if mark["untyped"] == "absent":
            del data["type"]
    if "index" in mark:
        data["index"] = mark["index"]
    return with_nulls({**data, **own_fields(call.extra, part=True)}, mark)


def arguments_text(call: ToolCall) -> str:
    """The arguments as text; a call made by hand, which has none, gets them as JSON."""
    return call.raw_arguments or msgspec.json.encode(call.arguments).decode()


def is_hollow(value: object, levels: int = 3) -> bool:
    """Whether this says nothing: null, empty, zero, or an object of such values only, down to three levels."""
    if is_object(value) and levels:
        return all(is_hollow(inner, levels - 1) for inner in value.values())
    return not value


def _arguments(inner: dict[str, Any], key: str, at: str) -> tuple[str, str | None]:
    """The arguments as text, and how they were written where that was not as text."""
    given: object = inner.get(key, ...)
    if isinstance(given, str):
        return given, None if given else "empty"
    if given is ...:
        return "", "absent"
    if given is None:
        return "", "null"
    return json_text(given, at), "object"
