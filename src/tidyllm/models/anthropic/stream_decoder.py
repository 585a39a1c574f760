"""The events of Anthropic's streams to pieces. It knows neither bytes nor sockets.

    message_start
    (content_block_start, content_block_delta..., content_block_stop)...
    message_delta, message_stop

`ping` and events of unknown types are passed over, as Anthropic asks its clients to do.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidyllm.models.anthropic.errors import stream_error
from tidyllm.models.anthropic.fields import FORMAT
from tidyllm.models.anthropic.stops import finish_reason
from tidyllm.models.anthropic.stream_block import Block, Delta, broken
from tidyllm.models.anthropic.usage import decode_usage
from tidyllm.models.checks import is_object, text_in
from tidyllm.models.piece import Finish, Piece, Start, UsagePiece
from tidyllm.models.sse import Event

__all__ = ["AnthropicStreamDecoder"]


class _DeltaEvent(msgspec.Struct, tag="content_block_delta", tag_field="type", gc=False):
    index: int
    delta: Delta


_FREQUENT: Final = msgspec.json.Decoder(_DeltaEvent)
_FREQUENT_TYPES = frozenset({"input_json_delta", "text_delta", "thinking_delta"})
_ANY: Final = msgspec.json.Decoder(dict[str, Any])

_MESSAGE = frozenset({"content", "id", "model", "role", "stop_reason", "type", "usage"})
_MESSAGE_DELTA = frozenset({"delta", "type", "usage"})


class AnthropicStreamDecoder:
    """Implements `StreamDecoder`."""

    __slots__ = ("_blocks", "_finish", "_id", "_started", "_usage", "done")

    def __init__(self) -> None:
        self.done = False
        self._started = False
        self._id = ""
        self._blocks: dict[int, Block] = {}
        self._usage: dict[str, Any] = {}
        self._finish = Finish("unknown")

    def feed(self, event: Event) -> list[Piece]:
        """The pieces in one event.

        :raises BadAnswer: the event is not what the format promises.
        :raises ModelError: the event is an error of the provider.
        """
        if self.done or event.name == "ping":
            return []
        if event.name in {"content_block_delta", ""}:
            try:
                frequent = _FREQUENT.decode(event.data)
            except msgspec.DecodeError:
                pass  # something else, or garbage: told apart below
            else:
                return self._block(frequent.index).add(frequent.delta)
        data = _decoded(event)
        kind: object = data.get("type", event.name)
        if kind == "error" or event.name == "error" or ("type" not in data and "error" in data):
            raise stream_error(data)
        match kind:
            case "content_block_delta":
                delta: object = data.get("delta")
                if not is_object(delta) or text_in(delta, "type") in _FREQUENT_TYPES:
                    raise broken(f"a delta that cannot be read ({event.data[:80]!r})")
                return self._block(data.get("index")).add_other(delta)
            case "content_block_start":
                return self._begin(data)
            case "content_block_stop":
                return self._block(data.get("index")).end()
            case "message_start":
                return self._message_start(data)
            case "message_delta":
                return self._message_delta(data)
            case "message_stop":
                return self._message_stop()
            case _:
                return []

    def _message_start(self, data: dict[str, Any]) -> list[Piece]:
        message: object = data.get("message")
        if not is_object(message) or self._started:
            raise broken("a message_start without its message, or a second one")
        self._started = True
        extra = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
        self._id = text_in(message, "id")
        return [
            Start(text_in(message, "model"), self._id, extra, format=FORMAT),
            *self._used(message.get("usage")),
        ]

    def _begin(self, data: dict[str, Any]) -> list[Piece]:
        block: object = data.get("content_block")
        index: object = data.get("index")
        if not (self._started and is_object(block) and isinstance(index, int)) or index in self._blocks:
            raise broken(f"a content_block_start out of place (index {index!r:.20})")
        begun = self._blocks[index] = Block(index, block)
        if text_in(block, "type") == "fallback" and is_object(served := block.get("to")):
            return [
                Start(text_in(served, "model"), self._id, format=FORMAT)
            ]  # another model answers from here on
        return begun.begin()

    def _block(self, index: object) -> Block:
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:
            raise broken(f"an event for block {index!r:.20}, which never began")
        return block

    def _message_delta(self, data: dict[str, Any]) -> list[Piece]:
        delta: object = data.get("delta")
        if not (self._started and is_object(delta)):
            raise broken("a message_delta out of place")
        extra = {key: value for key, value in delta.items() if key != "stop_reason" and value is not None}
        extra |= {k: v for k, v in data.items() if k not in _MESSAGE_DELTA and v is not None}
        reason = text_in(delta, "stop_reason") or None
        self._finish = Finish(finish_reason(reason), reason, extra)
        return self._used(data.get("usage"))

    def _message_stop(self) -> list[Piece]:
        if not self._started:
            raise broken("a message_stop before its message_start")
        pieces: list[Piece] = []
        for block in self._blocks.values():  # a server that forgets to end its blocks loses none
            pieces += block.end()
        self.done = True
        return [*pieces, self._finish]

    def _used(self, usage: object) -> list[Piece]:
        """Counts are totals up to now: a later one replaces an earlier one."""
        if not is_object(usage):
            return []
        self._usage = {**self._usage, **{key: value for key, value in usage.items() if value is not None}}
        return [UsagePiece(decode_usage(self._usage))]


def _decoded(event: Event) -> dict[str, Any]:
    try:
        return _ANY.decode(event.data)
    except (msgspec.DecodeError, RecursionError) as exc:
        if event.name == "error":  # a proxy's words instead of the provider's
            raise stream_error({"error": {"message": event.data[:300]}}) from exc
        raise broken(f"an event that is no JSON object ({event.data[:80]!r})") from exc
