"""Our turns to Anthropic's `system` and `messages`. It knows nothing of the other fields of a request.

Anthropic has the roles user, assistant and, after a user's turn, system. Instructions in front of all turns
belong into `system`, and the results of tools into the user's next turn.
"""

from __future__ import annotations

from typing import Any

from tidyllm.errors import BadRequest
from tidyllm.models.anthropic.encode_blocks import encode_block, encode_content
from tidyllm.models.anthropic.fields import own_fields
from tidyllm.models.losses import Losses
from tidyllm.models.message import Message, Part, Text, ToolCall, ToolResult
from tidyllm.models.request import Request

__all__ = ["encode_messages", "encode_system"]

_ROLES = {"developer": "system", "tool": "user"}


def encode_system(request: Request, losses: Losses) -> tuple[str | list[dict[str, Any]] | None, int]:
    """The field `system`, and how many leading messages went into it."""
    leading = 0
    turns = request.turns
    while leading < len(turns) and _is_instruction(turns[leading]):
        leading += 1
    system = request.system
    if not leading:
        return (system if system is None or isinstance(system, str) else _blocks(system, "system", losses)), 0
    blocks: list[dict[str, Any]] = []
    if system is not None:
        blocks += _blocks((Text(text=system),) if isinstance(system, str) else system, "system", losses)
    for index, message in enumerate(turns[:leading]):
        where = f"messages[{index}]"
        for key in own_fields(message.extra, where, losses):
            losses.add(f"{where}.{key}")
        blocks += _blocks(message.parts, f"{where}.content", losses)
    blocks = [block for block in blocks if block["text"]]  # Anthropic takes no empty text
    if len(blocks) == 1 and len(blocks[0]) == 2:
        return blocks[0]["text"], leading
    return blocks or None, leading


def encode_messages(turns: tuple[Message, ...], first: int, losses: Losses) -> list[dict[str, Any]]:
    """The field `messages` from turn `first` on.

    :raises BadRequest: nothing is left to answer, or a tool's message holds no result.
    """
    messages: list[dict[str, Any]] = []
    results: list[dict[str, Any]] | None = None  # blocks of tool results, joined by what follows
    for index in range(first, len(turns)):
        message = turns[index]
        where = f"messages[{index}]"
        extra = own_fields(message.extra, where, losses)
        content = _content(message, where, losses)
        role = _ROLES.get(message.role, message.role)
        if results is not None and role == "user" and not extra:
            if isinstance(content, str):
                content = [{"type": "text", "text": content}] if content else []
            results += content
            if message.role == "user":
                results = None
            continue
        if message.content and not content:
            continue  # every part was dropped, and the message with them
        messages.append({"role": role, "content": content, **extra})
        results = content if message.role == "tool" and isinstance(content, list) else None
    if not messages:
        raise BadRequest("messages must hold a turn of a user, which Anthropic needs.", field="messages")
    return messages


def _content(message: Message, where: str, losses: Losses) -> str | list[dict[str, Any]]:
    where = f"{where}.content"
    if message.role == "tool" and not (
        isinstance(message.content, tuple) and all(isinstance(part, ToolResult) for part in message.content)
    ):
        raise BadRequest(f"{where} of a tool's message must hold its ToolResult parts.", field=where)
    content = message.content
    if isinstance(content, tuple) and any(isinstance(part, ToolCall) for part in content):
        # Other formats put an empty text beside the calls; Anthropic takes none.
        content = tuple(part for part in content if not (isinstance(part, Text) and not part.text))
    return encode_content(content, where, losses)


def _is_instruction(message: Message) -> bool:
    return message.role in {"developer", "system"} and all(isinstance(part, Text) for part in message.parts)


def _blocks(parts: tuple[Part, ...], where: str, losses: Losses) -> list[dict[str, Any]]:
    blocks = [encode_block(part, f"{where}[{index}]", losses) for index, part in enumerate(parts)]
    return [block for block in blocks if block is not None]
