"""Bedrock's side of the wire, as botocore has it: shapes, parsers, frames. It knows nothing of what is tested."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import unquote
from zlib import crc32

import botocore.config
import botocore.serialize
import botocore.session
import botocore.validate
import msgspec

from tidyllm.models import Image, Message, Opaque, Part, ProviderTool, Request, Text, Thinking, Tool, ToolCall
from tidyllm.models.message import File, ToolResult
from tidyllm.models.request import JSONSchema, NamedTool, ToolChoice

__all__ = [
    "KEY",
    "SECRET",
    "as_blocks",
    "asked_of",
    "botocore_body",
    "client",
    "environment",
    "frame",
    "model_of",
    "plain",
    "stream",
]

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@contextmanager
def environment(**values: str) -> Generator[None]:
    """The environment with these AWS variables and no others; no files of AWS but those named, no metadata service."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in before:
        del os.environ[name]
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update({"AWS_EC2_METADATA_DISABLED": "true", **nowhere, **values})
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(before)


@cache
def _session() -> Any:
    session: Any = botocore.session
    return session.Session()


@cache
def _model() -> Any:
    return _session().get_service_model("bedrock-runtime")


def client(url: str) -> Any:
    """botocore's client for Bedrock, at `url`."""
    config: Any = botocore.config
    return _session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
        config=config.Config(retries={"total_max_attempts": 1}),
    )


def botocore_body(
    body: dict[str, Any], model: str, operation: str = "Converse"
) -> tuple[dict[str, Any], str]:
    """Our body as botocore's serializer writes it, and the path; it must be valid to botocore's own check."""
    serialize: Any = botocore.serialize
    validate: Any = botocore.validate
    op = _model().operation_model(operation)
    params = {**_params(body, op.input_shape), "modelId": model}
    report = validate.ParamValidator().validate(params, op.input_shape)
    assert not report.has_errors(), report.generate_report()
    made = serialize.create_serializer("rest-json").serialize_to_request(params, op)
    return msgspec.json.decode(made["body"]), made["url_path"]


def _params(value: Any, shape: Any) -> Any:
    """JSON as parameters of botocore: bytes where the shape has them. A field that the shape has not is a fault."""
    match shape.type_name:
        case "structure" if not getattr(shape, "is_document_type", False):
            unknown = set(value) - set(shape.members)
            assert not unknown, f"{shape.name} has no {unknown}"
            return {name: _params(one, shape.members[name]) for name, one in value.items()}
        case "list":
            return [_params(one, shape.member) for one in value]
        case "blob":
            return base64.b64decode(value)
        case _:
            return value


def plain(value: Any) -> Any:
    """What botocore parsed, as JSON has it: bytes as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return [plain(one) for one in value] if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType]


def as_blocks(parts: tuple[Part, ...]) -> list[dict[str, Any]]:
    """The parts of an answer as Converse's blocks."""
    blocks: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text():
                blocks.append({"text": part.text})
            case ToolCall():
                call = {"toolUseId": part.id, "name": part.name, "input": part.arguments}
                blocks.append({"toolUse": call})
            case Thinking() if part.encrypted is not None:
                blocks.append({"reasoningContent": {"redactedContent": part.encrypted}})
            case Thinking():
                told = {"text": part.text, **({"signature": part.signature} if part.signature else {})}
                blocks.append({"reasoningContent": {"reasoningText": told}})
            case Opaque():
                blocks.append(part.data)
            case _:
                raise AssertionError(part)
    return blocks


def model_of(exchange: Mapping[str, Any]) -> str:
    """The id of the model that was called."""
    return unquote(str(exchange["path"]).partition("/model/")[2].rpartition("/")[0])


# -- a recorded body as a request of ours


