"""The few fields that must be known of an answer that is passed on as it is. Pure; it decodes no content.

Fields that are not named here may hold anything, and those that are may be missing or of another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.anthropic.stops import finish_reason as anthropic_finish
from tidyllm.models.formats import family, wire_format
from tidyllm.models.openai_chat.usage import usage_in
from tidyllm.models.openai_chat.words import finish_reason as chat_finish
from tidyllm.models.openai_responses.ending import Outcome, decode_ending
from tidyllm.models.response import FinishReason, Usage

__all__ = ["ChatHead", "Head", "ResponsesHead", "glance", "text"]


class Head(Protocol):
    """What the answers of every endpoint have in common."""

    id: Any
    model: Any
    error: Any

    @property
    def whole(self) -> bool:
        """Whether what makes up an answer of this endpoint is there."""
        ...

    def used(self) -> Usage | None: ...
    def ending(self, status: str = "") -> tuple[FinishReason, str | None]: ...
    def extra(self) -> dict[str, Any]:
        """What the price depends on besides the usage."""
        ...


class _Base(msgspec.Struct, gc=False, kw_only=True):
    id: Any = ""
    model: Any = ""
    usage: Any = None
    service_tier: Any = None
    error: Any = None

    def ending(self, status: str = "") -> tuple[FinishReason, str | None]:
        return "unknown", None

    def extra(self) -> dict[str, Any]:
        return {"service_tier": self.service_tier} if isinstance(self.service_tier, str) else {}

    def used(self) -> Usage | None:
        return None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: Any = None
    error: Any = None


class ChatHead(_Base):
    """A chat completion, or one chunk of its stream."""

    choices: list[_Choice] | None = None
    x_groq: Any = None

    @property
    def whole(self) -> bool:
        return bool(self.choices)

    def used(self) -> Usage | None:
        if self.usage or self.x_groq:
            return usage_in({"usage": self.usage, "x_groq": self.x_groq})
        return None

    def ending(self, status: str = "") -> tuple[FinishReason, str | None]:
        word = next(
            (text(choice.finish_reason) for choice in self.choices or () if choice.finish_reason), None
        )
        return chat_finish(word), word


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    call_id: Any = None
    execution: Any = None


class _Reason(msgspec.Struct, gc=False):
    reason: Any = None


class ResponsesHead(_Base):
    """An answer of the Responses API, whole or as an event holds it."""

    status: Any = None
    output: list[_Item] | None = None
    incomplete_details: _Reason | None = None

    @property
    def whole(self) -> bool:
        return self.output is not None

    def used(self) -> Usage | None:
        return _decoded("openai_responses", self.usage)

    def ending(self, status: str = "") -> tuple[FinishReason, str | None]:
        outcome = Outcome()
        for item in self.output or ():
            outcome.add({"type": item.type, "call_id": item.call_id, "execution": item.execution})
        details = self.incomplete_details
        return decode_ending(
            self.status or status or None, None if details is None else details.reason, outcome
        )


class _MessagesHead(_Base):
    content: list[msgspec.Raw] | None = None
    stop_reason: Any = None

    @property
    def whole(self) -> bool:
        return self.content is not None

    def used(self) -> Usage | None:
        return _decoded("anthropic", self.usage)

    def ending(self, status: str = "") -> tuple[FinishReason, str | None]:
        word = text(self.stop_reason) or None
        return anthropic_finish(word), word


class _EmbeddingsHead(_Base):
    data: list[msgspec.Raw] | None = None

    @property
    def whole(self) -> bool:
        return self.data is not None

    def used(self) -> Usage | None:
        """What no provider counts is what an embedding writes: nothing, whatever the catalogue knows of the model."""
        usage = _decoded("openai_chat", self.usage)
        if usage is None or usage.output_tokens is not None:
            return usage
        return msgspec.structs.replace(usage, output_tokens=0)


class _CountHead(_Base):
    input_tokens: Any = None

    @property
    def whole(self) -> bool:
        return isinstance(self.input_tokens, int)


_HEADS: Mapping[str, Any] = {
    name: msgspec.json.Decoder(head).decode
    for name, head in (
        ("openai_chat", ChatHead),
        ("openai_responses", ResponsesHead),
        ("anthropic", _MessagesHead),
        ("openai_embeddings", _EmbeddingsHead),
        ("anthropic_count_tokens", _CountHead),
    )
}


def glance(endpoint: str, body: bytes) -> Head:
    """The head of a whole answer of this endpoint.

    :raises BadAnswer: it cannot be read, or is no answer of this endpoint.
    :raises ModelError: it is the provider's own error, sent with status 200.
    """
    try:
        head: Head = _HEADS[endpoint](body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if not body.strip():
            raise BadAnswer("the answer is empty.") from error
        raise BadAnswer(f"the answer cannot be read ({error}): it begins with {body[:80]!r}.") from error
    if head.error or not head.whole:
        # The format knows how its errors look. One that it does not find is none.
        wire_format(family(endpoint)).decode_response(msgspec.json.decode(body))
        if not head.whole:
            raise BadAnswer(f"the answer is none of {endpoint}: it begins with {body[:80]!r}.")
    return head


def text(value: object) -> str:
    """The value if it is text, else ""."""
    return value if isinstance(value, str) else ""


def _decoded(format: str, usage: object) -> Usage | None:
    return wire_format(format).decode_usage(usage) if isinstance(usage, dict) else None  # pyright: ignore[reportUnknownArgumentType]
