"""What an MCP tool answered, as text: text as it is, everything else as a note of what there was. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock

__all__ = ["said"]


def said(result: CallToolResult) -> str:
    """The answer's parts, one below the other. Structured content stands in where there is no text."""
    parts = [_part(one) for one in result.content]
    if result.structured_content is not None and not any(one.type == "text" for one in result.content):
        parts.append(msgspec.json.encode(result.structured_content).decode())
    return "\n".join(parts) or "(done; no output)"


def _part(one: ContentBlock) -> str:
    match one.type:
        case "text":
            return one.text
        case "image" | "audio":
            size = len(one.data) * 3 // 4
            return f"[{one.type} of type {one.mime_type}, about {size:,} bytes: not shown]"
        case "resource_link":
            return f"[resource {one.name}: {one.uri}]"
        case "resource":
            held = one.resource
            text = getattr(held, "text", None)
            return (
                text
                if isinstance(text, str)
                else f"[resource {held.uri} of type {held.mime_type}: not shown]"
            )
