"""Callers of each format with its official SDK: what they read of an answer, and how they send it back. No recordings.

with Replay(played) as server, caller("anthropic", server) as anyone:
    told = anyone.read(7, stream=True)
    told.text, told.calls, told.turn
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from anthropic import Anthropic
from anthropic.types.beta import BetaMessage
from openai import OpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as ResponsesAnswer

from tests.replay import Replay
from tidyllm.models.fold import unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.piece import Piece
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

__all__ = ["Caller", "Told", "caller", "encoded", "pieces_of", "played"]

Usage = tuple[int, int, int]
"""Tokens of the whole prompt, of the answer, and those read from a cache; 0 where it is not said."""


@dataclass(frozen=True)
class Told:
    """An answer as a caller's SDK reads it."""

    text: str
    reasoning: str
    calls: list[tuple[str, str, Any]]
    """Id, name and decoded arguments."""
    finish: str
    """In our words."""
    usage: Usage
    turn: list[dict[str, Any]]
    """The messages, or items, that the caller adds to its conversation for this answer."""


@dataclass(frozen=True)
class Caller:
    """Someone with an SDK."""

    read_one: Callable[[int, bool], Any]
    tell: Callable[[Any], Told]

    def read(self, number: int, *, stream: bool) -> Told:
        """The answer that the server plays under this number, whole or joined from its stream by the SDK."""
        return self.tell(self.read_one(number, stream))


@contextmanager
def caller(format: str, server: Replay) -> Generator[Caller]:
    """A caller of this format at this server."""
    if format == "anthropic":
        with Anthropic(base_url=server.base_url, api_key="any", max_retries=0) as sdk:
            yield Caller(lambda number, stream: _ask_messages(sdk, number, stream), _told_messages)
        return
    with OpenAI(base_url=f"{server.base_url}/v1", api_key="any", max_retries=0) as openai:
        if format == "openai_chat":
            yield Caller(lambda number, stream: _ask_chat(openai, number, stream), _told_chat)
        else:
            yield Caller(lambda number, stream: _ask_responses(openai, number, stream), _told_responses)


def pieces_of(format: str, body: bytes) -> list[Piece]:
    """The pieces of a whole stream."""
    parser, decoder = EventParser(), wire_format(format).stream_decoder()
    found = [piece for event in [*parser.feed(body), *parser.close()] for piece in decoder.feed(event)]
    assert decoder.done
    return found


def encoded(format: str, pieces: Iterable[Piece]) -> bytes:
    """The stream that tells these pieces to a caller who asked for the usage."""
    wanted = Request("q", model="asked", extra={"stream_options": {"include_usage": True}})
    encoder = wire_format(format).stream_encoder(wanted)
    return b"".join(encoder.feed(piece) for piece in pieces) + encoder.end()


def played(
    format: str, answer: Response, *, stream: bool, pieces: list[Piece] | None = None
) -> dict[str, Any]:
    """What a server plays to tell this answer to a caller of the format."""
    if not stream:
        body = wire_format(format).encode_response(answer)
        return {"status": 200, "headers": {"content-type": "application/json"}, "body_json": body}
    body = encoded(format, unfold(answer) if pieces is None else pieces).decode()
    return {"status": 200, "headers": {"content-type": "text/event-stream"}, "body": body}


# -- chat completions

_CHAT_FINISH = {"content_filter": "refused"}


def _ask_chat(sdk: OpenAI, number: int, stream: bool) -> ChatCompletion:
    play = {"x-play": str(number)}
    if not stream:
        return sdk.chat.completions.create(model="any", messages=[], extra_headers=play)
    state = ChatCompletionStreamState()
    usage = None
    for chunk in sdk.chat.completions.create(model="any", messages=[], stream=True, extra_headers=play):
        list(state.handle_chunk(chunk))
        usage = chunk.usage or usage
    state.current_completion_snapshot.usage = usage
    return state.current_completion_snapshot


