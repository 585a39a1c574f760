"""The body of `POST /v1/responses` to a `Request`. It knows nothing of HTTP or answers.

Every field is kept. Those that we have no field for, and those whose value says no more than their absence
(null, an empty list, `text` of format text), stay in `Request.extra` as they came.
"""

from __future__ import annotations

from typing import Any, cast, get_args

from tidyllm.models.checks import Misfit, array, flag, number, object_, text, whole
from tidyllm.models.message import Message, Opaque, Part, Role, Text, ToolResult
from tidyllm.models.openai_responses.content import decode_content
from tidyllm.models.openai_responses.decode_items import decode_item, item_type
from tidyllm.models.openai_responses.marks import FORMAT, item_fields, mark_of, marked
from tidyllm.models.request import Effort, JSONSchema, NamedTool, ProviderTool, Request, Tool, ToolChoice

__all__ = ["decode_request"]

_EFFORTS = frozenset(get_args(Effort))
_ROLES: dict[str, Role] = {role: role for role in ("assistant", "developer", "system", "user")}
_ALONE = ("conversation", "previous_response_id", "prompt")
"""Fields that can stand for the input."""


def decode_request(body: dict[str, Any]) -> tuple[Request, bool]:
    """The request, and whether it asks for a stream.

    :raises BadRequest: a field is missing or of a wrong type; `error.field` names it.
    """
    try:
        return _request(body)
    except Misfit as misfit:
        raise misfit.request() from None


def _request(body: dict[str, Any]) -> tuple[Request, bool]:
    rest = body.copy()
    model = text(rest.pop("model", ...), "model")
    stream = rest.pop("stream", None)
    if stream is not None:
        flag(stream, "stream")
    fields: dict[str, Any] = {"model": model, "messages": _input(rest)}
    for name, check in (
        ("temperature", number),
        ("top_p", number),
        ("max_output_tokens", whole),
        ("parallel_tool_calls", flag),
        ("user", text),
    ):
        if rest.get(name) is not None:
            fields[name] = check(rest.pop(name), name)
    if rest.get("instructions") is not None:
        fields["system"] = text(rest.pop("instructions"), "instructions")
    if rest.get("metadata"):
        metadata = object_(rest.pop("metadata"), "metadata")
        fields["metadata"] = {key: text(value, f"metadata.{key}") for key, value in metadata.items()}
    if rest.get("tools"):
        tools = array(rest.pop("tools"), "tools")
        fields["tools"] = tuple(_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools))
    if rest.get("tool_choice") is not None:
        _tool_choice(rest, fields)
    if rest.get("text") is not None:
        _text(rest, fields)
    if rest.get("reasoning") is not None:
        _reasoning(rest, fields)
    return Request(**fields, extra=rest), bool(stream)


def _input(rest: dict[str, Any]) -> str | tuple[Message, ...]:
    value: object = rest.pop("input", ...)
    if isinstance(value, str):
        return value
    if value is ... and any(rest.get(name) is not None for name in _ALONE):
        return ()
    if not isinstance(value, list):
        raise Misfit("input", "a string or an array of items", value)
    messages: list[Message] = []
    group: list[Part] = []
    for i, item in enumerate(cast("list[Any]", value)):
        at = f"input[{i}]"
        _add_item(object_(item, at), at, messages, group)
    _close(group, messages)
    return tuple(messages)


def _add_item(item: dict[str, Any], at: str, messages: list[Message], group: list[Part]) -> None:
    """Put one item into the messages; what an assistant said in a row becomes one message."""
    kind = item_type(item, at)
    if kind == "message" and item.get("role") != "assistant":
        _close(group, messages)
        messages.append(_message(item, at))
    elif kind == "function_call_output":
        _close(group, messages)
        messages.append(Message("tool", (_result(item, at),)))
    elif kind.endswith(("_output", "_response")) and item.get("execution") != "server":
        _close(group, messages)
        messages.append(Message("tool", (Opaque(format=FORMAT, data=item),)))
    else:
        parts = decode_item(item, at)
        if not parts:  # a message without content has no part that could remember it
            _close(group, messages)
            fields = {key: value for key, value in item.items() if key not in {"role", "content"}}
            messages.append(Message("assistant", (), marked({}, item=fields or None)))
            return
        if group and _one_item(group[-1], parts[0]):
            _close(group, messages)
        group += parts


