"""Passing a caller's request and its answer on as they are, in one format. It reads only what must be known:
the end of a stream, errors in it, usage, and who answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidyllm.errors import ModelError
from tidyllm.models.blocks import Blocks
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece
from tidyllm.models.glance import glance, text
from tidyllm.models.listen import LISTENERS
from tidyllm.models.own_reasoning import own_reasoning
from tidyllm.models.piece import Piece
from tidyllm.models.response import Usage
from tidyllm.models.sse import Event, EventParser

if TYPE_CHECKING:
    from tidyllm.models.provider import Provider

__all__ = ["StreamPassthrough", "forwarded_body", "whole_answer"]

_HELD = 16 * 1024
"""Bytes of comments that are kept until an answer begins; more of them is thrown away."""
_HEAD = 4 * 1024 * 1024
"""Bytes of an answer that are taken for its head at most: an event may repeat the whole request."""


def forwarded_body(call: Forward, model: str, provider: Provider) -> tuple[bytes, bool]:
    """The caller's body with the name of `model`, and whether usage was asked for that the caller did not ask for.

    A chat stream tells its usage only when asked. Everything else goes out as it came.
    """
    changes: dict[str, Any] = {"model": model}
    hides_usage = False
    if call.stream and call.format == "openai_chat" and provider.kind.stream_usage:
        options = _object(call.fields.get("stream_options"))
        hides_usage = not options.get("include_usage")
        if hides_usage:
            changes["stream_options"] = {**options, "include_usage": True}
    changes |= own_reasoning(call.format, call.fields)
    return call.body(**changes), hides_usage


def whole_answer(call: Forward, body: bytes) -> Forwarded:
    """The answer, with its head read.

    :raises BadAnswer: it is no answer of this endpoint.
    :raises ModelError: it is the provider's own error, sent with status 200.
    """
    head = glance(call.format, body)
    finish, word = head.ending()
    return Forwarded(
        finish_reason=finish,
        finish_reason_raw=word,
        usage=head.used() or Usage(),
        model=text(head.model),
        id=text(head.id),
        extra=head.extra(),
        body=body,
    )


class StreamPassthrough:
    """One stream. `feed` each chunk; after each look at `fault`, then at `done`.

    What comes out is, joined, what came in up to the end marker, without the usage that only we had asked for. Nothing
    comes out before an event of an answer has come: an error in its place is raised while a caller knows of nothing.
    """

    def __init__(self, format: str, *, hides_usage: bool = False) -> None:
        self.fault: ModelError | None = None
        """Raise it: what came before has been given out."""
        self._hides_usage = hides_usage
        self._blocks = Blocks()
        self._parser = EventParser()
        self._listener = LISTENERS[format]()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._head_bytes = 0
        self._hid = False

    @property
    def done(self) -> bool:
        """Whether the end marker has been given out."""
        return self._listener.done

    def feed(self, chunk: bytes) -> ForwardedPiece | None:
        """The events that end in `chunk`; half an event waits for its other half. Nothing comes after a fault."""
        if self.fault is not None:
            return None
        piece = self._pass_on(self._blocks.feed(chunk))
        if self.fault is None and not self.done:
            self.fault = self._blocks.fault
        return piece

    def close(self) -> ForwardedPiece | None:
        """The connection ended as HTTP says it should: what is left, if it ends the answer after all."""
        rest = self._blocks.rest()
        piece = None
        if rest.endswith((b"\n", b"\r")):  # only the blank line is missing
            piece = self._pass_on([rest + (b"\n" if rest.endswith(b"\n") else b"\r")])
        if self.fault is None and not self.done:
            marker, pieces = self._listener.close()
            if marker:
                before = piece or ForwardedPiece(b"")
                piece = ForwardedPiece(before.data + marker, (*before.pieces, *pieces))
        return piece

    def _pass_on(self, blocks: list[bytes]) -> ForwardedPiece | None:
        listener = self._listener
        ready: list[bytes] = []
        read: list[Piece] = []
        try:
            for block in blocks:
                if listener.done:
                    break
                if not (listener.begun and listener.skips(block)) and self._hear(block, read):
                    continue
                self._hid = False
                ready.append(block)
        except ModelError as error:
            self.fault = error
        if not listener.started:
            self._hold(ready)
            return None
        if self._held:
            ready = [*self._held, *ready]
            self._held = []
        if not (ready or read):
            return None
        data = ready[0] if len(ready) == 1 else b"".join(ready)
        return ForwardedPiece(data, tuple(read), not listener.begun and self._is_short(data))

    def _is_short(self, head: bytes) -> bool:
        self._head_bytes += len(head)
        return self._head_bytes <= _HEAD

    def _hear(self, block: bytes, read: list[Piece]) -> bool:
        """Take in what the event says; whether it is kept from the caller."""
        if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2:
            try:
                event = Event(block[6:-2].decode())
            except UnicodeDecodeError:
                event = None  # the parser says it better
        else:
            event = None
        if event is None:
            if block == b"\n" and self._hid:
                return True  # the second half of a line end whose first half was hidden
            events = self._parser.feed(block)
            if not events:
                return False
            event = events[0]
        read += self._listener.hear(event)
        self._hid = self._hides_usage and self._listener.is_usage_alone(event)
        return self._hid

    def _hold(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self._held_bytes += len(block)
            if self._held_bytes <= _HELD:
                self._held.append(block)


def _object(raw: msgspec.Raw | None) -> dict[str, Any]:
    value: object = None if raw is None else msgspec.json.decode(raw)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
