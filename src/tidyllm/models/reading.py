"""Reading an answer off the wire: whole, as pieces, or as events to be passed on. It knows how answers end and break.

The generators give batches: what one chunk of the network brought. What stood before a fault in it is given out first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidyllm.core import Alarm
from tidyllm.errors import BadAnswer, ModelError, TimeoutExceeded, Unreachable
from tidyllm.models.fold import unfold
from tidyllm.models.format import ProviderFormat
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward, ForwardedPiece
from tidyllm.models.http import HTTPAnswer
from tidyllm.models.jsonl import LineParser
from tidyllm.models.passthrough import StreamPassthrough, whole_answer
from tidyllm.models.piece import Finish, Piece, Start, UsagePiece
from tidyllm.models.sse import EventParser

if TYPE_CHECKING:
    from tidyllm.models.bedrock.eventstream import FrameParser

__all__ = ["ContentReader", "error_body", "json_object", "read_events", "read_pieces"]

_ERROR_BYTES = 64 * 1024
"""How much of the body of an error is read: it holds a few hundred bytes, or a proxy's page."""
_DRAIN_SECONDS = 0.2


async def read_pieces(answer: HTTPAnswer, format: ProviderFormat) -> AsyncGenerator[Sequence[Piece], None]:
    """The pieces of a stream in `format`, until its end marker.

    A server that does not stream answers whole even when asked for a stream: then all pieces come at once.

    :raises ModelError: the stream holds an error, broke, or ended before its end marker.
    """
    if _is_whole(answer):
        yield unfold(format.decode_response(json_object(await answer.read())))
        return
    parser = _parser(format.name)
    decoder = format.stream_decoder()
    received = _Received(answer)
    async for chunk in received.chunks:
        received.note(chunk)
        batch: list[Piece] = []
        try:
            for event in parser.feed(chunk):
                batch += decoder.feed(event)
        except ModelError:
            if batch:
                yield batch
            raise
        if batch:
            received.understood = True
            yield batch
        if decoder.done:
            await received.drain()
            return
    last: list[Piece] = []
    for event in parser.close():
        last += decoder.feed(event)
    close = cast("Callable[[], list[Piece]] | None", getattr(decoder, "close", None))
    if close is not None and not decoder.done:
        last += close()  # some servers leave the end marker out
    if last:
        yield last
    if not decoder.done:
        raise received.ended_early()


async def read_events(
    answer: HTTPAnswer, call: Forward, *, hides_usage: bool
) -> AsyncGenerator[Sequence[ForwardedPiece], None]:
    """The events of a stream in the caller's own format, until its end marker.

    :raises ModelError: as `read_pieces`.
    """
    if _is_whole(answer):
        yield [_as_stream(await answer.read(), call)]
        return
    passthrough = StreamPassthrough(call.format, hides_usage=hides_usage)
    received = _Received(answer)
    async for chunk in received.chunks:
        received.note(chunk)
        piece = passthrough.feed(chunk)
        if piece is not None:
            received.understood = True
            yield (piece,)
        if passthrough.fault is not None:
            raise passthrough.fault
        if passthrough.done:
            await received.drain()
            return
    piece = passthrough.close()
    if piece is not None:
        yield (piece,)
    if passthrough.fault is not None:
        raise passthrough.fault
    if not passthrough.done:
        raise received.ended_early()


def _parser(format: str) -> LineParser | EventParser | FrameParser:
    """What cuts the bytes of a stream in this format into events."""
    if format == "bedrock":
        from tidyllm.models.bedrock.eventstream import FrameParser

        return FrameParser()
    return LineParser() if format == "ollama" else EventParser()


def json_object(body: bytes) -> dict[str, Any]:
    """:raises BadAnswer: the body is no JSON object."""
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        if not body.strip():
            raise BadAnswer("the answer is empty.") from error
        raise BadAnswer(f"the answer is not JSON ({error}): it begins with {body[:80]!r}.") from error
    if not isinstance(value, dict):
        raise BadAnswer(f"the answer is {type(value).__name__} where a JSON object was expected.")
    return cast("dict[str, Any]", value)


async def error_body(answer: HTTPAnswer) -> bytes:
    """The beginning of the body of an error, as far as it comes: the status says more than a connection that broke."""
    parts: list[bytes] = []
    size = 0
    try:
        async for chunk in answer.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size >= _ERROR_BYTES:
                break
    except ModelError:
        pass
    return b"".join(parts)[:_ERROR_BYTES]


class _Received:
    """The bytes of a stream as they come, and what can be said when they end."""

    def __init__(self, answer: HTTPAnswer) -> None:
        self.chunks: AsyncIterator[bytes] = answer.chunks()
        self.understood = False
        self._head = b""
        self._type = answer.headers.get("content-type", "")

    def note(self, chunk: bytes) -> None:
        if len(self._head) < 80:
            self._head = (self._head + chunk)[:80]

    def ended_early(self) -> ModelError:
        """The error for a stream that ended without its end marker."""
        if self.understood:
            return Unreachable(
                "the provider closed the stream before its end marker.",
                hint="The answer is incomplete; try again.",
            )
        if not self._head:
            return BadAnswer("the answer is empty.")
        return BadAnswer(
            f"the answer ({self._type or 'no content-type'}) is no stream: it begins with {self._head!r}."
        )

    async def drain(self) -> None:
        """Read what little follows an end marker, so that the connection can be used again; give up after 0.2 s."""
        try:
            with Alarm(_DRAIN_SECONDS, "total", _DRAIN_SECONDS, "the end of a stream"):
                async for _ in self.chunks:
                    pass
        except (TimeoutExceeded, ModelError):
            pass  # the answer is whole; only the connection is lost


def _is_whole(answer: HTTPAnswer) -> bool:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _as_stream(body: bytes, call: Forward) -> ForwardedPiece:
    """A whole answer as the stream that the caller asked for."""
    whole_answer(call, body)  # errors are told in the words of the endpoint
    format = wire_format(call.format)
    encoder = format.stream_encoder(call.request(), call.fields)
    pieces = unfold(format.decode_response(json_object(body)))
    data = b"".join(map(encoder.feed, pieces)) + encoder.end()
    return ForwardedPiece(data, tuple(one for one in pieces if isinstance(one, Start | UsagePiece | Finish)))


class ContentReader:
    """Decodes the events of a stream that is passed on, for those who record content. It never breaks the stream."""

    def __init__(self, format: str) -> None:
        self._parser = EventParser()
        self._decoder = wire_format(format).stream_decoder()
        self._works = True

    def read(self, piece: ForwardedPiece) -> list[Piece]:
        """What is known of these events anyway, and the content in them."""
        found = list(piece.pieces)
        if self._works:
            try:
                for event in self._parser.feed(piece.data):
                    found += [
                        one
                        for one in self._decoder.feed(event)
                        if not isinstance(one, (Start, UsagePiece, Finish))
                    ]
            except ModelError:
                self._works = False
        # The end of the answer comes after its content.
        found.sort(key=lambda one: isinstance(one, Finish))
        return found
