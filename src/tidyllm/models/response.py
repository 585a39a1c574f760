"""What a model answered, the same for every provider. It knows nothing of any wire format."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypeAlias

import msgspec

from tidyllm.models.message import Message, Part, Text, Thinking, ToolCall

__all__ = ["FinishReason", "Response", "Usage"]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "refused", "paused", "error", "unknown"]
"""`stop`: done, or a stop sequence; `length`: the cap or the window was reached; `tool_calls`: it waits for tools;
`refused`: a content filter or the model itself refused; `paused`: the provider wants to be called again to go on;
`error`: the provider says its own work failed; `unknown`: a word we do not know (see `finish_reason_raw`)."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one call; each None when the provider did not say, which is not 0.

    `input_tokens` is the whole prompt, cached parts included, and `output_tokens` the whole answer, reasoning
    included, at every provider (the meaning of OpenTelemetry's `gen_ai.usage.*`); the others are parts of these two.
    `audio_cache_read_tokens` are sound that was read from a cache: they are in neither `cache_read_tokens` nor
    `audio_input_tokens`. `raw` is the provider's own usage object.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    audio_cache_read_tokens: int | None = None
    raw: dict[str, Any] = {}

    @property
    def total_tokens(self) -> int | None:
        """Input and output together; None when either is unknown."""
        if self.input_tokens is None or self.output_tokens is None:
            return None
        return self.input_tokens + self.output_tokens


class Response(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer. `content` is its parts in order; `raw` the provider's own object (for a stream: None)."""

    content: tuple[Part, ...] = ()
    finish_reason: FinishReason = "unknown"
    finish_reason_raw: str | None = None
    usage: Usage = Usage()
    model: str = ""
    id: str = ""
    provider: str = ""
    request_id: str | None = None
    cost_usd: Decimal | None = None
    """Dollars this call cost; None when the price or the usage is unknown."""
    dropped: tuple[str, ...] = ()
    """Fields of the request that a lenient model left out, because the provider has no place for them."""
    output: Any = None
    """The `Request.output` this answers, so that `parsed` knows its type."""
    raw: dict[str, Any] | None = None
    extra: dict[str, Any] = {}
    cached: bool = False
    """Answered from what was kept, or by the call of an equal request: nothing was sent, and `cost_usd` is 0."""
    saved_usd: Decimal | None = None
    """What a cached answer cost when it was made; None when that is not known."""
    format: str = ""
    """The wire format in which it came (`anthropic`), which is what `extra` and `finish_reason_raw` are in; "" for one
    that was made by hand."""

    @property
    def text(self) -> str:
        """All text parts joined; "" when there are none."""
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls the model asks for, in order."""
        return tuple(part for part in self.content if isinstance(part, ToolCall))

    @property
    def reasoning(self) -> str:
        """The readable reasoning joined; "" when there is none or it is encrypted."""
        return "".join(part.text for part in self.content if isinstance(part, Thinking))

    @property
    def message(self) -> Message:
        """The answer as a message, to go on with the conversation."""
        return Message("assistant", self.content)

    @property
    def parsed(self) -> Any:
        """The answer as the type of `Request.output`.

        :raises BadAnswer: the text is not JSON, or does not fit the type; the message says where.
        :raises StepError: the request asked for no structured output.
        """
        from tidyllm.models.output import parse

        return parse(self)
