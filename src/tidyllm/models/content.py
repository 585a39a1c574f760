"""What went into a model and came out, as JSON for those who asked to record it. It knows no wire format.

The shape is that of OpenTelemetry's `gen_ai.input.messages`. Of pictures, sound and files only kind and size are
recorded, or their address: their bytes belong into no trace.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.message import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["answered_content", "asked_content"]

MAX_CHARACTERS = 64_000
"""Of one message list. Backends of traces cut attributes at 4 to 64 kB; a text cut by us says so."""


def asked_content(request: Request) -> dict[str, str]:
    """The attributes for what was asked."""
    found = {"input_messages": _json([_message(turn) for turn in request.turns])}
    if request.system is not None:
        system = (Text(text=request.system),) if isinstance(request.system, str) else request.system
        found["system_instructions"] = _json([_part(part) for part in system])
    return found


def answered_content(response: Response) -> dict[str, str]:
    """The attributes for what was answered."""
    message = {**_message(response.message), "finish_reason": response.finish_reason}
    return {"output_messages": _json([message])}


def _json(value: list[dict[str, Any]]) -> str:
    text = msgspec.json.encode(value, enc_hook=repr).decode()
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}… ({len(text):,} characters)"


def _message(message: Message) -> dict[str, Any]:
    return {"role": message.role, "parts": [_part(part) for part in message.parts]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Thinking():
            return {"type": "reasoning", "content": part.text}
        case ToolCall():
            arguments = part.arguments if part.valid else part.raw_arguments
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}
        case ToolResult():
            content = part.content if isinstance(part.content, str) else [_part(one) for one in part.content]
            return {"type": "tool_call_response", "id": part.call_id, "response": content}
        case Opaque():
            return {"type": part.data.get("type", "opaque")}
        case Image() | File():
            kind = "image" if isinstance(part, Image) else "file"
            if part.data is not None:
                return {
                    "type": "blob",
                    "modality": kind,
                    "mime_type": part.media_type,
                    "bytes": len(part.data),
                }
            if part.file_id is not None:
                return {"type": "file", "modality": kind, "file_id": part.file_id}
            address = part.url or ""
            return {
                "type": "uri",
                "modality": kind,
                "uri": address if len(address) <= 500 else f"{address[:500]}…",
            }
        case Audio():
            return {
                "type": "blob",
                "modality": "audio",
                "mime_type": f"audio/{part.format}",
                "bytes": len(part.data),
            }
