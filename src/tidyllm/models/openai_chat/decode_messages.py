"""The `messages` of a request to our turns. It knows nothing of the other fields."""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.checks import Misfit, array, object_, text
from tidyllm.models.message import Message, Opaque, Part, Role, Text, ToolResult
from tidyllm.models.openai_chat.decode_content import decode_content, decode_parts
from tidyllm.models.openai_chat.marks import FORMAT, marked, rest_of
from tidyllm.models.openai_chat.reasoning import DETAILS, PLAIN, decode_reasoning
from tidyllm.models.openai_chat.tool_calls import decode_call

__all__ = ["decode_messages"]

_ROLES: dict[str, Role] = {"developer": "developer", "system": "system", "user": "user"}


def decode_messages(messages: list[Any]) -> tuple[Message, ...]:
    """:raises Misfit: there are none, or one is not what the format wants."""
    if not messages:
        raise Misfit("messages", "an array of at least one message", messages, said="an empty one")
    return tuple([_message(object_(m, f"messages[{i}]"), f"messages[{i}]") for i, m in enumerate(messages)])


def _message(data: dict[str, Any], at: str) -> Message:
    word = text(data.get("role", ...), f"{at}.role")
    if word == "assistant":
        return _assistant(data, at)
    if word == "tool":
        return _result(data, at)
    if word == "function":  # the forerunner of tools: no other format knows such a message
        return Message("tool", (Opaque(format=FORMAT, data=data),))
    role = _ROLES.get(word)
    if role is None:
        expected = "system, developer, user, assistant or tool"
        raise Misfit(f"{at}.role", expected, word, said=f"{word[:40]!r}")
    content = decode_content(data.get("content", ...), f"{at}.content")
    return Message(role, content, rest_of(data, at, ("role", "content")))


def _result(data: dict[str, Any], at: str) -> Message:
    content = decode_content(data.get("content", ...), f"{at}.content")
    form = "list" if isinstance(content, tuple) else None
    result = ToolResult(
        call_id=text(data.get("tool_call_id", ...), f"{at}.tool_call_id"),
        content=content,
        extra=marked({}, form=form),
    )
    # The name repeats that of the call: whoever sends it says nothing new.
    name: object = data.get("name")
    extra = rest_of(
        data, at, ("role", "content", "tool_call_id", *(("name",) if name is not None else ())), name=name
    )
    return Message("tool", (result,), extra)


def _assistant(data: dict[str, Any], at: str) -> Message:
    reasoning, read = decode_reasoning(data)
    given: object = data.get("content", ...)
    calls: object = data.get("tool_calls")
    known = {"role", "content", *read}
    parts: list[Part] = list(reasoning)
    form: str | None = None
    if isinstance(given, str):
        if given:
            parts.append(Text(text=given))
        else:
            form = "empty"
    elif isinstance(given, list):
        form = "list"
        parts += decode_parts(cast("list[Any]", given), f"{at}.content")
    elif given in (None, ...):
        form = "null" if given is None else "absent"
    else:
        raise Misfit(f"{at}.content", "a string, an array of parts or null", given)
    if calls is not None:
        entries = array(calls, f"{at}.tool_calls")
        parts += [decode_call(call, f"{at}.tool_calls[{i}]") for i, call in enumerate(entries)]
        if entries:
            known.add("tool_calls")
            form = None if form == "null" else form  # null beside calls is the usual way
    # Known fields that say nothing are kept as they are, where other formats do not see them.
    quiet = (DETAILS, *PLAIN, "tool_calls")
    odd = {key: data[key] for key in quiet if key in data and key not in known and not data[key]}
    if isinstance(given, str) and given and len(parts) == 1:
        return Message("assistant", given, rest_of(data, at, {*known, *odd}, fields=odd))
    if not parts and form == "empty":
        return Message("assistant", "", rest_of(data, at, {*known, *odd}, fields=odd))
    return Message("assistant", tuple(parts), rest_of(data, at, {*known, *odd}, form=form, fields=odd))
