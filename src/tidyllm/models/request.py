"""What we ask of a model, the same for every provider. It knows nothing of any wire format.

A `Request` holds what providers have in common; `extra` goes to the provider untouched, as top-level fields of its own
format. A field the provider has no place for raises `Unsupported`, or is reported when the model is lenient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast

import msgspec

from tidyllm.models.message import Message, Text

__all__ = [
    "Effort",
    "JSONSchema",
    "NamedTool",
    "ProviderTool",
    "Request",
    "RequestLike",
    "Tool",
    "ToolChoice",
]

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Tool(msgspec.Struct, frozen=True, omit_defaults=True, tag="function", tag_field="type"):
    """A function the model may call. `parameters` is a JSON schema of type object."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    extra: dict[str, Any] = {}


class ProviderTool(msgspec.Struct, frozen=True, tag="provider", tag_field="type"):
    """A tool that the provider itself runs (web search, code execution). Only the format named `format` carries it."""

    format: str
    data: dict[str, Any]


class NamedTool(msgspec.Struct, frozen=True):
    """The model must call this tool."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | NamedTool


class JSONSchema(msgspec.Struct, frozen=True, omit_defaults=True):
    """Structured output by a JSON schema. `strict` None leaves the provider's default."""

    schema: dict[str, Any]
    name: str = "answer"
    description: str | None = None
    strict: bool | None = None
    extra: dict[str, Any] = {}


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """One question to a model.

    - `messages`: a plain string (one user message) or messages in order. System and developer messages may stand
      among them; `system` is the instruction in front of them all.
    - `model`: set by whoever sends it; a model step fills in its own name where it is empty.
    - `tools`, `tool_choice` (None: the provider's default), `parallel_tool_calls`.
    - `output`: structured output: a type (pydantic model, msgspec Struct, dataclass, TypedDict), a `JSONSchema`,
      a plain JSON schema dict, or "json" for any JSON object. `Response.parsed` then gives the value.
    - `max_output_tokens`: cap on the answer, reasoning included, in tokens. None: the provider's default
      (formats that need one get the model's maximum from the catalogue).
    - `temperature`, `top_p`, `top_k`, `frequency_penalty`, `presence_penalty`, `stop`, `seed`: sampling.
    - `effort`: how hard to reason; `thinking_tokens`: how many tokens reasoning may use, where a provider counts.
    - `metadata`: string pairs stored with the call at the provider; `user`: the provider's id of an end user.
    - `extra`: top-level fields of the provider's own format, untouched.
    """

    messages: str | Sequence[Message]
    system: str | tuple[Text, ...] | None = None
    model: str = ""
    tools: Sequence[Tool | ProviderTool] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output: Any = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: Sequence[str] = ()
    seed: int | None = None
    effort: Effort | None = None
    thinking_tokens: int | None = None
    metadata: dict[str, str] = {}
    user: str | None = None
    extra: dict[str, Any] = {}

    def __post_init__(self) -> None:
        # Lists are what people write, and one stop sequence is often given as plain text; kept are tuples.
        if isinstance(self.stop, str):
            msgspec.structs.force_setattr(self, "stop", (self.stop,))
        for field in ("messages", "tools", "stop"):
            value: object = getattr(self, field)
            if isinstance(value, list):
                msgspec.structs.force_setattr(self, field, tuple(cast("list[Any]", value)))

    @property
    def turns(self) -> tuple[Message, ...]:
        """The messages; a plain string is one user message."""
        if isinstance(self.messages, str):
            return (Message("user", self.messages),)
        return tuple(self.messages)

    @classmethod
    def of(cls, value: RequestLike) -> Request:
        """A request from what a model step accepts."""
        if isinstance(value, Request):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, Message):
            return cls((value,))
        return cls(tuple(value))


RequestLike: TypeAlias = Request | str | Message | Sequence[Message]
