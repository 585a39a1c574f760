"""Our turns to Converse's `system` and `messages`. It knows nothing of the other fields of a request.

Converse has the roles user and assistant, in turn. Messages that follow each other in one role are one there; the
results of tools belong to the user; instructions stand in `system`, wherever they stood.
"""

from __future__ import annotations

from typing import Any, Final

from tidyllm.errors import BadRequest
from tidyllm.models.bedrock.encode_blocks import Blocks, cache_point, text_block
from tidyllm.models.bedrock.families import caches
from tidyllm.models.bedrock.fields import known_fields
from tidyllm.models.message import Message, Opaque, Part, Text, ToolResult
from tidyllm.models.request import Request

__all__ = ["encode_messages"]

_ROLES: Final = {"assistant": "assistant", "tool": "user", "user": "user"}


def encode_messages(request: Request, blocks: Blocks) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The fields `system` (possibly empty) and `messages`.

    :raises BadRequest: nothing is left to answer, or a tool's message holds no result.
    :raises Unsupported: a part has no place in this format, unless lenient.
    """
    system: list[dict[str, Any]] = []
    if request.system is not None:
        parts = (Text(text=request.system),) if isinstance(request.system, str) else request.system
        system += _system(parts, "system", blocks)
    messages: list[dict[str, Any]] = []
    for index, message in enumerate(request.turns):
        where = f"messages[{index}]"
        known_fields(message.extra, where, blocks.losses)
        if message.role in {"developer", "system"}:
            if messages:
                blocks.losses.note(where)  # it moves to the front
            system += _system(message.parts, f"{where}.content", blocks)
            continue
        content = _content(message, f"{where}.content", blocks)
        role = _ROLES[message.role]
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    if not messages:
        raise BadRequest("messages must hold a turn of a user, which Bedrock needs.", field="messages")
    return system, messages


def _content(message: Message, where: str, blocks: Blocks) -> list[dict[str, Any]]:
    if message.role == "tool" and not (
        isinstance(message.content, tuple) and all(isinstance(part, ToolResult) for part in message.content)
    ):
        raise BadRequest(f"{where} of a tool's message must hold its ToolResult parts.", field=where)
    return blocks.content(message.content, where)


def _system(parts: tuple[Part, ...], where: str, blocks: Blocks) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        at = f"{where}[{index}]"
        if isinstance(part, Text):
            known_fields(part.extra, at, blocks.losses, "cache_control", "guardContent")
            block = text_block(part)
        elif isinstance(part, Opaque) and part.format == "bedrock":
            block = part.data
        else:
            blocks.losses.add(at, "Bedrock takes only text as instructions")
            continue
        if block is not None:
            found.append(block)
            found += cache_point(part.extra, at, blocks.losses, fits=caches(blocks.name))
    return found