def _one_item(last: Part, first: Part) -> bool:
    """Whether two texts of two items would be taken for one item, did they stand in one message."""
    texts = all(
        isinstance(p, Text) or (isinstance(p, Opaque) and mark_of(p) is not None) for p in (last, first)
    )
    return texts and item_fields(last) == item_fields(first)


def _close(group: list[Part], messages: list[Message]) -> None:
    if not group:
        return
    only = group[0] if len(group) == 1 else None
    if isinstance(only, Text) and not only.extra and only.text:
        messages.append(Message("assistant", only.text))
    else:
        messages.append(Message("assistant", tuple(group)))
    group.clear()


def _message(item: dict[str, Any], at: str) -> Message:
    word = text(item.get("role", ...), f"{at}.role")
    role = _ROLES.get(word)
    if role is None:
        raise Misfit(f"{at}.role", "user, assistant, system or developer", word)
    fields = {key: value for key, value in item.items() if key not in {"role", "content"}}
    content = decode_content(item.get("content", ...), f"{at}.content")
    return Message(role, content, marked({}, item=fields or None))


def _result(item: dict[str, Any], at: str) -> ToolResult:
    fields = {key: value for key, value in item.items() if key not in {"type", "call_id", "output"}}
    return ToolResult(
        call_id=text(item.get("call_id", ...), f"{at}.call_id"),
        content=decode_content(item.get("output", ...), f"{at}.output"),
        extra=marked({}, item=fields or None),
    )


def _tool(tool: object, at: str) -> Tool | ProviderTool:
    data = object_(tool, at)
    if text(data.get("type", ...), f"{at}.type") != "function":
        return ProviderTool(FORMAT, data)
    rest = {key: value for key, value in data.items() if key != "type"}
    fields: dict[str, Any] = {"name": text(rest.pop("name", ...), f"{at}.name")}
    for name, check in (("description", text), ("parameters", object_), ("strict", flag)):
        if rest.get(name) is not None:
            fields[name] = check(rest.pop(name), f"{at}.{name}")
    return Tool(**fields, extra=rest)


def _tool_choice(rest: dict[str, Any], fields: dict[str, Any]) -> None:
    """Our choices of tools; one of another kind (`allowed_tools`, a provider's tool) stays in `extra`."""
    choice: object = rest["tool_choice"]
    found: ToolChoice
    if choice in {"auto", "none", "required"} if isinstance(choice, str) else False:
        found = cast("ToolChoice", choice)
    else:
        data = object_(choice, "tool_choice")
        if text(data.get("type", ...), "tool_choice.type") != "function" or len(data) > 2:
            return
        found = NamedTool(text(data.get("name", ...), "tool_choice.name"))
    fields["tool_choice"] = found
    del rest["tool_choice"]


def _text(rest: dict[str, Any], fields: dict[str, Any]) -> None:
    settings = object_(rest["text"], "text").copy()
    if settings.get("format") is None:
        return
    wanted = object_(settings["format"], "text.format")
    kind = text(wanted.get("type", ...), "text.format.type")
    if kind == "json_schema":
        others = {key: value for key, value in wanted.items() if key != "type"}
        schema: dict[str, Any] = {
            "schema": object_(others.pop("schema", ...), "text.format.schema"),
            "name": text(others.pop("name", ...), "text.format.name"),
        }
        for name, check in (("description", text), ("strict", flag)):
            if others.get(name) is not None:
                schema[name] = check(others.pop(name), f"text.format.{name}")
        fields["output"] = JSONSchema(**schema, extra=others)
    elif kind == "json_object" and len(wanted) == 1:
        fields["output"] = "json"
    else:
        return
    del settings["format"]
    if settings:
        rest["text"] = settings
    else:
        del rest["text"]


def _reasoning(rest: dict[str, Any], fields: dict[str, Any]) -> None:
    settings = object_(rest["reasoning"], "reasoning")
    effort: object = settings.get("effort")
    if not isinstance(effort, str | None):
        raise Misfit("reasoning.effort", "a string", effort)
    if effort is None or effort not in _EFFORTS:
        return
    fields["effort"] = effort
    others = {key: value for key, value in settings.items() if key != "effort"}
    if others:
        rest["reasoning"] = others
    else:
        del rest["reasoning"]
