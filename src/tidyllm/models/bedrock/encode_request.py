"""A `Request` to the body of Converse and ConverseStream, which is the same. It knows nothing of HTTP or answers.

The model's id stands in the path of the call, not in its body.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.bedrock.encode_blocks import Blocks, cache_point
from tidyllm.models.bedrock.encode_messages import encode_messages
from tidyllm.models.bedrock.families import caches, model_fields
from tidyllm.models.bedrock.fields import FORMAT, known_fields
from tidyllm.models.bedrock.names import ModelName, read_name
from tidyllm.models.extra import add_extra
from tidyllm.models.format import Encoded
from tidyllm.models.losses import Losses
from tidyllm.models.message import ToolCall, ToolResult
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import NamedTool, ProviderTool, Request, Tool

__all__ = ["encode_request"]

_MERGED: Final = ("additionalModelRequestFields", "inferenceConfig", "outputConfig", "requestMetadata")
"""Objects which `Request.extra` may add fields to."""
_NO_TOOLS: Final = "Converse cannot forbid tools while the conversation holds calls of them"


def encode_request(request: Request, *, stream: bool, lenient: bool = False) -> Encoded:
    """The body of a call, the same with `stream` and without.

    :raises Unsupported: a field has no place in this format, unless `lenient`.
    :raises BadRequest: a field holds what cannot be sent, or stands in `extra` as well.
    """
    losses = Losses(FORMAT, lenient=lenient)
    name = read_name(request.model)
    blocks = Blocks(name, losses)
    system, messages = encode_messages(request, blocks)
    body: dict[str, Any] = {"messages": messages}
    if system:
        body["system"] = system
    if config := _inference(request, losses):
        body["inferenceConfig"] = config
    if tools := _tool_config(request, name, losses):
        body["toolConfig"] = tools
    if fields := model_fields(request, name, losses):
        body["additionalModelRequestFields"] = fields
    _output(request, body, losses)
    if request.metadata:
        body["requestMetadata"] = dict(request.metadata)
    if request.user is not None:
        losses.add("user", "Bedrock has no place for the id of an end user; metadata takes one")
    add_extra(body, request.extra, _MERGED)
    return Encoded(body, tuple(losses.names))


def _inference(request: Request, losses: Losses) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        config["maxTokens"] = request.max_output_tokens
    if request.temperature is not None:
        config["temperature"] = request.temperature
    if request.top_p is not None:
        config["topP"] = request.top_p
    if request.stop:
        config["stopSequences"] = list(request.stop)
    for field in ("frequency_penalty", "presence_penalty", "seed"):
        if getattr(request, field) is not None:
            losses.add(field)
    return config


def _tool_config(request: Request, name: ModelName, losses: Losses) -> dict[str, Any]:
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", "Bedrock lets the model decide")
    choice = request.tool_choice
    if choice == "none":
        if not _calls_before(request):
            return {}  # a model that is not shown the tools cannot call them
        losses.add("tool_choice", _NO_TOOLS)
    tools: list[dict[str, Any]] = []
    for index, tool in enumerate(request.tools):
        tools += _tool(tool, f"tools[{index}]", name, losses)
    if not tools:
        return {}
    config: dict[str, Any] = {"tools": tools}
    if isinstance(choice, NamedTool):
        config["toolChoice"] = {"tool": {"name": choice.name}}
    elif choice in {"auto", "required"}:
        config["toolChoice"] = {"any" if choice == "required" else "auto": {}}
    return config


def _calls_before(request: Request) -> bool:
    return any(isinstance(part, (ToolCall, ToolResult)) for turn in request.turns for part in turn.parts)


def _tool(tool: Tool | ProviderTool, where: str, name: ModelName, losses: Losses) -> list[dict[str, Any]]:
    if isinstance(tool, ProviderTool):
        if tool.format == FORMAT:
            return [tool.data]
        losses.add(where, f"{tool.data.get('type', 'this tool')!r} is a tool of the {tool.format} format")
        return []
    known_fields(tool.extra, where, losses, "cache_control")
    schema: dict[str, Any] = {"properties": {}} if tool.parameters is None else tool.parameters
    if "type" not in schema:
        schema = {"type": "object", **schema}
    data: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": schema}}
    if tool.description:  # an empty one is refused
        data["description"] = tool.description
    if tool.strict is not None:
        data["strict"] = tool.strict
    return [{"toolSpec": data}, *cache_point(tool.extra, where, losses, fits=caches(name, tools=True))]


def _output(request: Request, body: dict[str, Any], losses: Losses) -> None:
    if wants_json(request.output):
        losses.add("output", "Bedrock has structured output by a schema only, not for any JSON object")
        return
    wanted = json_schema(request.output)
    if wanted is None:
        return
    known_fields(wanted.extra, "output", losses)
    try:
        schema = msgspec.json.encode(wanted.schema).decode()
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise BadRequest(f"output cannot be written as JSON: {error}.", field="output") from error
    inner: dict[str, Any] = {"schema": schema, "name": wanted.name}
    if wanted.description is not None:
        inner["description"] = wanted.description
    body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": inner}}}
