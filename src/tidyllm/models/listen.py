"""What must be known of a stream that is passed on as it is: who answers, what it used, how it ended, errors in it.

One listener for each format, which looks at these fields and at nothing else; `glance.py` is the same for answers
without a stream. Fields that are not named here may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol, TypeVar, cast

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.anthropic.stops import finish_reason as anthropic_finish
from tidyllm.models.checks import is_object
from tidyllm.models.formats import wire_format
from tidyllm.models.glance import ChatHead, ResponsesHead, text
from tidyllm.models.openai_chat.tool_calls import is_hollow
from tidyllm.models.openai_chat.words import finish_reason as chat_finish
from tidyllm.models.piece import Finish, Piece, Start, UsagePiece
from tidyllm.models.sse import Event

__all__ = ["LISTENERS", "Listener", "raise_error"]


class Listener(Protocol):
    """Hears the events of one stream in order."""

    @property
    def started(self) -> bool:
        """Whether an event of an answer was heard: until then nothing is worth passing on."""
        ...

    @property
    def begun(self) -> bool:
        """Whether something of the answer itself was heard: until then a stream may still be started over."""
        ...

    @property
    def done(self) -> bool:
        """Whether the end marker was heard."""
        ...

    def skips(self, block: bytes) -> bool:
        """Whether these bytes of one event, once the answer has begun, need not be heard."""
        ...

    def hear(self, event: Event) -> list[Piece]:
        """`Start`, `UsagePiece` and `Finish` as far as they are in this event.

        :raises ModelError: the event is the provider's own error.
        :raises BadAnswer: it cannot be read, or does not belong where it stands.
        """
        ...

    def is_usage_alone(self, event: Event) -> bool:
        """Whether the event just heard carries usage and nothing else."""
        ...

    def close(self) -> tuple[bytes, list[Piece]]:
        """The stream ended as HTTP says: the end marker which the provider left out, if the answer is whole."""
        ...


_chunk = msgspec.json.Decoder(ChatHead).decode


class _Said(msgspec.Struct, gc=False):
    delta: Any = None
    finish_reason: Any = None
    text: Any = None


class _Says(msgspec.Struct, gc=False):
    choices: list[_Said] | None = None


_says = msgspec.json.Decoder(_Says).decode


class ChatListener:
    """OpenAI's chat completions."""

    def __init__(self) -> None:
        self.started = False
        self.begun = False
        self.done = False
        self._finish: str | None = None
        self._tier: str | None = None
        self._usage_alone = False

    def skips(self, block: bytes) -> bool:
        # Every chunk names these fields; null says nothing. Inside a text their quotes would be escaped.
        return (
            b'"finish_reason":null' in block
            and (b'"usage":null' in block or b'"usage"' not in block)
            and b'"error"' not in block
        )

    def hear(self, event: Event) -> list[Piece]:
        self._usage_alone = False
        if event.data.startswith("[DONE]"):
            if not self.started:
                raise BadAnswer("the stream ended without an answer: its end marker came before any choice.")
            return self._end()
        chunk = _read(_chunk, event)
        choices = chunk.choices
        if chunk.error or event.name == "error" or (choices and any(choice.error for choice in choices)):
            raise_error("openai_chat", event)
        if not self.started and choices is None and not chunk.usage:
            raise _foreign(event, "choices")
        pieces: list[Piece] = []
        if not self.started and choices:
            self.started = True
            pieces.append(Start(text(chunk.model), text(chunk.id)))
        if choices and not self.begun:
            self.begun = any(map(_is_said, _read(_says, event).choices or ()))
        if chunk.service_tier:
            self._tier = text(chunk.service_tier)
        for choice in choices or ():
            if choice.finish_reason:
                self._finish = text(choice.finish_reason)
        usage = chunk.used()
        if usage is not None:
            self._usage_alone = not choices
            pieces.append(UsagePiece(usage))
        return pieces

    def is_usage_alone(self, event: Event) -> bool:
        return self._usage_alone

    def close(self) -> tuple[bytes, list[Piece]]:
        return (b"", []) if self.done or self._finish is None else (b"data: [DONE]\n\n", self._end())

    def _end(self) -> list[Piece]:
        self.begun = self.done = True
        extra = {} if self._tier is None else {"service_tier": self._tier}
        return [Finish(chat_finish(self._finish), self._finish, extra)]


def _is_said(choice: _Said) -> bool:
    """Whether a choice holds more than the role of who speaks."""
    if choice.finish_reason or choice.text or not is_object(choice.delta):
        return True
    return not all(key == "role" or is_hollow(value) for key, value in choice.delta.items())


class _ResponsesEvent(msgspec.Struct, gc=False):
    type: Any = ""
    response: ResponsesHead | None = None
    error: Any = None


_responses_event = msgspec.json.Decoder(_ResponsesEvent).decode
_BEGINS = frozenset({"response.created", "response.queued", "response.in_progress"})
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


