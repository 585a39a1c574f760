"""The items of an answer, or of a conversation, to our parts. It knows neither requests nor answers as a
whole.

`message`, `reasoning` and `function_call` become parts that every provider has; any other item (a web search,
code run by the provider, a compaction, an item of tomorrow) is `Opaque`, whole. What our part has no place
for stays in its mark (see `marks.py`).
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.checks import Misfit, array, object_, text
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_responses.marks import FORMAT, marked

__all__ = ["decode_item", "item_type", "reasoning_text"]

_TEXTS = frozenset({"output_text", "input_text", "text"})


def item_type(item: dict[str, Any], at: str) -> str:
    """The type of an item; messages and references may leave it out.

    :raises Misfit: it is no string, or cannot be left out here.
    """
    kind: object = item.get("type")
    if kind is None:
        if "role" in item:
            return "message"
        if "id" in item:
            return "item_reference"
        raise Misfit(f"{at}.type", "a string", item.get("type", ...))
    return text(kind, f"{at}.type")


def decode_item(item: dict[str, Any], at: str) -> tuple[Part, ...]:
    """The parts of one item of the assistant's side; `at` is its path for errors.

    :raises Misfit: a field that we must read is missing or of a wrong type.
    """
    match item_type(item, at):
        case "message":
            return _message(item, at)
        case "function_call":
            return (_call(item, at),)
        case "reasoning":
            return (_reasoning(item, at),)
        case _:
            return (Opaque(format=FORMAT, data=item),)


def reasoning_text(item: dict[str, Any], at: str, keys: tuple[str, ...] = ("content", "summary")) -> str:
    """The readable text of a reasoning item: its content, else its summary; parts are set apart by an empty
    line."""
    for key in keys:
        value: object = item.get(key)
        if value is None:
            continue
        texts = [_text_of(part, f"{at}.{key}[{i}]") for i, part in enumerate(array(value, f"{at}.{key}"))]
        if any(texts):
            return "\n\n".join(filter(None, texts))
    return ""


def _message(item: dict[str, Any], at: str) -> tuple[Part, ...]:
    fields = {key: value for key, value in item.items() if key not in {"role", "content"}}
    content: object = item.get("content", ...)
    if isinstance(content, str):
        form = "string" if "id" in fields else None
        return (Text(text=content, extra=marked({}, item=fields or None, form=form)),)
    if not isinstance(content, list):
        raise Misfit(f"{at}.content", "a string or an array of parts", content)
    parts = [
        _output_part(object_(part, f"{at}.content[{i}]"), f"{at}.content[{i}]", fields)
        for i, part in enumerate(cast("list[Any]", content))
    ]
    first = parts[0] if parts else None
    if first is not None and "id" not in fields:  # such a message is usually written with a string
        parts[0] = _replace_mark(first, form="list")
    return tuple(parts)


def _output_part(part: dict[str, Any], at: str, fields: dict[str, Any]) -> Part:
    kind = text(part.get("type", ...), f"{at}.type")
    if kind not in _TEXTS:  # a refusal, or a part of tomorrow
        return Opaque(format=FORMAT, data=part, extra={FORMAT: {"item": fields}})
    rest = {key: value for key, value in part.items() if key not in {"type", "text"}}
    usual = None if kind == "output_text" else kind
    return Text(
        text=text(part.get("text", ...), f"{at}.text"), extra=marked(rest, item=fields or None, type=usual)
    )


def _replace_mark(part: Part, **more: str) -> Part:
    mark: dict[str, Any] = {**part.extra.get(FORMAT, {}), **more}
    extra = {**part.extra, FORMAT: mark}
    if isinstance(part, Opaque):
        return Opaque(format=FORMAT, data=part.data, extra=extra)
    assert isinstance(part, Text)
    return Text(text=part.text, extra=extra)


def _call(item: dict[str, Any], at: str) -> ToolCall:
    rest = {key: value for key, value in item.items() if key not in {"type", "call_id", "name", "arguments"}}
    arguments = text(item.get("arguments", ...), f"{at}.arguments")
    # Without a mark, empty arguments are those of a call made by hand and are written as {}.
    return ToolCall.parse(
        text(item.get("call_id", ...), f"{at}.call_id"),
        text(item.get("name", ...), f"{at}.name"),
        arguments,
        marked({}, item=rest if rest or not arguments else None),
    )


def _reasoning(item: dict[str, Any], at: str) -> Thinking:
    known: dict[str, str] = {}
    for key in ("id", "encrypted_content"):
        if item.get(key) is not None:
            known[key] = text(item[key], f"{at}.{key}")
    words = reasoning_text(item, at)
    rest = {key: value for key, value in item.items() if key != "type" and key not in known}
    encrypted, id_ = known.get("encrypted_content"), known.get("id")
    return Thinking(text=words, encrypted=encrypted, id=id_, extra={FORMAT: {"item": rest}})


def _text_of(part: object, at: str) -> str:
    return text(object_(part, at).get("text", ...), f"{at}.text")
