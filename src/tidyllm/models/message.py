"""Messages and their parts, the same for every provider. They know nothing of any wire format.

`extra` on a part or a message holds the provider's own fields (`cache_control`, `annotations`, ids) untouched, so that
a message read from a format and written back to it is whole. Another format refuses what it cannot carry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "Audio",
    "File",
    "Image",
    "Message",
    "Opaque",
    "Part",
    "Role",
    "Text",
    "Thinking",
    "ToolCall",
    "ToolResult",
]

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    extra: dict[str, Any] = {}


class Text(_Part, frozen=True, tag="text"):
    """Plain text."""

    text: str = ""


class Image(_Part, frozen=True, tag="image"):
    """An image: by `url`, by `data` (bytes, with `media_type` such as `image/png`), or by the provider's `file_id`."""

    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None


class Audio(_Part, frozen=True, tag="audio"):
    """Recorded sound as bytes; `format` is `wav`, `mp3`, …"""

    data: bytes = b""
    format: str = "wav"


class File(_Part, frozen=True, tag="file"):
    """A document: by `url`, by `data` (bytes, with `media_type`), or by the provider's `file_id`."""

    url: str | None = None
    data: bytes | None = None
    media_type: str | None = None
    file_id: str | None = None
    name: str | None = None


class ToolCall(_Part, frozen=True, tag="tool_call"):
    """The model asks for `name(**arguments)`.

    `raw_arguments` is the text as the model wrote it. Where that text is not a JSON object, `arguments` is empty and
    `valid` is False: nothing is guessed.
    """

    id: str = ""
    name: str = ""
    arguments: dict[str, Any] = {}
    raw_arguments: str = ""
    valid: bool = True

    @classmethod
    def parse(cls, id: str, name: str, raw_arguments: str, extra: dict[str, Any] | None = None) -> ToolCall:
        """A call from the text the model wrote. Empty text means no arguments."""
        try:
            decoded: object = msgspec.json.decode(raw_arguments) if raw_arguments.strip() else {}
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            decoded = None
        valid = isinstance(decoded, dict)
        arguments: dict[str, Any] = decoded if isinstance(decoded, dict) else {}  # pyright: ignore[reportUnknownVariableType]
        return cls(
            id=id, name=name, arguments=arguments, raw_arguments=raw_arguments, valid=valid, extra=extra or {}
        )


class ToolResult(_Part, frozen=True, tag="tool_result"):
    """What the tool answered to the call `call_id`."""

    call_id: str = ""
    content: str | tuple[Part, ...] = ""
    is_error: bool = False


class Thinking(_Part, frozen=True, tag="thinking"):
    """The model's reasoning. `signature` and `encrypted` must go back to the provider unchanged."""

    text: str = ""
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None


class Opaque(_Part, frozen=True, tag="opaque"):
    """A part which only the wire format named `format` understands; `data` is its JSON object, untouched."""

    format: str = ""
    data: dict[str, Any] = {}


Part: TypeAlias = Text | Image | Audio | File | ToolCall | ToolResult | Thinking | Opaque


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. `content` is text, or parts in order."""

    role: Role
    content: str | tuple[Part, ...] = ""
    extra: dict[str, Any] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; plain text is one `Text`, empty text is none."""
        if isinstance(self.content, str):
            return (Text(text=self.content),) if self.content else ()
        return self.content

    @property
    def text(self) -> str:
        """All text parts joined; other parts are left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @classmethod
    def user(cls, *content: str | Part) -> Message:
        """`Message.user("What is this?", Image(url=…))`."""
        return cls("user", _content(content))

    @classmethod
    def assistant(cls, *content: str | Part) -> Message:
        """A turn of the model, for instance `Message.assistant(*response.content)`."""
        return cls("assistant", _content(content))

    @classmethod
    def tool(cls, call_id: str, content: str | tuple[Part, ...], *, is_error: bool = False) -> Message:
        """The answer of a tool to the call `call_id`."""
        return cls("tool", (ToolResult(call_id=call_id, content=content, is_error=is_error),))


def _content(content: Sequence[str | Part]) -> str | tuple[Part, ...]:
    if len(content) == 1 and isinstance(content[0], str):
        return content[0]
    return tuple(Text(text=part) if isinstance(part, str) else part for part in content)
