"""Passing a caller's request and its answer on as they are, in one format. It reads only what must be known:
the end of a stream, errors in it, usage, and who answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece
from tidyllm.models.http import HTTPAnswer
from tidyllm.models.piece import Finish, Piece, Start, UsagePiece
from tidyllm.models.pricing import cost_usd
from tidyllm.models.response import Usage
from tidyllm.models.sse import Event, EventParser

if TYPE_CHECKING:
    from tidyllm.models.model import Model

__all__ = ["Passthrough"]

# A delta in the middle of an answer holds none of these: it is passed on without being decoded.
_READ = {
    "openai_chat": ('"usage":{', '"usage": {', '"error"', '"finish_reason":"', '"finish_reason": "', "[DONE]"),
    "openai_responses": (
        '"response.created"', '"response.completed"', '"response.incomplete"', '"response.failed"', '"error"',
    ),
    "anthropic": ("message_start", "message_delta", "message_stop", '"error"'),
}
_MAX = {"openai_chat": ("max_completion_tokens", "max_tokens"), "openai_responses": ("max_output_tokens",)}


class _Head(msgspec.Struct):
    id: str = ""
    model: str = ""
    usage: Any = None


class Passthrough:
    """One call that is passed on. `body()`, then `whole(…)` or `feed(chunk)` until `done`."""

    def __init__(self, call: Forward, model: Model) -> None:
        self._call = call
        self._model = model
        self._streams = call.format in _READ
        self._decoder = wire_format(call.format).stream_decoder() if self._streams else None
        self._parser = EventParser()
        self._rest = b""
        self._any = False
        self._asked_usage = True

    @property
    def max_output_tokens(self) -> int | None:
        """The caller's own cap, if there is one."""
        for name in _MAX.get(self._call.format, ("max_tokens",)):
            raw = self._call.fields.get(name)
            if raw is not None:
                value: object = msgspec.json.decode(raw)
                return value if isinstance(value, int) else None
        return None

    @property
    def done(self) -> bool:
        """Whether the end marker was passed on."""
        return self._decoder is not None and self._decoder.done

    def body(self) -> bytes:
        """The caller's body with this model's name, and with usage asked for where a stream would not tell it."""
        changes: dict[str, Any] = {"model": self._model.model}
        if self._call.stream and self._call.format == "openai_chat" and self._model.provider.kind.stream_usage:
            raw = self._call.fields.get("stream_options")
            options: object = msgspec.json.decode(raw) if raw is not None else None
            options = options if isinstance(options, dict) else {}
            self._asked_usage = bool(options.get("include_usage"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            if not self._asked_usage:
                changes["stream_options"] = {**options, "include_usage": True}
        return self._call.body(**changes)

    def whole(self, body: bytes, answer: HTTPAnswer) -> Forwarded:
        """The answer, with its head read.

        :raises BadAnswer: it is not a JSON object.
        """
        try:
            head = msgspec.json.decode(body, type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(f"the answer cannot be read ({error}): it begins with {body[:80]!r}.") from error
        usage = self._usage(head.usage)
        from tidyllm.models.model import request_id

        return Forwarded(
            finish_reason="unknown",
            usage=usage,
            model=head.model,
            id=head.id,
            provider=self._model.provider.name,
            request_id=request_id(answer.headers),
            cost_usd=cost_usd(usage, self._model.info),
            body=body,
        )

    def feed(self, chunk: bytes) -> ForwardedPiece | None:
        """The whole events up to the end of `chunk`; half an event waits for its other half.

        :raises ModelError: an event is the provider's own error.
        :raises BadAnswer: what came are no events.
        """
        data = self._rest + chunk
        end = max(data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n") + 1)
        events = self._parser.feed(chunk)
        if end <= 0 and not events:
            self._rest = data
            return None
        cut = data.find(b"\n", end + 1) + 1
        ready, self._rest = data[:cut], data[cut:]
        read: list[Piece] = []
        hidden = False
        for event in events:
            hidden |= self._read(event, read)
        self._any = True
        if hidden:
            ready = b"".join(_write(event) for event in events if not self._is_extra_usage(event))
        return ForwardedPiece(ready, tuple(read)) if ready or read else None

    def _read(self, event: Event, read: list[Piece]) -> bool:
        """Decode the event if it says something we must know; whether it has to be hidden from the caller."""
        marks = _READ[self._call.format]
        if self._any and not any(mark in event.data for mark in marks):
            return False
        assert self._decoder is not None
        for piece in self._decoder.feed(event):
            if isinstance(piece, (Start, UsagePiece, Finish)):
                read.append(piece)
        return self._is_extra_usage(event)

    def _is_extra_usage(self, event: Event) -> bool:
        # We asked for the usage, the caller did not: its chunk (the one without choices) is ours alone.
        return not self._asked_usage and '"choices":[]' in event.data.replace('"choices": []', '"choices":[]')

    def _usage(self, raw: object) -> Usage:
        if not isinstance(raw, dict):
            return Usage()
        family = {"openai_embeddings": "openai_chat"}.get(self._call.format, self._call.format)
        return wire_format(family).decode_usage(raw) if family != "anthropic_count_tokens" else Usage()  # pyright: ignore[reportUnknownArgumentType]


def _write(event: Event) -> bytes:
    name = f"event: {event.name}\n" if event.name else ""
    lines = "".join(f"data: {line}\n" for line in event.data.split("\n"))
    return f"{name}{lines}\n".encode()