def asked_of(body: dict[str, Any]) -> Request:
    """The request that says what this body says."""
    rest = {key: value for key, value in body.items() if key not in _READ}
    config = dict(body.get("inferenceConfig", {}))
    tools = body.get("toolConfig", {})
    text = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {}).get("jsonSchema")
    return Request(
        tuple(Message(one["role"], _parts(one["content"])) for one in body["messages"]),
        system=_system(body.get("system", [])),
        tools=tuple(_tool(one) for one in tools.get("tools", [])),
        tool_choice=_choice(tools.get("toolChoice")),
        output=None
        if text is None
        else JSONSchema(msgspec.json.decode(text["schema"]), text["name"], text.get("description")),
        max_output_tokens=config.get("maxTokens"),
        temperature=config.get("temperature"),
        top_p=config.get("topP"),
        stop=tuple(config.get("stopSequences", ())),
        extra=rest,
    )


_READ = frozenset({"inferenceConfig", "messages", "outputConfig", "system", "toolConfig"})


def _system(blocks: list[dict[str, Any]]) -> tuple[Text, ...] | None:
    texts: list[Text] = []
    for block in blocks:
        if "cachePoint" in block:
            control = {"type": "ephemeral", **{k: v for k, v in block["cachePoint"].items() if k == "ttl"}}
            texts[-1] = Text(text=texts[-1].text, extra={"cache_control": control})
        else:
            texts.append(Text(text=block["text"]))
    return tuple(texts) or None


def _choice(choice: dict[str, Any] | None) -> ToolChoice | None:
    if not choice:
        return None
    if "tool" in choice:
        return NamedTool(choice["tool"]["name"])
    return "required" if "any" in choice else "auto"


def _tool(tool: dict[str, Any]) -> Tool | ProviderTool:
    if "toolSpec" not in tool:
        return ProviderTool("bedrock", tool)
    spec = tool["toolSpec"]
    return Tool(spec["name"], spec.get("description"), spec["inputSchema"]["json"], spec.get("strict"))


def _parts(blocks: list[dict[str, Any]]) -> tuple[Part, ...]:
    return tuple(_part(block) for block in blocks)


def _part(block: dict[str, Any]) -> Part:
    match block:
        case {"text": str(text)}:
            return Text(text=text)
        case {"toolUse": {"type": "server_tool_use"}}:
            return Opaque(format="bedrock", data=block)
        case {"toolUse": call}:
            return ToolCall(id=call["toolUseId"], name=call["name"], arguments=call["input"])
        case {"toolResult": {"type": _}}:
            return Opaque(format="bedrock", data=block)
        case {"toolResult": result}:
            return ToolResult(
                call_id=result["toolUseId"],
                content=_parts(result["content"]),
                is_error=result.get("status") == "error",
            )
        case {"reasoningContent": {"redactedContent": redacted}}:
            return Thinking(encrypted=redacted)
        case {"reasoningContent": {"reasoningText": told}}:
            return Thinking(text=told["text"], signature=told.get("signature"))
        case {"image": image}:
            return Image(media_type=f"image/{image['format']}", **_source(image["source"]))
        case {"document": {"format": format, "name": name, "source": source}}:
            return File(media_type=_TYPES[format], name=name, **_source(source))
        case _:
            return Opaque(format="bedrock", data=block)


_TYPES = {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def _source(source: dict[str, Any]) -> dict[str, Any]:
    if "bytes" in source:
        return {"data": base64.b64decode(source["bytes"])}
    return {"url": source["s3Location"]["uri"]}


# -- frames


def frame(payload: bytes, **headers: str) -> bytes:
    """One frame of an event stream; `_` in a header's name stands for `-`, and it begins with a colon."""
    packed = b""
    for name, value in headers.items():
        key, text = f":{name.replace('_', '-')}".encode(), value.encode()
        packed += bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(text)) + text
    head = struct.pack(">II", 16 + len(packed) + len(payload), len(packed))
    head += struct.pack(">I", crc32(head))
    whole = head + packed + payload
    return whole + struct.pack(">I", crc32(whole))


def stream(*events: tuple[str, dict[str, Any]]) -> bytes:
    """A stream of these events; a name that ends with `Exception` is one."""
    made = b""
    for name, data in events:
        kind = {"message_type": "exception", "exception_type": name}
        if not name.endswith("Exception"):
            kind = {"message_type": "event", "event_type": name}
        made += frame(msgspec.json.encode(data), content_type="application/json", **kind)
    return made
