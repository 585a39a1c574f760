"""The body of `POST /v1/messages` to a `Request`. It knows nothing of HTTP or answers.

Every field is kept: those which we have no field for go to `Request.extra`. Null means what absence means.
"""

from __future__ import annotations

from typing import Any, get_args

from tidyllm.models.anthropic.checks import (
    child,
    need_bool,
    need_int,
    need_list,
    need_number,
    need_object,
    need_str,
    rest,
)
from tidyllm.models.anthropic.decode_blocks import decode_blocks, decode_content
from tidyllm.models.checks import Misfit, object_, text
from tidyllm.models.message import Message, Role, Text
from tidyllm.models.request import Effort, JSONSchema, NamedTool, ProviderTool, Request, Tool, ToolChoice

__all__ = ["decode_request", "decode_turns"]

_FIELDS = frozenset({
    "max_tokens", "messages", "metadata", "model", "output_config", "stop_sequences", "stream", "system",
    "temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
})  # fmt: skip

_ROLES: dict[str, Role] = {"assistant": "assistant", "system": "system", "user": "user"}

_CHOICES: dict[str, ToolChoice] = {"any": "required", "auto": "auto", "none": "none"}

_EFFORTS: dict[str, Effort] = {
    effort: effort for effort in get_args(Effort) if effort not in {"none", "minimal"}
}


def decode_request(body: dict[str, Any]) -> tuple[Request, bool]:
    """The request, and whether it asks for a stream.

    :raises BadRequest: a field is missing or of a wrong type; `error.field` names it.
    """
    try:
        max_tokens = need_int(body, "max_tokens", "")
        if max_tokens < 1:
            raise Misfit("max_tokens", "at least 1", max_tokens, said=str(max_tokens))
        stream = body.get("stream") is not None and need_bool(body, "stream", "")
        return _turns(body, max_tokens), stream
    except Misfit as misfit:
        raise misfit.request() from None


def decode_turns(body: dict[str, Any], max_tokens: int | None) -> Request:
    """The request but for `max_tokens` and `stream`, which a count of tokens has not.

    :raises BadRequest: a field is missing or of a wrong type.
    """
    try:
        return _turns(body, max_tokens)
    except Misfit as misfit:
        raise misfit.request() from None


def _turns(body: dict[str, Any], max_tokens: int | None) -> Request:
    given = {key: value for key, value in body.items() if value is not None}
    extra = {key: value for key, value in body.items() if key not in _FIELDS}
    choice, parallel = _tool_choice(given, extra)
    output, effort = _output_config(given, extra)
    return Request(
        model=need_str(body, "model", ""),
        messages=_messages(need_list(body, "messages", "")),
        system=_system(given),
        tools=_tools(need_list(given, "tools", "")) if "tools" in given else (),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        output=output,
        max_output_tokens=max_tokens,
        temperature=need_number(given, "temperature", "") if "temperature" in given else None,
        top_p=need_number(given, "top_p", "") if "top_p" in given else None,
        top_k=need_int(given, "top_k", "") if "top_k" in given else None,
        stop=_stop(need_list(given, "stop_sequences", "")) if "stop_sequences" in given else (),
        effort=effort,
        thinking_tokens=_thinking(given, extra),
        user=_user(given, extra),
        extra=extra,
    )


def _messages(items: list[Any]) -> tuple[Message, ...]:
    if not items:
        raise Misfit("messages", "an array of at least one message", items, said="an empty one")
    return tuple([_message(item, f"messages[{index}]") for index, item in enumerate(items)])


def _message(value: object, where: str) -> Message:
    item = object_(value, where)
    word = need_str(item, "role", where)
    role = _ROLES.get(word)
    if role is None:
        raise Misfit(child(where, "role"), "user, assistant or system", word, said=f"{word!r:.40}")
    return Message(role, decode_content(item, where), rest(item, "role", "content"))


