"""The body of `POST /v1/chat/completions` to a `Request`. It knows nothing of HTTP or answers.

Every field is kept. Those that we have no field for, and those whose value says no more than their absence (null, an
empty list), stay in `Request.extra` as they came. The mark in it says how a field was written, where there are ways.
"""

from __future__ import annotations

from typing import Any, cast, get_args

from tidyllm.models.checks import Misfit, array, flag, is_object, number, object_, text, whole
from tidyllm.models.openai_chat.decode_messages import decode_messages
from tidyllm.models.openai_chat.limits import output_limit_name
from tidyllm.models.openai_chat.marks import FORMAT, marked, no_marks, rest_of
from tidyllm.models.request import Effort, JSONSchema, NamedTool, ProviderTool, Request, Tool

__all__ = ["decode_request"]

_EFFORTS = frozenset(get_args(Effort))
_CHOICES = {"any": "required", "auto": "auto", "none": "none", "required": "required"}
"""`any` is how Mistral says `required`."""

_SAME_NAME = (
    ("temperature", number),
    ("top_p", number),
    ("top_k", whole),  # not OpenAI's, but that of most servers which speak this format
    ("frequency_penalty", number),
    ("presence_penalty", number),
    ("seed", whole),
    ("parallel_tool_calls", flag),
    ("user", text),
)

_PENALTIES = ("frequency_penalty", "presence_penalty")
"""Of no effect when they are 0: then they stay in `extra`, and a format without them need not refuse them."""


def decode_request(body: dict[str, Any]) -> tuple[Request, bool]:
    """The request, and whether it asks for a stream.

    :raises BadRequest: a field is missing or of a wrong type; `error.field` names it.
    """
    try:
        return _request(body)
    except Misfit as misfit:
        raise misfit.request() from None


def _request(body: dict[str, Any]) -> tuple[Request, bool]:
    no_marks(body, "")
    rest = body.copy()
    mark: dict[str, Any] = {}
    model = text(rest.pop("model", ...), "model")
    stream = rest.pop("stream", None)
    if stream is not None:
        flag(stream, "stream")
    if is_object(options := rest.get("stream_options")) and options.get("include_usage") is not None:
        flag(options["include_usage"], "stream_options.include_usage")
    fields: dict[str, Any] = {
        "model": model,
        "messages": decode_messages(array(rest.pop("messages", ...), "messages")),
    }
    for name, check in _SAME_NAME:
        if rest.get(name) is None:
            continue
        value = check(rest[name], name)
        if value != 0 or name not in _PENALTIES:
            fields[name] = rest.pop(name)
    _output_limit(rest, fields, mark, model)
    if rest.get("stop"):
        _stop(rest, fields, mark)
    if rest.get("metadata"):
        metadata = object_(rest.pop("metadata"), "metadata")
        fields["metadata"] = {key: text(value, f"metadata.{key}") for key, value in metadata.items()}
    if rest.get("tools"):
        tools = array(rest.pop("tools"), "tools")
        fields["tools"] = tuple([_tool(tool, f"tools[{i}]") for i, tool in enumerate(tools)])
    if rest.get("tool_choice") is not None:
        _tool_choice(rest, fields, mark)
    if rest.get("response_format") is not None:
        _response_format(rest, fields)
    effort: object = rest.get("reasoning_effort")
    if effort is not None and text(effort, "reasoning_effort") in _EFFORTS:
        fields["effort"] = rest.pop("reasoning_effort")
    return Request(**fields, extra=marked(rest, **mark)), bool(stream)


def _output_limit(rest: dict[str, Any], fields: dict[str, Any], mark: dict[str, Any], model: str) -> None:
    """The cap on the answer, by either of its two names; where both are given, the older one stays in `extra`."""
    for name in ("max_completion_tokens", "max_tokens"):
        if rest.get(name) is None:
            continue
        limit = whole(rest[name], name)
        if limit < 1:
            raise Misfit(name, "at least 1", limit, said=str(limit))
        if "max_output_tokens" not in fields:
            fields["max_output_tokens"] = limit
            del rest[name]
            if name != output_limit_name(model):
                mark["limit"] = name


def _stop(rest: dict[str, Any], fields: dict[str, Any], mark: dict[str, Any]) -> None:
    given: object = rest.pop("stop")
    if isinstance(given, str):
        fields["stop"] = (given,)
        mark["stop"] = "string"
        return
    if not isinstance(given, list):
        raise Misfit("stop", "a string or an array of strings", given)
    fields["stop"] = tuple([text(one, f"stop[{i}]") for i, one in enumerate(cast("list[Any]", given))])


def _tool(tool: object, at: str) -> Tool | ProviderTool:
    data = object_(tool, at)
    kind: object = data.get("type", ...)
    if kind is ... and "function" in data:
        kind = "function"  # Mistral does without
    elif text(kind, f"{at}.type") != "function":
        return ProviderTool(FORMAT, data)
    where = f"{at}.function"
    inner = object_(data.get("function", ...), where)
    rest = inner.copy()
    fields: dict[str, Any] = {"name": text(rest.pop("name", ...), f"{where}.name")}
    for name, check in (("description", text), ("parameters", object_), ("strict", flag)):
        if rest.get(name) is not None:
            fields[name] = check(rest.pop(name), f"{where}.{name}")
    form = None if "type" in data else "absent"
    return Tool(**fields, extra=rest_of(data, at, ("type", "function"), type=form, function=rest))


def _tool_choice(rest: dict[str, Any], fields: dict[str, Any], mark: dict[str, Any]) -> None:
    """Our choices of tools; one of another kind (`allowed_tools`, a custom tool) stays in `extra`."""
    choice: object = rest["tool_choice"]
    if isinstance(choice, str):
        if choice not in _CHOICES:
            expected = "none, auto, required or an object"
            raise Misfit("tool_choice", expected, choice, said=f"{choice[:40]!r}")
        if choice == "any":
            mark["tool_choice"] = choice
        fields["tool_choice"] = _CHOICES[choice]
    else:
        data = object_(choice, "tool_choice")
        if data.keys() != {"type", "function"} or data["type"] != "function":
            return
        inner = object_(data["function"], "tool_choice.function")
        if inner.keys() != {"name"}:
            return
        fields["tool_choice"] = NamedTool(text(inner["name"], "tool_choice.function.name"))
    del rest["tool_choice"]


def _response_format(rest: dict[str, Any], fields: dict[str, Any]) -> None:
    """Structured output; a format of another kind (`text`, a grammar) stays in `extra`."""
    wanted = object_(rest["response_format"], "response_format")
    kind = text(wanted.get("type", ...), "response_format.type")
    if kind == "json_object" and len(wanted) == 1:
        fields["output"] = "json"
    elif kind == "json_schema" and len(wanted) == 2:
        where = "response_format.json_schema"
        others = object_(wanted.get("json_schema", ...), where).copy()
        if others.get("schema") is None:
            return  # allowed, and then it asks for nothing
        schema: dict[str, Any] = {"schema": object_(others.pop("schema"), f"{where}.schema")}
        schema["name"] = text(others.pop("name", ...), f"{where}.name")
        for name, check in (("description", text), ("strict", flag)):
            if others.get(name) is not None:
                schema[name] = check(others.pop(name), f"{where}.{name}")
        fields["output"] = JSONSchema(**schema, extra=others)
    else:
        return
    del rest["response_format"]
