"""The reasoning beside a message's content, both ways. OpenAI has no field for it; its servers' copies have three.

`reasoning_content` (DeepSeek, Z.ai, vLLM and others) and `reasoning` (Groq, OpenRouter, newer vLLM) are plain text.
`reasoning_details` (OpenRouter, Snowflake) is an array of objects which may carry a signature or encrypted text. Who
sends the details often sends the same text as `reasoning`, too: it is read once. A `Thinking` read here has a mark with

- `field`: where it stood;
- `detail`: what its entry in `reasoning_details` says besides text, signature, data and id;
- `also`: the other fields with the same words.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from tidyllm.models.checks import is_object
from tidyllm.models.loans import LOAN
from tidyllm.models.losses import Losses
from tidyllm.models.message import Thinking
from tidyllm.models.openai_chat.marks import mark_of, marked

__all__ = [
    "DETAILS",
    "PLAIN",
    "decode_reasoning",
    "detail_of",
    "encode_reasoning",
    "is_details",
    "lent",
    "read_detail",
]

DETAILS: Final = "reasoning_details"
PLAIN: Final = ("reasoning_content", "reasoning")


def is_details(value: object) -> bool:
    """Whether these are reasoning details: an array, not empty, of objects with a type."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        is_object(entry) and isinstance(entry.get("type"), str) for entry in cast("list[object]", value)
    )


def decode_reasoning(message: dict[str, Any]) -> tuple[list[Thinking], set[str]]:
    """The reasoning beside the content, and the fields it was read from."""
    parts: list[Thinking] = []
    read: set[str] = set()
    if is_details(details := message.get(DETAILS)):
        parts = [read_detail(detail) for detail in cast("list[dict[str, Any]]", details)]
        read.add(DETAILS)
    has_words = any(part.text for part in parts)
    for name in PLAIN:
        words: object = message.get(name)
        if not isinstance(words, str) or not words:
            continue
        read.add(name)
        if has_words:
            parts[0] = _also(parts[0], name, words)
        else:
            parts.insert(0, Thinking(text=words, extra=marked({}, field=name)))
            has_words = True
    return parts, read


def read_detail(detail: dict[str, Any]) -> Thinking:
    """One entry of `reasoning_details`."""
    rest = dict(detail)

    def take(key: str) -> str | None:
        value: object = rest.get(key)
        if not isinstance(value, str) or not value:
            return None
        del rest[key]
        return value

    return Thinking(
        text=take(_words_of(detail)) or "",
        signature=take("signature"),
        encrypted=take("data"),
        id=take("id"),
        extra=marked({}, field=DETAILS, detail=rest),
    )


def detail_of(part: Thinking, rest: dict[str, Any]) -> dict[str, Any]:
    """The entry of `reasoning_details` for a part; `rest` is what the part itself does not hold."""
    own = {
        _words_of(rest): part.text or None,
        "signature": part.signature,
        "data": part.encrypted,
        "id": part.id,
    }
    return {**rest, **{key: value for key, value in own.items() if value is not None}}


def lent(part: Thinking) -> Thinking:
    """Reasoning of another format's provider as one of ours: its id begins like a loan (see `loans.py`)."""
    return msgspec.structs.replace(part, id=f"{LOAN}{part.id or ''}")


def encode_reasoning(parts: list[tuple[str, Thinking]], losses: Losses) -> dict[str, Any]:
    """The fields for reasoning that came from this format; any other is left out and reported.

    Reasoning of another provider is of no use here: no server takes it, and most refuse a field they do not know.
    """
    fields: dict[str, Any] = {}
    for at, part in parts:
        mark = mark_of(part.extra)
        name: object = mark.get("field")
        if name == DETAILS:
            fields.setdefault(DETAILS, []).append(detail_of(part, mark.get("detail", {})))
        elif name in PLAIN:
            fields[name] = fields.get(name, "") + part.text
        else:
            losses.note(at)
        fields.update(mark.get("also", {}))
    return fields


def _words_of(detail: dict[str, Any]) -> str:
    return "summary" if detail.get("type") == "reasoning.summary" else "text"


def _also(part: Thinking, name: str, words: str) -> Thinking:
    mark = mark_of(part.extra)
    also = {**mark.get("also", {}), name: words}
    return Thinking(
        text=part.text,
        signature=part.signature,
        encrypted=part.encrypted,
        id=part.id,
        extra=marked({}, **{**mark, "also": also}),
    )
