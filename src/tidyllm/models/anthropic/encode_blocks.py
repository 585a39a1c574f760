"""Our parts to Anthropic's content blocks. It knows neither messages nor requests."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from tidyllm.models.anthropic.fields import own_fields
from tidyllm.models.anthropic.media import document_source, image_source
from tidyllm.models.checks import is_object
from tidyllm.models.losses import Losses
from tidyllm.models.message import Audio, File, Image, Opaque, Part, Text, Thinking, ToolCall, ToolResult

__all__ = ["encode_block", "encode_content", "is_redacted", "tool_id"]

_BAD_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")


def encode_content(content: str | tuple[Part, ...], where: str, losses: Losses) -> str | list[dict[str, Any]]:
    """The field `content` of a message or a tool's result."""
    if isinstance(content, str):
        return content
    blocks: list[dict[str, Any]] = []
    for index, part in enumerate(content):
        block = encode_block(part, f"{where}[{index}]", losses)
        if block is not None:
            blocks.append(block)
    return blocks


def encode_block(part: Part, where: str, losses: Losses) -> dict[str, Any] | None:
    """The block for a part; None when it has no place and `losses` is lenient.

    :raises Unsupported: Anthropic has no block for it.
    """
    extra = own_fields(part.extra, where, losses)
    match part:
        case Text():
            return {"type": "text", "text": part.text, **extra}
        case ToolCall():
            return _tool_use(part, where, losses, extra)
        case ToolResult():
            return _tool_result(part, where, losses, extra)
        case Thinking():
            return _thinking(part, where, losses, extra)
        case Image():
            if part.detail not in {None, "auto"}:
                losses.add(f"{where}.detail")
            return {"type": "image", "source": image_source(part, where), **extra}
        case File():
            return _document(part, where, losses, extra)
        case Opaque():
            if part.format == "anthropic":
                return part.data
            losses.add(where, f"a {part.data.get('type', 'part')!r} part of the {part.format} format")
        case Audio():
            losses.add(where, "Anthropic takes no sound")
    return None


def tool_id(id: str) -> str:
    """The id of a tool call in the letters that Anthropic allows; its own ids stay as they are."""
    return _BAD_ID.sub("_", id)


def is_redacted(part: Thinking) -> bool:
    """Whether this is Anthropic's `redacted_thinking`: encrypted reasoning of others has an id, or a text."""
    return part.encrypted is not None and part.id is None and part.signature is None and not part.text


def _tool_use(part: ToolCall, where: str, losses: Losses, extra: dict[str, Any]) -> dict[str, Any] | None:
    arguments = part.arguments
    if not arguments and part.raw_arguments.strip() not in {"", "{}"}:
        decoded: object
        try:
            decoded = msgspec.json.decode(part.raw_arguments)
        except (msgspec.DecodeError, RecursionError):
            decoded = None
        if not is_object(decoded):
            losses.add(f"{where}.arguments", "Anthropic takes only a JSON object as the input of a tool")
            decoded = {}
        arguments = decoded
    return {"type": "tool_use", "id": tool_id(part.id), "name": part.name, "input": arguments, **extra}


def _tool_result(part: ToolResult, where: str, losses: Losses, extra: dict[str, Any]) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": tool_id(part.call_id)}
    block["is_error"] = part.is_error
    if part.content != ():
        block["content"] = encode_content(part.content, f"{where}.content", losses)
    return {**block, **extra}


def _thinking(part: Thinking, where: str, losses: Losses, extra: dict[str, Any]) -> dict[str, Any] | None:
    if is_redacted(part):
        return {"type": "redacted_thinking", "data": part.encrypted, **extra}
    if part.signature is not None and part.encrypted is None:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature, **extra}
    losses.add(where, "Anthropic takes back only reasoning which it signed itself")
    return None


def _document(part: File, where: str, losses: Losses, extra: dict[str, Any]) -> dict[str, Any] | None:
    source = document_source(part, where)
    if source is None:
        losses.add(where, f"Anthropic takes PDF and plain text, not {part.media_type or 'unnamed bytes'}")
        return None
    block = {"type": "document", "source": source, **extra}
    if part.name is not None:
        block["title"] = part.name
    return block
