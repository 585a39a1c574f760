"""How many tokens a message is at a model: closely where its tokenizer is public, else bounded by bytes."""

from __future__ import annotations

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
from tidyllm.tokens import bound_text, count_text, family_of

__all__ = ["bound_message", "message_tokens", "text_tokens"]

# As much as `tokens.count_request` adds around what stands in a request of any format, or more.
_PER_MESSAGE = 8
_PER_MESSAGE_BYTES = 40
_PER_PART = 12
_PICTURE = 5_000


def text_tokens(text: str, model: str) -> int:
    """Tokens of a text at `model`, or a bound."""
    return count_text(text, model).tokens


def message_tokens(message: Message, model: str) -> int:
    """Tokens of a message at `model`, its marks included; never below what the model counts, but for files and sound,
    which are taken by their size."""
    family = family_of(model)
    tokens = _PER_MESSAGE if family.encoding is not None else _PER_MESSAGE_BYTES
    if isinstance(message.content, str):
        return tokens + text_tokens(message.content, model)
    for part in message.content:
        tokens += _PER_PART
        if isinstance(part, Image):
            tokens += family.image_tokens or _PICTURE
        else:
            tokens += text_tokens(_text(part), model) + _size(part)
    return tokens


def bound_message(message: Message) -> int:
    """The most that a message of text and calls can be, at any model; it takes no tokenizer."""
    if isinstance(message.content, str):
        return _PER_MESSAGE_BYTES + bound_text(message.content)
    tokens = _PER_MESSAGE_BYTES
    for part in message.content:
        tokens += (
            _PER_PART + bound_text(_text(part)) + _size(part) + (50_000 if isinstance(part, Image) else 0)
        )
    return tokens


def _text(part: Part) -> str:
    match part:
        case Text():
            return part.text
        case ToolCall():
            arguments = part.raw_arguments or msgspec.json.encode(part.arguments).decode()
            return f"{part.id}{part.name}{arguments}"
        case ToolResult():
            if isinstance(part.content, str):
                return part.call_id + part.content
            return part.call_id + "".join(_text(one) for one in part.content)
        case Thinking():
            return f"{part.text}{part.signature or ''}{part.encrypted or ''}"
        case Opaque():
            return msgspec.json.encode(part.data).decode()
        case _:
            return ""


def _size(part: Part) -> int:
    if isinstance(part, Audio | File):
        return len(part.data or b"") // 3 + 1_000
    if isinstance(part, ToolResult) and not isinstance(part.content, str):
        return sum(_PICTURE for one in part.content if isinstance(one, Image))
    return 0
