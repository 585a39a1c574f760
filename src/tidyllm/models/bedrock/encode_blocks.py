"""Our parts to Converse's content blocks. It knows neither messages nor requests."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, Final

import msgspec

from tidyllm.models.bedrock.families import caches
from tidyllm.models.bedrock.fields import FORMAT, known_fields, mark_of
from tidyllm.models.bedrock.media import document_block, image_block
from tidyllm.models.bedrock.names import ModelName
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.losses import Losses
from tidyllm.models.message import Audio, File, Image, Opaque, Part, Text, Thinking, ToolCall, ToolResult

__all__ = ["Blocks", "cache_point", "text_block", "tool_id"]

_BAD_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_BAD_FOR_CLAUDE: Final = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_ID: Final = 64
_SOUNDS: Final = frozenset({
    "aac", "flac", "m4a", "mka", "mkv", "mp3", "mp4", "mpeg", "mpga", "ogg", "opus", "pcm", "wav", "webm", "x-aac",
})  # fmt: skip


class Blocks:
    """Encodes the parts of one request for the model `name`."""

    def __init__(self, name: ModelName, losses: Losses) -> None:
        self.name = name
        self.losses = losses
        self._documents = 0

    def content(self, content: str | tuple[Part, ...], where: str) -> list[dict[str, Any]]:
        """The blocks of a message. An empty text is none: Bedrock refuses it."""
        if isinstance(content, str):
            return [{"text": content}] if content else []
        blocks: list[dict[str, Any]] = []
        for index, part in enumerate(content):
            at = f"{where}[{index}]"
            block = self.block(part, at)
            if block is not None:
                blocks.append(block)
                blocks += cache_point(part.extra, at, self.losses, fits=caches(self.name))
        return blocks

    def block(self, part: Part, where: str) -> dict[str, Any] | None:
        """The block for a part; None when it has no place and `losses` is lenient, or holds nothing.

        :raises Unsupported: Converse has no block for it.
        """
        known_fields(part.extra, where, self.losses, *_KNOWN.get(type(part), ("cache_control",)))
        match part:
            case Text():
                return text_block(part)
            case ToolCall():
                return self._tool_use(part, where)
            case ToolResult():
                return self._tool_result(part, where)
            case Thinking():
                return self._thinking(part, where)
            case Image():
                return image_block(part, where, self.losses)
            case File():
                self._documents += 1
                more = {key: part.extra[key] for key in ("context", "citations") if key in part.extra}
                return document_block(part, where, self.losses, more, number=self._documents)
            case Opaque():
                if part.format == FORMAT:
                    return part.data
                what = text_in(part.data, "type") or "part"
                self.losses.add(where, f"a {what!r} part of the {part.format} format")
            case Audio():
                return self._sound(part, where)
        return None

    def _id(self, id: str) -> str:
        return tool_id(id, bad=_BAD_FOR_CLAUDE if self.name.maker == "anthropic" else _BAD_ID)

    def _tool_use(self, part: ToolCall, where: str) -> dict[str, Any]:
        arguments = part.arguments
        if not arguments and part.raw_arguments.strip() not in {"", "{}"}:
            decoded: object
            try:
                decoded = msgspec.json.decode(part.raw_arguments)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                decoded = None
            if not is_object(decoded):
                self.losses.add(
                    f"{where}.arguments", "Bedrock takes only a JSON object as the input of a tool"
                )
                decoded = {}
            arguments = decoded
        return {"toolUse": {"toolUseId": self._id(part.id), "name": part.name, "input": arguments}}

    def _tool_result(self, part: ToolResult, where: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = []
        if isinstance(part.content, str):
            content.append({"text": part.content})
        else:
            for index, inner in enumerate(part.content):
                at = f"{where}.content[{index}]"
                if isinstance(inner, (ToolCall, ToolResult, Thinking)):
                    self.losses.add(at, f"a {type(inner).__name__} inside of a tool's result")
                    continue
                block = self.block(inner, at)
                if block is not None:
                    content.append(block)
        return {
            "toolResult": {
                "toolUseId": self._id(part.call_id),
                "content": content,
                "status": "error" if part.is_error else "success",
            }
        }

    def _thinking(self, part: Thinking, where: str) -> dict[str, Any] | None:
        if part.encrypted is not None and not part.text:
            return {"reasoningContent": {"redactedContent": part.encrypted}}
        if part.encrypted is not None or part.id is not None:
            self.losses.add(where, "this reasoning can be read only by the provider that encrypted it")
            return None
        told: dict[str, Any] = {"text": part.text}
        if part.signature is not None:
            told["signature"] = part.signature
        return {"reasoningContent": {"reasoningText": told}}

    def _sound(self, part: Audio, where: str) -> dict[str, Any] | None:
        if part.format not in _SOUNDS:
            self.losses.add(where, f"Bedrock takes no sound of type {part.format!r}")
            return None
        return {"audio": {"format": part.format, "source": {"bytes": base64.b64encode(part.data).decode()}}}


_KNOWN: Final[dict[type, tuple[str, ...]]] = {
    Text: ("cache_control", "guardContent"),
    File: ("cache_control", "citations", "context"),
}


def text_block(part: Text) -> dict[str, Any] | None:
    """The block of a text; None for an empty one.

    `extra["guardContent"]` (`{"qualifiers": [...]}`, or True) makes it a text for guardrails to look at.
    """
    if not part.text:
        return None
    if mark_of(part.extra).get("citations"):
        return {
            "citationsContent": {
                "content": [{"text": part.text}],
                "citations": part.extra.get("citations", []),
            }
        }
    if guard := part.extra.get("guardContent"):
        return {"guardContent": {"text": {"text": part.text, **(guard if is_object(guard) else {})}}}
    return {"text": part.text}


def cache_point(extra: dict[str, Any], where: str, losses: Losses, *, fits: bool) -> list[dict[str, Any]]:
    """The cache point that Anthropic's `cache_control` on a part or tool stands for; none where the model has none."""
    control: object = extra.get("cache_control")
    if not is_object(control):
        return []
    if not fits:
        losses.note(f"{where}.cache_control")
        return []
    point: dict[str, Any] = {"type": "default"}
    if ttl := text_in(control, "ttl"):
        point["ttl"] = ttl
    return [{"cachePoint": point}]


def tool_id(id: str, *, bad: re.Pattern[str] = _BAD_ID) -> str:
    """The id of a tool call in the letters and the length that Bedrock allows; its own ids stay as they are."""
    fit = bad.sub("_", id) or "_"
    if len(fit) <= _LONGEST_ID:
        return fit
    return f"{fit[:31]}_{hashlib.sha256(id.encode(errors='replace')).hexdigest()[:32]}"
