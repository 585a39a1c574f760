"""Anthropic's content blocks to our parts. It knows neither messages nor requests.

A block of a type we have no part for becomes `Opaque`, whole. Unknown fields of a known one go to `extra`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from tidyllm.models.anthropic.checks import child, need_bool, need_list, need_object, need_str, rest
from tidyllm.models.anthropic.media import decode_document, decode_image
from tidyllm.models.checks import Misfit, json_text, object_
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall, ToolResult

__all__ = ["decode_blocks", "decode_content"]

Decoders: TypeAlias = dict[str, Callable[[dict[str, Any], str], Part | None]]


def decode_content(holder: dict[str, Any], where: str) -> str | tuple[Part, ...]:
    """The field `content` of a message: text, or blocks.

    :raises Misfit: it is missing or holds what no block can be.
    """
    content: object = holder.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list) and "content" in holder:
        raise Misfit(child(where, "content"), "a string or an array of blocks", content)
    return decode_blocks(need_list(holder, "content", where), child(where, "content"))


def decode_blocks(blocks: list[Any], where: str, known: Decoders | None = None) -> tuple[Part, ...]:
    """:raises Misfit: a block is none."""
    known = _BLOCKS if known is None else known
    return tuple([_block(block, f"{where}[{index}]", known) for index, block in enumerate(blocks)])


def _block(value: object, where: str, known: Decoders) -> Part:
    block = object_(value, where)
    decode = known.get(need_str(block, "type", where))
    part = decode(block, where) if decode is not None else None
    return part if part is not None else Opaque(format="anthropic", data=block)


def _text(block: dict[str, Any], where: str) -> Text:
    return Text(text=need_str(block, "text", where), extra=rest(block, "type", "text"))


def _thinking(block: dict[str, Any], where: str) -> Thinking:
    text = need_str(block, "thinking", where)
    # Servers that only look like Anthropic's leave the signature out; "" sets such blocks apart.
    signature = need_str(block, "signature", where) if "signature" in block else ""
    return Thinking(text=text, signature=signature, extra=rest(block, "type", "thinking", "signature"))


def _redacted(block: dict[str, Any], where: str) -> Thinking:
    return Thinking(encrypted=need_str(block, "data", where), extra=rest(block, "type", "data"))


def _tool_use(block: dict[str, Any], where: str) -> ToolCall:
    arguments = need_object(block, "input", where)
    return ToolCall(
        id=need_str(block, "id", where),
        name=need_str(block, "name", where),
        arguments=arguments,
        raw_arguments=json_text(arguments, child(where, "input")),
        extra=rest(block, "type", "id", "name", "input"),
    )


def _tool_result(block: dict[str, Any], where: str) -> ToolResult:
    content: object = block.get("content")
    if isinstance(content, list):
        content = decode_blocks(cast("list[Any]", content), child(where, "content"), _IN_RESULTS)
    elif "content" not in block:
        content = ()
    elif not isinstance(content, str):
        raise Misfit(child(where, "content"), "a string or an array of blocks", content)
    return ToolResult(
        call_id=need_str(block, "tool_use_id", where),
        content=content,
        is_error="is_error" in block and need_bool(block, "is_error", where),
        extra={k: v for k, v in block.items() if k not in _RESULT_FIELDS},
    )


_RESULT_FIELDS = frozenset({"type", "tool_use_id", "content", "is_error"})

_IN_RESULTS: Decoders = {"document": decode_document, "image": decode_image, "text": _text}
"""Results hold no results: nesting without end would exhaust the stack."""

_BLOCKS: Decoders = {
    "document": decode_document,
    "image": decode_image,
    "redacted_thinking": _redacted,
    "text": _text,
    "thinking": _thinking,
    "tool_result": _tool_result,
    "tool_use": _tool_use,
}
