"""DSPy's canonical request as ours. It knows the types of `dspy.lm15`, and calls nothing.

What our request has no place for is refused by name (`UnsupportedFeatureError.feature`), never dropped.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, cast

import msgspec
from dspy import lm15

from tidyllm.models.message import Audio, File, Image, Message, Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.request import Effort, JSONSchema, NamedTool, Request, Tool, ToolChoice

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OURS", "question"]

OURS = "tidyllm"
"""Whose state it is that DSPy carries along with a part, so that it comes back unchanged."""


def question(asked: lm15.Request) -> Request:
    """The same question, `model` left open: the step fills in its own.

    :raises dspy.lm15.UnsupportedFeatureError: it holds what no model of ours can be asked.
    """
    config = asked.config
    choice = config.tool_choice
    effort, thinking = _reasoning(config)
    return Request(
        messages=tuple(map(_message, asked.messages)),
        system=_system(asked.system),
        tools=_tools(asked),
        tool_choice=None if choice is None else _choice(choice),
        parallel_tool_calls=None if choice is None else choice.parallel,
        output=_output(config.response_format),
        max_output_tokens=config.max_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        frequency_penalty=config.frequency_penalty,
        presence_penalty=config.presence_penalty,
        stop=config.stop,
        seed=config.seed,
        effort=effort,
        thinking_tokens=thinking,
        user=config.user_id,
        extra=_extra(config),
    )


def _refused(feature: str, why: str) -> lm15.UnsupportedFeatureError:
    return lm15.UnsupportedFeatureError(f"{feature} cannot be asked through tidyllm: {why}", feature=feature)


# -- messages


def _system(system: Any) -> str | tuple[Text, ...] | None:
    if system is None or isinstance(system, str):
        return system
    texts: list[Text] = []
    for place, part in enumerate(cast("Sequence[Any]", system)):
        if part.type != "text":
            raise _refused(f"system[{place}]", "instructions are text")
        texts.append(Text(text=part.text))
    return tuple(texts)


def _message(message: lm15.Message) -> Message:
    parts = message.parts
    if len(parts) == 1 and parts[0].type == "text" and message.role != "tool":
        return Message(message.role, parts[0].text)
    return Message(message.role, tuple(_part(part) for part in parts))


def _part(part: Any) -> Part:
    read = _PARTS.get(part.type)
    if read is None:
        raise _refused(f"a part of type {part.type!r}", "no model of ours takes one")
    return read(part)


def _text(part: lm15.TextPart | lm15.RefusalPart) -> Part:
    return Text(text=part.text)


def _thinking(part: lm15.ThinkingPart) -> Part:
    state = next((one.data for one in part.continuation if one.provider == OURS), None)
    if state is None:
        return Thinking(text=part.text)
    kept = cast("dict[str, str | None]", state)
    return Thinking(
        text=part.text,
        signature=kept.get("signature"),
        encrypted=kept.get("encrypted"),
        id=kept.get("id"),
    )


def _tool_call(part: lm15.ToolCallPart) -> Part:
    return ToolCall(
        id=part.id,
        name=part.name,
        arguments=dict(part.input),
        raw_arguments=msgspec.json.encode(part.input).decode(),
    )


def _tool_result(part: lm15.ToolResultPart) -> Part:
    content = tuple(_part(one) for one in part.content)
    if len(content) == 1 and isinstance(content[0], Text):
        return ToolResult(call_id=part.id, content=content[0].text, is_error=part.is_error)
    return ToolResult(call_id=part.id, content=content, is_error=part.is_error)


def _bytes(part: Any) -> bytes | None:
    if part.data is not None:
        return base64.b64decode(part.data.rpartition(",")[2] if part.data.startswith("data:") else part.data)
    return None if part.path is None else part.path.read_bytes()


def _image(part: lm15.ImagePart) -> Part:
    data = _bytes(part)
    kind = None if data is None else part.media_type
    return Image(url=part.url, data=data, media_type=kind, file_id=part.file_id, detail=part.detail)


def _audio(part: lm15.AudioPart) -> Part:
    data = _bytes(part)
    if data is None:
        raise _refused("a part of type 'audio'", "sound must come as bytes, not as an address")
    kind = part.media_type.rpartition("/")[2].removeprefix("x-")
    return Audio(data=data, format="mp3" if kind == "mpeg" else kind)


def _document(part: lm15.DocumentPart) -> Part:
    data = _bytes(part)
    return File(url=part.url, data=data, media_type=part.media_type, file_id=part.file_id)


def _data(part: lm15.DataPart) -> Part:
    return Text(text=msgspec.json.encode(part.value).decode())


_PARTS: dict[str, Any] = {
    "text": _text,
    "image": _image,
    "audio": _audio,
    "document": _document,
    "tool_call": _tool_call,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "refusal": _text,
    "data": _data,
}


# -- tools, structured output, the rest


def _tools(asked: lm15.Request) -> tuple[Tool, ...]:
    if not asked.tools:
        return ()
    choice = asked.config.tool_choice
    offered = frozenset(choice.allowed) if choice is not None and choice.allowed else None
    tools: list[Tool] = []
    for tool in asked.tools:
        if tool.type != "function":
            raise _refused(
                f"tools[{tool.name}]", "tools that a provider runs itself differ between providers"
            )
        # A model that may use some tools only is offered only those: every provider can be told so.
        if offered is None or tool.name in offered:
            tools.append(Tool(name=tool.name, description=tool.description, parameters=dict(tool.parameters)))
    return tuple(tools)


def _choice(choice: lm15.ToolChoice) -> ToolChoice:
    if choice.mode == "required" and len(choice.allowed) == 1:
        return NamedTool(choice.allowed[0])
    return choice.mode


def _output(format: dict[str, Any] | None) -> JSONSchema | str | None:
    if format is None:
        return None
    if format["type"] == "json_object":
        return "json"
    return JSONSchema(schema=format["schema"], name=format.get("name", "answer"), strict=format.get("strict"))


def _reasoning(config: lm15.Config) -> tuple[Effort | None, int | None]:
    wanted = config.reasoning
    if wanted is None:
        return None, None
    if wanted.summary is not None:
        raise _refused("config.reasoning.summary", "only OpenAI's Responses format has one")
    effort: Effort = "none" if wanted.effort == "off" else wanted.effort
    return effort, wanted.thinking_budget


def _extra(config: lm15.Config) -> dict[str, Any]:
    if config.cache is not None and config.cache.mode != "off":
        raise _refused("config.cache", "marks for a provider's own cache stand in the route (prompt_cache)")
    if config.probabilities == "required":
        raise _refused("config.probabilities", "no provider of ours measures them")
    extra: dict[str, Any] = dict(config.extensions) if config.extensions else {}
    if config.service_tier is not None:
        extra["service_tier"] = config.service_tier
    if config.store is not None:
        extra["store"] = config.store
    if config.logprobs is not None:
        extra["logprobs"] = True
        if config.logprobs:
            extra["top_logprobs"] = config.logprobs
    return extra