def _system(given: dict[str, Any]) -> str | tuple[Text, ...] | None:
    system: object = given.get("system")
    if system is None or isinstance(system, str):
        return system
    if not isinstance(system, list):
        raise Misfit("system", "a string or an array of text blocks", system)
    texts: list[Text] = []
    for index, part in enumerate(decode_blocks(need_list(given, "system", ""), "system")):
        if not isinstance(part, Text):
            raise Misfit(
                f"system[{index}].type", "'text'", part, said="another: instructions hold no other blocks"
            )
        texts.append(part)
    return tuple(texts)


def _tools(items: list[Any]) -> tuple[Tool | ProviderTool, ...]:
    return tuple([_tool(object_(item, f"tools[{i}]"), f"tools[{i}]") for i, item in enumerate(items)])


def _tool(item: dict[str, Any], where: str) -> Tool | ProviderTool:
    kind: object = item.get("type")
    if not isinstance(kind, str | None):
        raise Misfit(child(where, "type"), "a string", kind)
    if kind not in {None, "custom"}:
        return ProviderTool("anthropic", item)
    known = [key for key in ("description", "strict") if item.get(key) is not None]
    return Tool(
        name=need_str(item, "name", where),
        description=need_str(item, "description", where) if "description" in known else None,
        parameters=need_object(item, "input_schema", where),
        strict=need_bool(item, "strict", where) if "strict" in known else None,
        extra=rest(item, "name", "input_schema", *known),
    )


def _tool_choice(given: dict[str, Any], extra: dict[str, Any]) -> tuple[ToolChoice | None, bool | None]:
    """What `tool_choice` says of tools and of parallel calls; one that says more goes to `extra` whole."""
    if "tool_choice" not in given:
        return None, None
    data = need_object(given, "tool_choice", "")
    kind = need_str(data, "type", "tool_choice")
    choice: ToolChoice | None = _CHOICES.get(kind)
    known = {"type", "disable_parallel_tool_use"}
    if kind == "tool":
        choice = NamedTool(need_str(data, "name", "tool_choice"))
        known.add("name")
    if choice is None or data.keys() - known or data.get("disable_parallel_tool_use", ...) is None:
        extra["tool_choice"] = data
        return None, None
    if "disable_parallel_tool_use" not in data:
        return choice, None
    return choice, not need_bool(data, "disable_parallel_tool_use", "tool_choice")


def _output_config(given: dict[str, Any], extra: dict[str, Any]) -> tuple[JSONSchema | None, Effort | None]:
    """The schema of the answer and the effort; what else `output_config` says goes to `extra`."""
    if "output_config" not in given:
        return None, None
    data = {key: value for key, value in need_object(given, "output_config", "").items() if value is not None}
    output, effort = None, None
    if "effort" in data:
        effort = _EFFORTS.get(need_str(data, "effort", "output_config"))
        if effort is not None:
            del data["effort"]
    if "format" in data:
        where = "output_config.format"
        format_ = need_object(data, "format", "output_config")
        if need_str(format_, "type", where) == "json_schema":
            schema = need_object(format_, "schema", where)
            output = JSONSchema(schema=schema, extra=rest(format_, "type", "schema"))
            del data["format"]
    if data:
        extra["output_config"] = data
    return output, effort


def _thinking(given: dict[str, Any], extra: dict[str, Any]) -> int | None:
    """The budget in tokens, 0 where thinking is off; any other setting goes to `extra` whole."""
    if "thinking" not in given:
        return None
    data = need_object(given, "thinking", "")
    kind = need_str(data, "type", "thinking")
    if kind == "disabled" and len(data) == 1:
        return 0
    if kind == "enabled":
        budget = need_int(data, "budget_tokens", "thinking")
        if budget > 0 and len(data) == 2:
            return budget
    extra["thinking"] = data
    return None


def _user(given: dict[str, Any], extra: dict[str, Any]) -> str | None:
    """`metadata.user_id`; other metadata goes to `extra`."""
    if "metadata" not in given:
        return None
    data = {key: value for key, value in need_object(given, "metadata", "").items() if value is not None}
    user = need_str(data, "user_id", "metadata") if "user_id" in data else None
    data.pop("user_id", None)
    if data:
        extra["metadata"] = data
    return user


def _stop(items: list[Any]) -> tuple[str, ...]:
    return tuple([text(item, f"stop_sequences[{i}]") for i, item in enumerate(items)])
