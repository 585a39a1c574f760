"""The events of ConverseStream to pieces. It knows neither frames nor sockets.

In order: `messageStart`, blocks (`contentBlockStart`, `…Delta`, `…Stop`), `messageStop` with the reason, and last of
all `metadata` with the usage: only after that one is an answer whole.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.bedrock.errors import stream_error
from tidyllm.models.bedrock.eventstream import EXCEPTION
from tidyllm.models.bedrock.fields import FORMAT
from tidyllm.models.bedrock.response import answer_extra
from tidyllm.models.bedrock.stops import finish_reason
from tidyllm.models.bedrock.stream_block import Block, broken
from tidyllm.models.checks import object_in, text_in
from tidyllm.models.piece import Finish, Piece, Start, TextPiece, UsagePiece
from tidyllm.models.pricing_usage import bedrock_usage
from tidyllm.models.sse import Event

__all__ = ["BedrockStreamDecoder"]


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None


class _BlockDelta(msgspec.Struct, gc=False, rename="camel"):
    content_block_index: int
    delta: _Delta


_FREQUENT: Final = msgspec.json.Decoder(_BlockDelta)
_ANY: Final = msgspec.json.Decoder(dict[str, Any])
_STOP: Final = frozenset({"stopReason", "p"})
_KNOWN: Final = frozenset(
    {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}
)
_METADATA: Final = frozenset({"usage", "p"})
"""`p` is padding, so that the length of a frame tells nothing of its text."""


class BedrockStreamDecoder:
    """Implements `StreamDecoder`."""

    __slots__ = ("_blocks", "_finish", "_started", "done")

    def __init__(self) -> None:
        self.done = False
        self._started = False
        self._blocks: dict[int, Block] = {}
        self._finish: Finish | None = None

    def feed(self, event: Event) -> list[Piece]:
        """The pieces in one event.

        :raises BadAnswer: the event is not what the format promises.
        :raises ModelError: the event is an exception of the service.
        """
        if event.name.startswith(EXCEPTION):
            raise stream_error(event.name.removeprefix(EXCEPTION), event.data)
        if self.done or event.name not in _KNOWN:  # what is new there is nothing to us yet
            return []
        if event.name == "contentBlockDelta" and self._started:
            try:
                frequent = _FREQUENT.decode(event.data)
            except (msgspec.DecodeError, RecursionError):
                pass  # garbage: told apart below
            else:
                block = self._blocks.get(frequent.content_block_index)
                if frequent.delta.text is not None and block is not None and block.is_text:
                    return [TextPiece(frequent.delta.text, frequent.content_block_index)]
        return self._rare(event, _decoded(event))

    def _rare(self, event: Event, data: dict[str, Any]) -> list[Piece]:
        """All but the frequent deltas of a text."""
        if event.name == "messageStart":
            if self._started:
                raise broken("a second messageStart")
            self._started = True
            return [Start(format=FORMAT)]
        if not self._started:
            raise broken(f"{event.name!r:.40} before its messageStart")
        match event.name:
            case "contentBlockStart":
                index = _index(data)
                if index in self._blocks:
                    raise broken(f"a second start of block {index}")
                self._blocks[index] = block = Block(index)
                return block.begin(object_in(data, "start"))
            case "contentBlockDelta":
                index = _index(data)
                block = self._blocks.setdefault(index, Block(index))
                return block.add(object_in(data, "delta"))
            case "contentBlockStop":
                block = self._blocks.get(_index(data))
                return [] if block is None else block.end()
            case "messageStop":
                raw = text_in(data, "stopReason") or None
                self._finish = Finish(finish_reason(raw), raw, answer_extra(data, _STOP))
                return []
            case _:
                return self._end(data)

    def _end(self, data: dict[str, Any]) -> list[Piece]:
        if self._finish is None:
            raise broken("a metadata before its messageStop")
        pieces: list[Piece] = []
        for block in self._blocks.values():  # a service that forgets to end its blocks loses none
            pieces += block.end()
        self.done = True
        extra = {**self._finish.extra, **answer_extra(data, _METADATA)}
        pieces.append(UsagePiece(bedrock_usage(object_in(data, "usage"))))
        pieces.append(Finish(self._finish.finish_reason, self._finish.finish_reason_raw, extra))
        return pieces


def _index(data: dict[str, Any]) -> int:
    index: object = data.get("contentBlockIndex")
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise broken(f"an event for block {index!r:.20}")
    return index


def _decoded(event: Event) -> dict[str, Any]:
    try:
        return _ANY.decode(event.data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadAnswer(
            f"the stream holds a {event.name!r:.40} that is no JSON object ({event.data[:80]!r})."
        ) from exc
