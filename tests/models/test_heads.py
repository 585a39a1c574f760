"""What a stream says before the answer begins: retries, other targets and the first piece's clock go on until then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.models.raw_server import Connection, Server, serve
from tests.models.upstreams import MESSAGE, data, forward, frames, model_at, named, stream_head
from tidyllm import Fallback, Hedge, Retry, Timeout, step
from tidyllm.core import Step
from tidyllm.core.head import MOST_HEADS
from tidyllm.errors import Overloaded, StreamInterrupted, TimeoutExceeded
from tidyllm.models.forward import ForwardedPiece
from tidyllm.models.piece import Start, UsagePiece
from tidyllm.testing import FakeClock


def chat(**delta: Any) -> bytes:
    return data({"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})


def event(kind: str, **fields: Any) -> bytes:
    return named({"type": kind, **fields})


ANSWER: dict[str, Any] = {"id": "r", "model": "m", "status": "in_progress", "output": []}
ITEM: dict[str, Any] = {
    "type": "message",
    "id": "i",
    "role": "assistant",
    "status": "in_progress",
    "content": [],
}
BUSY = {"type": "overloaded_error", "message": "Overloaded"}
HEADS: dict[str, bytes] = {
    "openai_chat": data({"id": "c", "choices": [], "prompt_filter_results": [{}]})
    + chat(role="assistant", content="", refusal=None),
    "openai_responses": event("response.created", response=ANSWER)
    + event("response.in_progress", response=ANSWER),
    "anthropic": event("message_start", message={**MESSAGE, "content": [], "stop_reason": None})
    + event("ping")
    + event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
}
ERRORS: dict[str, bytes] = {
    "openai_chat": data({"error": {"message": "Overloaded", "code": 503}}),
    "openai_responses": event("error", code="server_is_overloaded", message="Overloaded"),
    "anthropic": event("error", error=BUSY),
}
RESTS: dict[str, bytes] = {
    "openai_chat": chat(content="Hello.")
    + data({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    + data("[DONE]"),
    "openai_responses": event("response.output_item.added", output_index=0, item=ITEM)
    + event("response.output_text.delta", output_index=0, content_index=0, item_id="i", delta="Hello.")
    + event("response.completed", response={**ANSWER, "status": "completed"}),
    "anthropic": event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello."})
    + event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 1})
    + event("message_stop"),
}
KINDS = {"openai_chat": "openai", "openai_responses": "openai-responses", "anthropic": "anthropic"}
CASES = [pytest.param(format, passed, id=f"{format}-{passed}") for format in KINDS for passed in (0, 1)]


def asked_at(server: Server, format: str) -> Any:
    return model_at(server, KINDS[format], formats=(format,))


def request_in(format: str, passed: bool) -> Any:
    return forward(b"{}", format, stream=True) if passed else "Hi"


def plays(*answers: bytes) -> Callable[[Connection], Any]:
    """Answers streams in order; what does not end stays open and says nothing more."""
    left = list(answers)

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            said = left.pop(0)
            ends = said.endswith((RESTS["openai_chat"], RESTS["openai_responses"], RESTS["anthropic"]))
            await connection.write(stream_head() + frames(said, end=ends))
            if not ends:
                await connection.left()
                return

    return handler


def first_word(format: str) -> int:
    """Where the event with the text ends."""
    return RESTS[format].index(b"\n\n", RESTS[format].index(b"Hello.")) + 2


def text_of(pieces: list[Any]) -> str:
    data = b"".join(piece.data for piece in pieces if isinstance(piece, ForwardedPiece))
    return data.decode() or "".join(piece.text for piece in pieces)


@pytest.mark.parametrize(("format", "passed"), CASES)
async def test_an_error_after_the_head_is_tried_again_and_the_head_comes_once(
    format: str, passed: bool
) -> None:
    head, rest = HEADS[format], RESTS[format]
    async with serve(plays(head + ERRORS[format], head + rest)) as server:
        asked = Retry(asked_at(server, format), attempts=2, base=0)
        pieces = [piece async for piece in asked.stream(request_in(format, passed))]
    assert len(server.requests) == 2
    assert text_of(pieces) == ((head + rest).decode() if passed else "Hello.")
    assert sum(isinstance(piece, Start) for piece in pieces) == (0 if passed else 1)


@pytest.mark.parametrize(("format", "passed"), CASES)
async def test_it_falls_back_and_without_wrappers_says_what_it_is(format: str, passed: bool) -> None:
    head, rest = HEADS[format], RESTS[format]
    async with serve(plays(*[head + ERRORS[format]] * 2)) as busy, serve(plays(head + rest)) as well:
        asked = Fallback(asked_at(busy, format), asked_at(well, format))
        pieces = [piece async for piece in asked.stream(request_in(format, passed))]
        assert "Hello." in text_of(pieces)
        with pytest.raises(Overloaded):
            async for _ in asked_at(busy, format).stream(request_in(format, passed)):
                pass


@pytest.mark.parametrize(("format", "passed"), CASES)
@pytest.mark.parametrize("clocks", [{"first_piece": 5}, {"gap": 5}, {"first_piece": 5, "gap": 90}])
async def test_a_stall_after_the_head_is_tried_again(
    format: str, passed: bool, clocks: dict[str, Any]
) -> None:
    head, rest = HEADS[format], RESTS[format]
    with FakeClock(autojump=True, threshold=0.02):
        async with serve(plays(head, head + rest)) as server:
            asked = Retry(Timeout(asked_at(server, format), **clocks), attempts=2, base=0)
            pieces = [piece async for piece in asked.stream(request_in(format, passed))]
    assert "Hello." in text_of(pieces)


@pytest.mark.parametrize(("format", "passed"), CASES)
async def test_the_first_word_passes_before_the_next_one_is_sent(format: str, passed: bool) -> None:
    acknowledged = asyncio.Event()
    cut = first_word(format)

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(HEADS[format], RESTS[format][:cut], end=False))
        await acknowledged.wait()
        await connection.write(frames(RESTS[format][cut:]))

    async with serve(handler) as server:
        asked = Fallback(Retry(Timeout(asked_at(server, format), first_piece=50, gap=50)))
        async for piece in asked.stream(request_in(format, passed)):
            if "Hello." in text_of([piece]):
                acknowledged.set()
    assert acknowledged.is_set()


@pytest.mark.parametrize(("format", "passed"), CASES)
async def test_after_the_first_word_nothing_is_started_over(format: str, passed: bool) -> None:
    async with serve(plays(HEADS[format] + RESTS[format][: first_word(format)] + ERRORS[format])) as server:
        with pytest.raises(StreamInterrupted):
            async for _ in Fallback(Retry(asked_at(server, format))).stream(request_in(format, passed)):
                pass
    assert len(server.requests) == 1


async def test_a_clock_for_the_first_piece_tells_its_setting_whenever_heads_came() -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(HEADS["anthropic"], end=False))
        await connection.left()

    with FakeClock(autojump=True, threshold=0.02):
        async with serve(handler) as server:
            with pytest.raises(TimeoutExceeded, match="no first piece within 7 s"):
                async for _ in Timeout(asked_at(server, "anthropic"), first_piece=7).stream("Hi"):
                    pass


WRAPPERS: list[Callable[[Step[Any, Any]], Step[Any, Any]]] = [
    Retry,
    Fallback,
    lambda inner: Hedge(inner, delay=9),
]


class Told(msgspec.Struct):
    number: int
    is_head: bool = True


async def many_heads(x: int) -> Any:
    for number in range(x):
        yield Told(number)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("count", [0, 1, MOST_HEADS, MOST_HEADS + 1, 3 * MOST_HEADS])
async def test_no_head_is_lost_or_moved_however_many_there_are(wrapper: Any, count: int) -> None:
    pieces = [piece.number async for piece in wrapper(step(many_heads)).stream(count)]
    assert pieces == list(range(count))


def test_usage_and_who_answers_are_heads() -> None:
    assert Start().is_head
    assert UsagePiece.is_head
