"""Models: steps from `Request` to `Response`, whichever provider answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily
from tidyllm.models.message import (
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.request import JSONSchema, NamedTool, ProviderTool, Request, RequestLike, Tool, ToolChoice
from tidyllm.models.response import FinishReason, Response, Usage

if TYPE_CHECKING:
    from tidyllm.models.catalog import Catalog, ModelInfo
    from tidyllm.models.model import Model
    from tidyllm.models.provider import Provider

__all__ = [
    "Audio",
    "Catalog",
    "File",
    "Finish",
    "FinishReason",
    "Image",
    "JSONSchema",
    "Message",
    "Model",
    "ModelInfo",
    "NamedTool",
    "Opaque",
    "Part",
    "Piece",
    "Provider",
    "ProviderTool",
    "Request",
    "RequestLike",
    "Response",
    "Role",
    "Start",
    "Text",
    "TextPiece",
    "Thinking",
    "ThinkingPiece",
    "Tool",
    "ToolCall",
    "ToolCallPiece",
    "ToolChoice",
    "ToolResult",
    "Usage",
    "UsagePiece",
    "WholePart",
]

# Calling models needs the formats and the transport: they are imported when first asked for.
_HOMES = {
    "tidyllm.models.catalog": (
        "Catalog",
        "ModelInfo",
    ),
    "tidyllm.models.model": ("Model",),
    "tidyllm.models.provider": ("Provider",),
}
__getattr__, __dir__ = lazily(__name__, _HOMES)