class ResponsesListener:
    """OpenAI's responses."""

    def __init__(self) -> None:
        self.started = False
        self.begun = False
        self.done = False

    def skips(self, block: bytes) -> bool:
        # Only where the type stands: a text of the whole answer may end with the same word.
        return (block.startswith(b"event: response.") and block.find(b".delta\n", 0, 80) > 0) or (
            block.startswith(b'data: {"type":"response.') and block.find(b'.delta",', 0, 80) > 0
        )

    def hear(self, event: Event) -> list[Piece]:
        if event.data == "[DONE]":  # the other format's end marker, which ends nothing
            return []
        told = _read(_responses_event, event)
        kind = told.type or event.name
        answer = told.response
        if kind in {"error", "response.failed"} or (told.error and not kind):
            raise_error("openai_responses", event)
        if not self.started and answer is None and not text(kind).startswith("response."):
            raise _foreign(event, "response")
        pieces: list[Piece] = []
        if not self.started:
            self.started = True
            pieces.append(Start(text(answer.model), text(answer.id)) if answer is not None else Start())
        if text(kind).startswith("response.") and kind not in _BEGINS:
            self.begun = True
        if kind in _ENDS:
            if answer is None:
                raise _foreign(event, "response")
            self.done = True
            if answer.error:
                raise_error("openai_responses", event)
            pieces += _responses_end(answer, kind.removeprefix("response."))
        return pieces

    def is_usage_alone(self, event: Event) -> bool:
        return False

    def close(self) -> tuple[bytes, list[Piece]]:
        return b"", []


def _responses_end(answer: ResponsesHead, status: str) -> list[Piece]:
    finish, word = answer.ending(status)
    usage = answer.used()
    return [*([] if usage is None else [UsagePiece(usage)]), Finish(finish, word, answer.extra())]


class _Message(msgspec.Struct, gc=False):
    id: Any = ""
    model: Any = ""
    usage: Any = None


class _Delta(msgspec.Struct, gc=False):
    stop_reason: Any = None


class _AnthropicEvent(msgspec.Struct, gc=False):
    type: Any = ""
    message: _Message | None = None
    delta: _Delta | None = None
    content_block: Any = None
    usage: Any = None
    error: Any = None


_anthropic_event = msgspec.json.Decoder(_AnthropicEvent).decode


class AnthropicListener:
    """Anthropic's messages."""

    def __init__(self) -> None:
        self.started = False
        self.begun = False
        self.done = False
        self._usage: dict[str, Any] = {}
        self._stop: str | None = None

    def skips(self, block: bytes) -> bool:
        return block.startswith((b"event: content_block_delta", b'data: {"type":"content_block_delta"'))

    def hear(self, event: Event) -> list[Piece]:
        told = _read(_anthropic_event, event)
        kind = told.type or event.name
        if kind == "error" or event.name == "error" or told.error:
            raise_error("anthropic", event)
        if kind == "message_start":
            message = told.message or _Message()
            self.started = True
            return [Start(text(message.model), text(message.id)), *self._used(message.usage)]
        if not self.started:
            if kind == "ping":
                return []
            raise _foreign(event, "message_start")
        if not self.begun and kind != "ping":
            self.begun = not (kind == "content_block_start" and _is_empty_text(told.content_block))
        if kind == "message_delta":
            if told.delta is not None and told.delta.stop_reason:
                self._stop = text(told.delta.stop_reason)
            return self._used(told.usage)
        if kind == "message_stop":
            self.done = True
            return [Finish(anthropic_finish(self._stop), self._stop)]
        return []

    def is_usage_alone(self, event: Event) -> bool:
        return False

    def close(self) -> tuple[bytes, list[Piece]]:
        return b"", []

    def _used(self, usage: object) -> list[Piece]:
        """Counts are totals up to now: a later one replaces an earlier one."""
        if not isinstance(usage, dict):
            return []
        known = cast("dict[str, Any]", usage)
        self._usage = {**self._usage, **{key: value for key, value in known.items() if value is not None}}
        return [UsagePiece(wire_format("anthropic").decode_usage(self._usage))]


def _is_empty_text(block: object) -> bool:
    return is_object(block) and block.get("type") == "text" and not block.get("text")


LISTENERS: Mapping[str, Callable[[], Listener]] = {
    "openai_chat": ChatListener,
    "openai_responses": ResponsesListener,
    "anthropic": AnthropicListener,
}
"""By format; other endpoints do not stream."""


def raise_error(format: str, event: Event) -> NoReturn:
    """Raise the provider's error in `event`, mapped to its class. An event that holds none is unreadable."""
    wire_format(format).stream_decoder().feed(event)
    raise BadAnswer(f"an event of the stream holds an error that cannot be read: {event.data[:200]!r}.")


_T = TypeVar("_T")


def _read(decode: Callable[[str], _T], event: Event) -> _T:
    try:
        return decode(event.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if event.name == "error":
            return decode("{}")  # a proxy's words, not JSON: the format knows how to tell them
        raise BadAnswer(f"an event of the stream cannot be read ({error}): {event.data[:80]!r}.") from error


def _foreign(event: Event, missing: str) -> BadAnswer:
    return BadAnswer(f"the stream does not begin like an answer ({missing} is missing): {event.data[:80]!r}.")
