"""An MCP server for tests that is not ours: the SDK's own, with answers that are no plain text."""

from __future__ import annotations

import base64
from typing import Any

from mcp.server.lowlevel import Server
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)

DATA = base64.b64encode(b"\0" * 300).decode()
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}
ANSWERS = {
    "mixed": CallToolResult(
        content=[
            TextContent(type="text", text="words"),
            ImageContent(type="image", data=DATA, mime_type="image/png"),
            AudioContent(type="audio", data=DATA, mime_type="audio/wav"),
            ResourceLink(type="resource_link", name="notes", uri="file:///notes"),
            EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a", text="held")),
            EmbeddedResource(
                type="resource", resource=BlobResourceContents(uri="file:///b", blob=DATA, mime_type="x/y")
            ),
        ]
    ),
    "structured": CallToolResult(content=[], structured_content={"a": [1]}),
    "refused": CallToolResult(content=[TextContent(type="text", text="not today")], is_error=True),
    "empty": CallToolResult(content=[]),
    "long": CallToolResult(content=[TextContent(type="text", text="x" * 100_000)]),
}


async def _list(_ctx: object, params: Any) -> ListToolsResult:
    """Two pages."""
    names = list(ANSWERS)
    shown = [Tool(name=name, description=f"Gives {name}.", input_schema=SCHEMA) for name in names]
    if params is None or params.cursor is None:
        return ListToolsResult(tools=shown[:2], next_cursor="more")
    return ListToolsResult(tools=shown[2:])


async def _call(_ctx: object, params: Any) -> CallToolResult:
    return ANSWERS[params.name]


SERVER = Server("raw", on_list_tools=_list, on_call_tool=_call)
