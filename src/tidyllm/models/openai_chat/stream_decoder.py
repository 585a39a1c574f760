"""The events of a stream to pieces. It knows neither bytes nor time.

The end marker is `data: [DONE]`; what came before it decides nothing, because some servers send usage after the finish
reason, some send the reason twice and some never. Therefore `Finish` is given when the marker comes.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.checks import Misfit, array, is_object, object_, text, text_in
from tidyllm.models.message import Opaque
from tidyllm.models.openai_chat.decode_content import decode_parts
from tidyllm.models.openai_chat.decode_response import audio_part, refusal_part
from tidyllm.models.openai_chat.errors import answer_error
from tidyllm.models.openai_chat.marks import FORMAT
from tidyllm.models.openai_chat.stream_parts import Calls, Places, Thoughts
from tidyllm.models.openai_chat.tool_calls import is_hollow
from tidyllm.models.openai_chat.usage import usage_in
from tidyllm.models.openai_chat.words import finish_reason
from tidyllm.models.piece import Finish, Piece, Start, TextPiece, UsagePiece, WholePart
from tidyllm.models.sse import Event

__all__ = ["ChatStreamDecoder"]

_DONE = "[DONE]"
_USUAL = frozenset({
    "choices", "created", "id", "model", "object", "obfuscation", "provider", "service_tier", "system_fingerprint",
    "usage",
})  # fmt: skip
_NOT_TOLD = frozenset({"choices", "id", "model", "object", "obfuscation", "usage"})
_OF_CHOICE = frozenset({"delta", "finish_reason", "index", "logprobs"})
_decode = msgspec.json.Decoder().decode


class ChatStreamDecoder:
    """Decodes one stream. Only the first choice is read; a request of ours never streams several."""

    __slots__ = (
        "_audio", "_calls", "_done", "_finish", "_of_body", "_of_choice", "_of_message", "_places", "_refusal",
        "_started", "_text", "_thoughts",
    )  # fmt: skip

    def __init__(self) -> None:
        self._done = False
        self._started = False
        self._text = -1  # the place of the text, once there is one
        self._finish: str | None = None
        self._places = Places()
        self._thoughts = Thoughts(self._places)
        self._calls = Calls(self._places)
        self._refusal: list[str] = []
        self._audio: dict[str, Any] = {}
        self._of_body: dict[str, Any] = {}
        self._of_choice: dict[str, Any] = {}
        self._of_message: dict[str, Any] = {}

    @property
    def done(self) -> bool:
        """Whether the end marker was seen."""
        return self._done

    def feed(self, event: Event) -> list[Piece]:
        """The pieces in one event, often one. What follows the end marker is passed over.

        :raises BadAnswer: the event is no chunk of an answer, or the end marker comes before any.
        :raises ModelError: the event is the provider's own error.
        """
        if self._done:
            return []
        data = event.data
        if data.startswith(_DONE):
            return self._end()
        try:
            chunk: object = _decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadAnswer(
                f"an event of the stream is not JSON ({error}): it begins with {data[:80]!r}."
            ) from error
        try:
            return self._chunk(object_(chunk, "the event"), event.name)
        except Misfit as misfit:
            raise misfit.answer() from None

    def close(self) -> list[Piece]:
        """The last pieces of a server that leaves out the end marker; none if the answer was not finished.

        Call it only when the connection ended as HTTP says it should: a cut inside the answer looks the same here.
        """
        return [] if self._done or self._finish is None else self._end()

    def _chunk(self, chunk: dict[str, Any], name: str) -> list[Piece]:
        if chunk.get("error"):
            raise answer_error(chunk)
        choices: object = chunk.get("choices")
        pieces: list[Piece] = []
        if choices:
            if not self._started:
                pieces.append(self._start(chunk))
            for choice in array(choices, "choices"):
                if not is_object(choice):
                    raise Misfit("choices[0]", "an object", cast(object, choice))
                if not choice.get("index"):
                    self._choice(choice, pieces)
        elif name == "error":
            raise answer_error({"error": chunk})
        elif "choices" not in chunk and not chunk.get("usage"):
            raise Misfit("choices", "an array", ...)
        if not chunk.keys() <= _USUAL or not choices:
            self._more(chunk)
        if chunk.get("usage") or "x_groq" in chunk:
            usage = usage_in(chunk)
            if usage is not None:
                pieces.append(UsagePiece(usage))
        return pieces

    def _start(self, chunk: dict[str, Any]) -> Start:
        self._started = True
        told, self._of_body = {**self._of_body, **_told(chunk, _NOT_TOLD)}, {}
        return Start(text_in(chunk, "model"), text_in(chunk, "id"), told, format=FORMAT)

    def _more(self, chunk: dict[str, Any]) -> None:
        """Fields of the body that came late: a moderation, the tier that served, a provider's own object."""
        self._of_body.update(_told(chunk, _NOT_TOLD))
        self._of_body.pop("created", None)

    def _choice(self, choice: dict[str, Any], pieces: list[Piece]) -> None:
        delta: object = choice.get("delta")
        if delta:
            delta = object_(delta, "choices[0].delta")
            content: object = delta.get("content")
            if len(delta) == 1 and type(content) is str:  # the hot path
                if content:
                    pieces.append(TextPiece(content, self._text if self._text >= 0 else self._text_place()))
            else:
                self._delta(delta, pieces)
        if finish := choice.get("finish_reason"):
            self._finish = text(finish, "choices[0].finish_reason")
        if logprobs := choice.get("logprobs"):
            tokens = logprobs.get("content") if is_object(logprobs) else None
            if tokens and isinstance(tokens, list):
                pieces.append(TextPiece("", self._text_place(), {"logprobs": tokens}))
        if not choice.keys() <= _OF_CHOICE:
            if choice.get("error"):  # OpenRouter, when the provider behind it broke off
                raise answer_error(choice)
            self._of_choice.update(_told(choice, _OF_CHOICE))

    def _text_place(self) -> int:
        if self._text < 0:
            self._text = self._places.take()
        return self._text

    def _delta(self, delta: dict[str, Any], pieces: list[Piece]) -> None:
        self._thoughts.add(delta, pieces)
        for key, value in delta.items():
            if not value or key == "role" or key in Thoughts.FIELDS:
                continue
            if key == "content":
                self._content(value, pieces)
            elif key == "tool_calls":
                for call in array(value, "choices[0].delta.tool_calls"):
                    self._calls.add(object_(call, "choices[0].delta.tool_calls[]"), pieces)
            elif key == "function_call":
                self._calls.add_old(object_(value, "choices[0].delta.function_call"), pieces)
            elif key == "refusal":
                self._refusal.append(text(value, "choices[0].delta.refusal"))
            elif key == "audio":
                self._hear(object_(value, "choices[0].delta.audio"))
            elif key == "annotations" and isinstance(value, list):
                pieces.append(TextPiece("", self._text_place(), {"annotations": value}))
            elif not is_hollow(value):
                self._note(key, value)

    def _note(self, key: str, value: object) -> None:
        """A field of the message that is no part of ours: lists add up, anything else is replaced."""
        held: object = self._of_message.get(key)
        if isinstance(held, list) and isinstance(value, list):
            value = [*cast("list[object]", held), *cast("list[object]", value)]
        self._of_message[key] = value

    def _content(self, content: object, pieces: list[Piece]) -> None:
        if isinstance(content, str):
            pieces.append(TextPiece(content, self._text_place()))
            return
        for i, entry in enumerate(array(content, "choices[0].delta.content")):
            part = object_(entry, f"choices[0].delta.content[{i}]")
            if part.get("type") == "text":
                words = text(part.get("text", ...), f"choices[0].delta.content[{i}].text")
                if words:
                    pieces.append(TextPiece(words, self._text_place()))
            elif part.get("type") == "thinking":
                self._thoughts.add_part(decode_parts([part], "choices[0].delta.content")[0], pieces)
            else:
                pieces.append(WholePart(Opaque(format="openai_chat", data=part), self._places.take()))

    def _hear(self, audio: dict[str, Any]) -> None:
        for key, value in audio.items():
            if key in {"data", "transcript"} and isinstance(value, str):
                self._audio[key] = self._audio.get(key, "") + value
            elif value is not None:
                self._audio[key] = value

    def _end(self) -> list[Piece]:
        if not self._started:
            raise BadAnswer("the stream ended without an answer: its end marker came before any choice.")
        self._calls.check()
        self._done = True
        pieces: list[Piece] = []
        if self._refusal:
            pieces.append(WholePart(refusal_part("".join(self._refusal)), self._places.take()))
        if not is_hollow(self._audio):
            pieces.append(WholePart(audio_part(self._audio), self._places.take()))
        extra = self._of_body
        if self._of_choice:
            extra["choice"] = self._of_choice
        if self._of_message:
            extra["message"] = self._of_message
        reason = finish_reason(self._finish, refused=bool(self._refusal))
        pieces.append(Finish(reason, self._finish, extra))
        return pieces


def _told(data: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in known and not is_hollow(value)}
