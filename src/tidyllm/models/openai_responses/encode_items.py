"""Our messages to input items. It knows nothing of the rest of a request.

A message of an assistant becomes several items, in the order of its parts: texts that came from one item go
back into one. A message of a user becomes one item, except that tool results are items of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.losses import Losses
from tidyllm.models.message import Message, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.openai_responses.content import encode_part
from tidyllm.models.openai_responses.marks import FORMAT, item_fields, mark_of, own_fields

__all__ = ["arguments_of", "encode_message", "same_item", "summary_of"]


def encode_message(message: Message, at: str, losses: Losses) -> list[dict[str, Any]]:
    """The items for one message; `at` is its path for errors.

    :raises Unsupported: a part has no place in this format, unless lenient.
    """
    fields = {**own_fields(message.extra, at, losses), **item_fields(message)}
    if message.role == "assistant":
        if fields or isinstance(message.content, str) or not message.content:
            return _whole_message(message, fields, at, losses)
        return _assistant(message.content, f"{at}.content", losses)
    if isinstance(message.content, str):
        if message.role == "tool":
            losses.add(f"{at}.content", "the message of a tool holds tool results")
            return []
        return [{"role": message.role, "content": message.content, **fields}]
    return _other_side(message, message.content, fields, f"{at}.content", losses)


def _whole_message(message: Message, fields: dict[str, Any], at: str, losses: Losses) -> list[dict[str, Any]]:
    """A message of the assistant that is one item and nothing besides."""
    content: str | list[dict[str, Any]] = message.content if isinstance(message.content, str) else []
    for i, part in enumerate(() if isinstance(message.content, str) else message.content):
        assert isinstance(content, list)
        if isinstance(part, Text) or (isinstance(part, Opaque) and part.format == FORMAT):
            content.append(_output_part(part, f"{at}.content[{i}]", losses))
        else:
            losses.add(f"{at}.content[{i}]", "a message with fields of its own holds texts only")
    return [{"role": "assistant", "content": content, **fields}]


def same_item(part: Part, fields: dict[str, Any] | None) -> bool:
    """Whether a text goes into the message item begun with the fields `fields` (None: there is none)."""
    return fields is not None and item_fields(part) == fields


def summary_of(text: str) -> list[dict[str, Any]]:
    """The summary of a reasoning item that holds this text."""
    return [{"type": "summary_text", "text": text}] if text else []


def arguments_of(call: ToolCall) -> str:
    """The arguments as text; a call made by hand, which has none, gets them as JSON."""
    if call.raw_arguments or mark_of(call) is not None:
        return call.raw_arguments
    return msgspec.json.encode(call.arguments).decode()


def _assistant(parts: tuple[Part, ...], at: str, losses: Losses) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    open_fields: dict[str, Any] | None = None
    texts: list[tuple[int, Part]] = []

    def close() -> None:
        nonlocal open_fields
        if open_fields is not None:
            items.append(_message(texts, open_fields, at, losses))
            texts.clear()
            open_fields = None

    for i, part in enumerate(parts):
        mark = mark_of(part)
        if isinstance(part, Text) or (
            isinstance(part, Opaque) and part.format == FORMAT and mark is not None
        ):
            if not same_item(part, open_fields):
                close()
                open_fields = item_fields(part)
            texts.append((i, part))
            continue
        close()
        item = _item(part, f"{at}[{i}]", losses)
        if item is not None:
            items.append(item)
    close()
    return items


def _message(
    parts: list[tuple[int, Part]], fields: dict[str, Any], at: str, losses: Losses
) -> dict[str, Any]:
    first = parts[0][1]
    content = [_output_part(part, f"{at}[{i}]", losses) for i, part in parts]
    form = (mark_of(first) or {}).get("form")
    if form is None:
        form = (
            "list"
            if "id" in fields or len(content) > 1 or content[0].keys() != {"type", "text"}
            else "string"
        )
    if form == "string" and isinstance(first, Text) and len(content) == 1:
        return {"role": "assistant", "content": first.text, **fields}
    return {"role": "assistant", "content": content, **fields}


def _output_part(part: Part, at: str, losses: Losses) -> dict[str, Any]:
    if isinstance(part, Opaque):
        return part.data
    assert isinstance(part, Text)
    kind = (mark_of(part) or {}).get("type", "output_text")
    return {"type": kind, "text": part.text, **own_fields(part.extra, at, losses)}


def _item(part: Part, at: str, losses: Losses) -> dict[str, Any] | None:
    """An item that is no message; None when it was left out and reported."""
    if isinstance(part, ToolCall):
        return {
            "type": "function_call",
            "call_id": part.id,
            "name": part.name,
            "arguments": arguments_of(part),
            **own_fields(part.extra, at, losses),
            **item_fields(part),
        }
    if isinstance(part, Thinking):
        return _reasoning(part, at, losses)
    if isinstance(part, ToolResult):
        return _result(part, at, losses)
    if isinstance(part, Opaque) and part.format == FORMAT:
        return part.data
    why = f"only the {part.format} format understands it" if isinstance(part, Opaque) else None
    losses.add(at, why or f"an assistant says no {type(part).__name__} here")
    return None


def _reasoning(part: Thinking, at: str, losses: Losses) -> dict[str, Any] | None:
    mark = mark_of(part)
    if mark is None and part.encrypted is None and part.id is None:
        losses.add(at, "reasoning goes back only to the provider whose id or encrypted content it has")
        return None
    item: dict[str, Any] = {"type": "reasoning"}
    if part.id is not None:
        item["id"] = part.id
    if part.encrypted is not None:
        item["encrypted_content"] = part.encrypted
    if mark is None:
        item["summary"] = summary_of(part.text)
    return {**item, **own_fields(part.extra, at, losses), **item_fields(part)}


def _result(part: ToolResult, at: str, losses: Losses) -> dict[str, Any]:
    output: str | list[dict[str, Any]]
    if isinstance(part.content, str):
        output = part.content
    else:
        where = f"{at}.content"
        encoded = [encode_part(inner, f"{where}[{i}]", losses) for i, inner in enumerate(part.content)]
        output = [body for body in encoded if body is not None]
    if part.is_error:
        losses.note(f"{at}.is_error")  # the text of the result says what went wrong; there is no field for it
    fields = {**own_fields(part.extra, at, losses), **item_fields(part)}
    return {"type": "function_call_output", "call_id": part.call_id, "output": output, **fields}


def _other_side(
    message: Message, parts: tuple[Part, ...], fields: dict[str, Any], at: str, losses: Losses
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []

    def close() -> None:
        if content:
            items.append({"role": message.role, "content": content.copy(), **fields})
            content.clear()

    for i, part in enumerate(parts):
        where = f"{at}[{i}]"
        if isinstance(part, ToolResult):
            close()
            items.append(_result(part, where, losses))
        elif message.role != "tool":
            body = encode_part(part, where, losses)
            if body is not None:
                content.append(body)
        elif isinstance(part, Opaque) and part.format == FORMAT:
            items.append(part.data)
        else:
            losses.add(where, "the message of a tool holds tool results")
    close()
    if not parts:
        items.append({"role": message.role, "content": [], **fields})
    return items
