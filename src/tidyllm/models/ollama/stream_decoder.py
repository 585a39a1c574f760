"""The lines of Ollama's streams to pieces. It knows neither bytes nor sockets.

Each line is a JSON object with a bit of the message; the last one has `done: true`, the reason and the counts.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.ollama.errors import error_in
from tidyllm.models.ollama.response import answer_extra, decode_call, decode_usage, finish_reason
from tidyllm.models.piece import Finish, Piece, Start, TextPiece, ThinkingPiece, ToolCallPiece, UsagePiece
from tidyllm.models.sse import Event

__all__ = ["OllamaStreamDecoder"]


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    done: bool = False
    logprobs: list[Any] | None = None
    error: Any = None


_LINE: Final = msgspec.json.Decoder(_Line)
_WHOLE: Final = msgspec.json.Decoder(dict[str, Any])


class OllamaStreamDecoder:
    """Implements `StreamDecoder`."""

    __slots__ = ("_calls_tools", "_index", "_kind", "_started", "done")

    def __init__(self) -> None:
        self.done = False
        self._started = False
        self._kind: type[Piece] | None = None
        self._index = -1
        self._calls_tools = False

    def feed(self, event: Event) -> list[Piece]:
        """The pieces in one line.

        :raises BadAnswer: the line is not what the format promises.
        :raises ModelError: the line is an error of the server.
        """
        if self.done:
            return []
        try:
            line = _LINE.decode(event.data)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise BadAnswer(
                f"the stream holds a line that is no answer of Ollama's: {event.data[:80]!r}."
            ) from exc
        if not self._started or line.done or line.error is not None:
            return self._rare(line, _WHOLE.decode(event.data))
        return self._said(line)

    def _rare(self, line: _Line, data: dict[str, Any]) -> list[Piece]:
        """The first line, the last one, and errors."""
        if (error := error_in(data)) is not None:
            raise error
        if line.message is None and not line.done:
            raise BadAnswer(
                "the stream holds a line without `message`; expected the answers of Ollama's chat."
            )
        pieces: list[Piece] = []
        if not self._started:
            self._started = True
            model: object = data.get("model")
            extra = {key: value for key, value in answer_extra(data).items() if key != "logprobs"}
            pieces.append(Start(model if isinstance(model, str) else "", extra=extra, format="ollama"))
        pieces += self._said(line)
        if line.done:
            self.done = True
            raw: object = data.get("done_reason")
            reason = raw if isinstance(raw, str) and raw else None
            pieces.append(UsagePiece(decode_usage(data)))
            pieces.append(Finish(finish_reason(reason, calls_tools=self._calls_tools), reason))
        return pieces

    def _said(self, line: _Line) -> list[Piece]:
        pieces: list[Piece] = []
        message = line.message
        if message is None:
            return pieces
        if message.thinking:
            pieces.append(ThinkingPiece(message.thinking, self._part(ThinkingPiece)))
        if message.content or line.logprobs:
            extra = {"logprobs": line.logprobs} if line.logprobs else {}
            pieces.append(TextPiece(message.content or "", self._part(TextPiece), extra))
        for data in message.tool_calls or ():
            call = decode_call(data)
            self._calls_tools = True
            self._kind = None  # each call is a part of its own, and so is the text after it
            pieces.append(ToolCallPiece(self._part(ToolCallPiece), call.id, call.name, call.raw_arguments))
            self._kind = None
        return pieces

    def _part(self, kind: type[Piece]) -> int:
        """The index of the part that goes on with this kind of piece."""
        if kind is not self._kind:
            self._kind = kind
            self._index += 1
        return self._index