def _told_chat(completion: ChatCompletion) -> Told:
    choice = completion.choices[0]
    message = choice.message
    beside = message.model_extra or {}
    calls: list[dict[str, Any]] = []
    for call in message.tool_calls or []:
        data: dict[str, Any] = call.to_dict()
        kind = data["type"]
        words = "input" if kind == "custom" else "arguments"
        inner = {key: data[kind][key] for key in ("name", words)}
        calls.append({"id": data["id"], "type": kind, kind: inner})
    turn: dict[str, Any] = {"role": "assistant", "content": message.content}
    if calls:
        turn["tool_calls"] = calls
    if message.refusal:
        turn["refusal"] = message.refusal
    turn |= {name: beside[name] for name in ("reasoning_content", "reasoning_details") if name in beside}
    used = completion.usage
    cached = used.prompt_tokens_details.cached_tokens if used and used.prompt_tokens_details else None
    functions = [(call["id"], call["type"], call[call["type"]]) for call in calls]
    return Told(
        message.content or "",
        beside.get("reasoning_content") or "",
        [
            (id, inner["name"], _json(inner.get("arguments", inner.get("input"))))
            for id, _, inner in functions
        ],
        _CHAT_FINISH.get(choice.finish_reason, choice.finish_reason),
        (used.prompt_tokens, used.completion_tokens, cached or 0) if used else (0, 0, 0),
        [turn],
    )


# -- responses

_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "refused"}


def _ask_responses(sdk: OpenAI, number: int, stream: bool) -> ResponsesAnswer:
    play = {"x-play": str(number)}
    if not stream:
        return sdk.responses.create(model="any", input="any", extra_headers=play)
    with sdk.responses.stream(model="any", input="any", extra_headers=play) as events:
        last: Any = list(events)[-1]
        # The SDK joins only streams that end well; of the others it gives the last event.
        return events.get_final_response() if last.type == "response.completed" else last.response


def _told_responses(answer: ResponsesAnswer) -> Told:
    output: list[dict[str, Any]] = [_without_parsed(item.to_dict()) for item in answer.output]
    calls = [item for item in output if item["type"] == "function_call"]
    parts: list[dict[str, Any]] = [part for item in output for part in item.get("summary", [])]
    contents: list[dict[str, Any]] = [part for item in output for part in item.get("content") or ()]
    refused = any(part["type"] == "refusal" for part in contents)
    finish = "tool_calls" if calls else "refused" if refused else "stop"
    if answer.status == "incomplete":
        reason = answer.incomplete_details.reason if answer.incomplete_details else ""
        finish = _INCOMPLETE.get(str(reason), str(reason))
    elif answer.status != "completed":
        finish = "error"
    used = answer.usage
    return Told(
        answer.output_text,
        "".join(part["text"] for part in parts),
        [(call["call_id"], call["name"], _json(call["arguments"])) for call in calls],
        finish,
        (used.input_tokens, used.output_tokens, used.input_tokens_details.cached_tokens)
        if used
        else (0, 0, 0),
        output,
    )


def _without_parsed(item: dict[str, Any]) -> dict[str, Any]:
    """The item without what the SDK's stream has put into it."""
    item.pop("parsed_arguments", None)
    content: list[dict[str, Any]] = item.get("content") or []
    for part in content:
        part.pop("parsed", None)
    return item


# -- messages

_STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
    "pause_turn": "paused",
}


def _ask_messages(sdk: Anthropic, number: int, stream: bool) -> BetaMessage:
    ask: dict[str, Any] = {
        "model": "any",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "q"}],
        "extra_headers": {"x-play": str(number)},
    }
    if not stream:
        return cast("BetaMessage", sdk.beta.messages.create(**ask))
    with sdk.beta.messages.stream(**ask) as events:
        return cast("BetaMessage", events.get_final_message())


def _told_messages(message: BetaMessage) -> Told:
    blocks: list[dict[str, Any]] = [block.to_dict() for block in message.content]
    for block in blocks:
        block.pop("parsed_output", None)  # the SDK's stream has put it there
    used = message.usage
    written, read = used.cache_creation_input_tokens or 0, used.cache_read_input_tokens or 0
    return Told(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        "".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"],
        _STOPS.get(message.stop_reason or "", str(message.stop_reason)),
        (used.input_tokens + written + read, used.output_tokens, read),
        [{"role": "assistant", "content": blocks}],
    )


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
