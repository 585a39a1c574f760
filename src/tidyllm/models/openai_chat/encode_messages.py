"""Our turns to `messages`. It knows nothing of the other fields of a request.

What one of our messages holds may become several: each result of a tool is a message of its own. Images in a result,
which OpenAI takes from users only, follow in a message of the user once all results are told.
"""

from __future__ import annotations

from typing import Any

from tidyllm.errors import BadRequest
from tidyllm.models.losses import Losses
from tidyllm.models.message import Message, Opaque, Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.openai_chat.encode_content import encode_part, plain_text
from tidyllm.models.openai_chat.marks import FORMAT, mark_of, own_fields, with_nulls
from tidyllm.models.openai_chat.reasoning import encode_reasoning
from tidyllm.models.openai_chat.tool_calls import encode_call

__all__ = ["encode_messages"]


def encode_messages(
    system: str | tuple[Text, ...] | None, turns: tuple[Message, ...], losses: Losses
) -> list[dict[str, Any]]:
    """The field `messages`.

    :raises Unsupported: a part has no place in this format, unless lenient.
    :raises BadRequest: nothing is left to send, or a tool's message holds no result.
    """
    messages: list[dict[str, Any]] = []
    if system is not None:
        messages.append({"role": "system", "content": _system(system, losses)})
    waiting: list[dict[str, Any]] = []  # parts of results that only a user may send
    for index, message in enumerate(turns):
        at = f"messages[{index}]"
        if message.role == "assistant":
            _flush(waiting, messages)
            messages.append(_assistant(message, at, losses))
        else:
            _other_side(message, at, losses, messages, waiting)
    _flush(waiting, messages)
    if not messages:
        raise BadRequest("messages must hold at least one message.", field="messages")
    return messages


def _flush(waiting: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    if waiting:
        messages.append({"role": "user", "content": waiting.copy()})
        waiting.clear()


def _system(system: str | tuple[Text, ...], losses: Losses) -> str | list[dict[str, Any]]:
    if isinstance(system, str):
        return system
    texts = [plain_text(part) for part in system]
    if None not in texts:  # not every server takes a list here
        return "\n\n".join(text for text in texts if text)
    return _content(system, "system", losses)


def _content(parts: tuple[Part, ...], at: str, losses: Losses) -> list[dict[str, Any]]:
    encoded = [encode_part(part, f"{at}[{i}]", losses) for i, part in enumerate(parts)]
    return [body for body in encoded if body is not None]


def _finished(message: Message, body: dict[str, Any]) -> dict[str, Any]:
    """The message with its own fields and with what its mark says."""
    if not message.extra:
        return body
    mark = mark_of(message.extra)
    if "name" in mark:
        body["name"] = mark["name"]
    return with_nulls({**body, **own_fields(message.extra), **mark.get("fields", {})}, mark)


def _assistant(message: Message, at: str, losses: Losses) -> dict[str, Any]:
    if isinstance(message.content, str):
        return _finished(message, {"role": "assistant", "content": message.content})
    content: list[tuple[str, Part]] = []
    thoughts: list[tuple[str, Thinking]] = []
    calls: list[dict[str, Any]] = []
    body: dict[str, Any] = {"role": "assistant"}
    for i, part in enumerate(message.content):
        where = f"{at}.content[{i}]"
        if isinstance(part, ToolCall):
            calls.append(encode_call(part))
        elif isinstance(part, Thinking) and mark_of(part.extra).get("field") != "content":
            thoughts.append((where, part))
        elif isinstance(part, Opaque) and part.format == FORMAT and part.data.get("type") == "audio":
            body["audio"] = {"id": part.data.get("audio", {}).get("id", "")}
        else:
            content.append((where, part))
    body.update(encode_reasoning(thoughts, losses))
    form: object = mark_of(message.extra).get("form")
    only = plain_text(content[0][1]) if len(content) == 1 else None
    if form == "list":
        body["content"] = _listed(content, losses)
    elif only is not None:
        body["content"] = only
    elif content:
        body["content"] = _listed(content, losses)
    elif form == "empty" or not (form or calls):
        body["content"] = ""
    elif form != "absent":
        body["content"] = None
    if calls:
        body["tool_calls"] = calls
    return _finished(message, body)


def _listed(content: list[tuple[str, Part]], losses: Losses) -> list[dict[str, Any]]:
    encoded = [encode_part(part, at, losses) for at, part in content]
    return [body for body in encoded if body is not None]


def _other_side(
    message: Message,
    at: str,
    losses: Losses,
    messages: list[dict[str, Any]],
    waiting: list[dict[str, Any]],
) -> None:
    """Append the messages for one of a user, a tool or the system."""
    where = f"{at}.content"
    if isinstance(message.content, str):
        if message.role == "tool":
            raise BadRequest(f"{where} of a tool's message must hold its ToolResult parts.", field=where)
        _flush(waiting, messages)
        messages.append(_finished(message, {"role": message.role, "content": message.content}))
        return
    content: list[dict[str, Any]] = []
    others = 0
    for i, part in enumerate(message.content):
        if isinstance(part, ToolResult):
            messages.append(_finished(message, _result(part, f"{where}[{i}]", losses, waiting)))
            others += 1
        elif isinstance(part, Opaque) and part.format == FORMAT and "role" in part.data:
            messages.append(part.data)
            others += 1
        elif message.role == "tool":
            raise BadRequest(f"{where}[{i}] of a tool's message must be a ToolResult.", field=f"{where}[{i}]")
        else:
            body = encode_part(part, f"{where}[{i}]", losses)
            if body is not None:
                content.append(body)
    if content or not others:
        _flush(waiting, messages)
        messages.append(_finished(message, {"role": message.role, "content": content}))


def _result(part: ToolResult, at: str, losses: Losses, waiting: list[dict[str, Any]]) -> dict[str, Any]:
    body: dict[str, Any] = {"role": "tool", "tool_call_id": part.call_id}
    if part.is_error:
        losses.note(f"{at}.is_error")  # there is no field for it; the text of the result says what went wrong
    if isinstance(part.content, str):
        body["content"] = part.content
    elif mark_of(part.extra).get("form") == "list":
        body["content"] = _content(part.content, f"{at}.content", losses)
    else:
        body["content"] = _told(part, at, losses, waiting)
    return {**body, **own_fields(part.extra, part=True)}


def _told(
    part: ToolResult, at: str, losses: Losses, waiting: list[dict[str, Any]]
) -> str | list[dict[str, Any]]:
    """The texts of a result from elsewhere; what is no text joins the parts that wait for the user's message."""
    texts: list[Part] = []
    moved = False
    for i, inner in enumerate(part.content):
        assert not isinstance(inner, str)
        if isinstance(inner, Text):
            texts.append(inner)
            continue
        body = encode_part(inner, f"{at}.content[{i}]", losses)
        if body is not None:
            if not moved:
                waiting.append({"type": "text", "text": f"Attached to the result of {part.call_id}:"})
                moved = True
            waiting.append(body)
    if not texts:
        return "The result is attached to the next message of the user." if moved else ""
    only = plain_text(texts[0]) if len(texts) == 1 else None
    return only if only is not None else _content(tuple(texts), f"{at}.content", losses)
