"""A model asked for its answer in pieces, over a real socket: what arrives, and what a reader gets when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.models.raw_server import Connection, answer, serve
from tests.models.upstreams import (
    CHAT,
    CHAT_STREAM,
    chat_chunk,
    data,
    forward,
    frames,
    json_body,
    model_at,
    named,
    play,
    stream_head,
)
from tidyllm import Context, Fallback, Retry, Timeout, model
from tidyllm.errors import (
    BadAnswer,
    ContextTooLong,
    ModelError,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    TimeoutExceeded,
    Unreachable,
)
from tidyllm.models import Request, Response
from tidyllm.models.forward import Forward
from tidyllm.models.model import Model
from tidyllm.testing import FakeClock

WHOLE = stream_head("x-request-id: req-7") + frames(*CHAT_STREAM)


async def read(asked: Any, request: Any = "Hi", tell: Callable[[Any], object] = id) -> list[Any]:
    pieces: list[Any] = []
    async for piece in asked.stream(request):
        tell(piece)
        pieces.append(piece)
    return pieces


async def test_pieces_join_to_the_answer() -> None:
    async with serve(play(WHOLE, json_body(CHAT, "x-request-id: req-7"))) as server:
        asked = model_at(server)
        pieces = await read(asked)
        whole = await asked("Hi")
    assert "".join(piece.text for piece in pieces) == "Hello."
    joined = asked.join(pieces)
    assert (joined.text, joined.finish_reason, joined.usage) == (whole.text, whole.finish_reason, whole.usage)
    assert (joined.provider, joined.model, joined.id) == (whole.provider, whole.model, whole.id)
    assert (joined.request_id, joined.cost_usd) == ("req-7", Decimal("0.002"))


async def test_joined_pieces_know_the_type_that_was_asked_for_and_what_was_dropped() -> None:
    asked = model("offline/simulated", lenient=True)
    request = Request(
        "A number?", output={"type": "object", "properties": {"n": {"type": "integer"}}}, thinking_tokens=3
    )
    joined = asked.join(await read(asked, request))
    assert joined.parsed == {"n": 0}
    assert joined.dropped == (await asked(request)).dropped != ()


async def test_whoever_served_sets_the_price_even_when_another_step_joins() -> None:
    async with serve(play(json_body({"error": {"message": "down"}}, status="500 Oh"), WHOLE)) as server:
        targets = Fallback(model("offline/fail"), model_at(server, name="unheard-of"), model_at(server))
        joined = targets.join(await read(targets))
    assert joined.provider == "up"
    assert joined.cost_usd == Decimal("0.002")


async def test_a_piece_is_here_before_the_next_one_was_sent() -> None:
    """The second piece is sent only after the reader has acknowledged the first."""
    acknowledged = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(CHAT_STREAM[0], end=False))
        await acknowledged.wait()
        await connection.write(frames(*CHAT_STREAM[1:]))

    for request in ("Hi", forward(b"{}", stream=True)):
        acknowledged.clear()
        async with serve(handler) as server, contextlib.aclosing(model_at(server).stream(request)) as stream:  # pyright: ignore[reportArgumentType]
            async for _ in stream:
                acknowledged.set()


async def test_a_compressed_stream_is_read() -> None:
    packed = gzip.compress(b"".join(CHAT_STREAM))
    async with serve(
        play(stream_head("content-encoding: gzip") + frames(packed[:50], packed[50:]))
    ) as server:
        asked = model_at(server)
        assert asked.join(await read(asked)).text == "Hello."


async def test_the_connection_is_used_again_after_a_stream() -> None:
    async with serve(play(WHOLE)) as server:
        asked = model_at(server)
        await read(asked)
        await read(asked)
    assert server.connections == 1


@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_a_server_that_keeps_the_stream_open_after_its_end_is_not_waited_for(request_: Any) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(*CHAT_STREAM, end=False))
        await connection.left()

    with FakeClock(autojump=True, threshold=0.02):
        async with serve(handler) as server:
            asked = model_at(server)
            assert asked.join(await read(asked, request_)).finish_reason == "stop"


@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_a_server_that_does_not_stream_answers_whole(request_: Any) -> None:
    async with serve(play(json_body(CHAT))) as server:
        asked = model_at(server)
        pieces = await read(asked, request_)
        joined = asked.join(pieces)
    assert joined.usage.total_tokens == 1100
    assert joined.cost_usd == Decimal("0.002")
    if isinstance(request_, Forward):
        assert pieces[0].data.startswith(b"data: ")
        assert pieces[0].data.endswith(b"data: [DONE]\n\n")
        assert b'"Hello."' in pieces[0].data


# -- before the first piece: an error like any other, worth another try

BEFORE: list[tuple[bytes, type[ModelError], str]] = [
    (answer(b"<html>oh</html>", "content-type: text/html", status="502 Bad"), Overloaded, "oh"),
    (answer(b"<html>hello</html>", "content-type: text/html"), BadAnswer, "<html>hello"),
    (answer(b"", "content-type: text/event-stream"), BadAnswer, "empty"),
    (answer(b"data: nonsense\n\n", "content-type: text/event-stream"), BadAnswer, "nonsense"),
    (answer(b"data: \xff\n\n", "content-type: text/event-stream"), BadAnswer, "UTF-8"),
    (json_body({"error": {"message": "busy", "code": 503}}), Overloaded, "busy"),
    (stream_head() + frames(data({"error": {"message": "slow", "code": 429}})), RateLimited, "slow"),
    (stream_head() + frames(b": processing\n\n", end=False), Unreachable, "broke"),
    (stream_head() + frames(b": processing\n\n"), BadAnswer, "processing"),
    (stream_head() + frames(CHAT_STREAM[0][:20], end=False), Unreachable, "broke"),
    (stream_head() + frames(data("[DONE]")), BadAnswer, "end marker"),
]


@pytest.mark.parametrize(("raw", "kind", "words"), BEFORE)
@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_what_breaks_before_a_piece_can_be_tried_again(
    raw: bytes, kind: type[ModelError], words: str, request_: Any
) -> None:
    async with serve(play(raw, WHOLE)) as server:
        asked = model_at(server)
        with pytest.raises(kind, match=words) as caught:
            await read(asked, request_)
        assert caught.value.retryable
    async with serve(play(raw, WHOLE)) as server:
        again = Retry(model_at(server), base=0)
        assert again.join(await read(again, request_)).finish_reason == "stop"


# -- after it: `StreamInterrupted`, with what had come

ERROR = data({"error": {"message": "busy", "code": 503}})
AFTER: list[tuple[bytes, str]] = [
    (stream_head("x-request-id: req-9") + frames(*CHAT_STREAM[:2], end=False), "broke"),
    (stream_head("x-request-id: req-9") + frames(*CHAT_STREAM[:2]), "before its end marker"),
    (stream_head("x-request-id: req-9") + frames(*CHAT_STREAM[:2], ERROR), "busy"),
    (stream_head("x-request-id: req-9") + frames(b"".join(CHAT_STREAM[:2]) + ERROR), "busy"),
    (stream_head("x-request-id: req-9") + frames(*CHAT_STREAM[:2], b"data: {oops\n\n"), "oops"),
]


@pytest.mark.parametrize(("raw", "words"), AFTER)
@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_what_breaks_after_a_piece_gives_the_partial_answer(
    raw: bytes, words: str, request_: Any
) -> None:
    seen: list[Any] = []
    async with serve(play(raw)) as server:
        with pytest.raises(StreamInterrupted, match=words) as caught:
            await read(model_at(server), request_, seen.append)
    error = caught.value
    assert isinstance(error.partial, Response)
    if isinstance(request_, str):
        assert error.partial.text == "".join(piece.text for piece in seen) == "Hello."
    else:
        assert b"".join(piece.data for piece in seen) == b"".join(CHAT_STREAM[:2])
    assert error.partial.model == CHAT["model"]
    assert (error.partial.provider, error.provider, error.model) == ("up", "up", "priced")
    assert error.request_id == error.partial.request_id == "req-9"
    assert not error.retryable
    assert error.__cause__ is not None


async def test_a_partial_answer_carries_the_usage_and_cost_that_were_told() -> None:
    start = {
        "type": "message_start",
        "message": {"id": "m", "model": "c", "usage": {"input_tokens": 1000, "output_tokens": 1}},
    }
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}
    begin = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    raw = stream_head() + frames(named(start), named(begin), named(delta), end=False)
    async with serve(play(raw)) as server:
        with pytest.raises(StreamInterrupted) as caught:
            await read(model_at(server, "anthropic"))
    assert caught.value.partial.text == "Hel"
    assert caught.value.partial.usage.input_tokens == 1000
    assert caught.value.partial.cost_usd == Decimal("0.00101")


async def test_a_stall_is_a_timeout_before_the_first_piece_and_an_interruption_after_it() -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head())
        await connection.left()

    async def stalls(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(CHAT_STREAM[0], end=False))
        await connection.left()

    with FakeClock(autojump=True, threshold=0.02):
        async with serve(silent) as server:
            with pytest.raises(TimeoutExceeded):
                await read(Timeout(model_at(server), first_piece=5))
        async with serve(stalls) as server:
            with pytest.raises(StreamInterrupted) as caught:
                await read(Retry(Timeout(model_at(server), gap=5)))
    assert caught.value.partial.text == "Hel"
    assert isinstance(caught.value.__cause__, TimeoutExceeded)


async def test_a_reader_who_leaves_hangs_up() -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(CHAT_STREAM[0], end=False))
        await connection.left()

    for request in ("Hi", forward(b"{}", stream=True)):
        async with serve(handler) as server:
            async with contextlib.aclosing(model_at(server).stream(request)) as stream:  # pyright: ignore[reportArgumentType]
                async for _ in stream:
                    break
            while not server.left:
                await asyncio.sleep(0.005)


async def test_an_error_of_ours_in_the_middle_is_an_interruption_too() -> None:
    """A part that goes on as another kind: the decoder's own complaint must not look like a fresh failure."""
    odd = data(
        {"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": {"content": 5}, "finish_reason": None}]}
    )
    async with serve(play(stream_head() + frames(CHAT_STREAM[0], odd))) as server:
        with pytest.raises(StreamInterrupted):
            await read(model_at(server))


# -- ollama


def line(text: str, **more: Any) -> bytes:
    message = {"role": "assistant", "content": text}
    return msgspec.json.encode({"model": "qwen3", "message": message, "done": False, **more}) + b"\n"


LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 900, "eval_count": 2}


async def test_ollama_streams_lines() -> None:
    raw = stream_head(kind="application/x-ndjson") + frames(line("Hel"), line("lo."), line("", **LAST)[:-1])
    async with serve(play(raw)) as server:
        asked = model_at(server, "ollama", "qwen3")
        joined = asked.join(await read(asked))
    assert joined.text == "Hello."
    assert joined.usage.input_tokens == 900


async def test_a_prompt_that_ollama_cut_is_told_before_the_answer_counts_as_whole() -> None:
    read_it = asyncio.Event()

    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head(kind="application/x-ndjson") + frames(line("Hello."), end=False))
        await read_it.wait()
        await connection.write(frames(line("", **{**LAST, "prompt_eval_count": 9})))

    async with serve(handler) as server:
        with pytest.raises(StreamInterrupted) as caught:
            await read(model_at(server, "ollama", "qwen3"), "word " * 900, lambda _: read_it.set())
    assert isinstance(caught.value.__cause__, ContextTooLong)
    assert caught.value.partial.text == "Hello."


def test_a_model_that_wrappers_trust_to_report_what_came() -> None:
    assert Model.reports_partial


async def test_two_models_join_alike() -> None:
    one, two = model("offline/echo"), model("offline/simulated")
    assert one.joins_like == two.joins_like
    assert one.join(await read(two)).text.startswith("This is a simulated answer")
    assert one.join([]) == Response()


async def test_chunks_of_one_byte_change_nothing() -> None:
    for request in ("Hi", forward(b"{}", stream=True)):
        whole = b"".join(CHAT_STREAM)
        raw = stream_head() + frames(*(whole[i : i + 1] for i in range(len(whole))))
        async with serve(play(raw)) as server:
            asked = model_at(server)
            pieces = await read(asked, request)
        assert asked.join(pieces).usage.total_tokens == 1100
        assert chat_chunk("Hel") in b"".join(getattr(piece, "data", chat_chunk("Hel")) for piece in pieces)


@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_an_end_marker_without_its_blank_line_is_one(request_: Any) -> None:
    async with serve(play(stream_head() + frames(*CHAT_STREAM[:-1], b"data: [DONE]\n"))) as server:
        asked = model_at(server)
        assert asked.join(await read(asked, request_)).usage.total_tokens == 1100


async def test_an_error_without_its_blank_line_is_one() -> None:
    raw = stream_head() + frames(CHAT_STREAM[0], ERROR[:-1])
    async with serve(play(raw)) as server:
        for request in ("Hi", forward(b"{}", stream=True)):
            with pytest.raises(StreamInterrupted, match="busy"):
                await read(model_at(server), request)


async def test_a_service_that_refuses_stream_options_gets_none() -> None:
    async with serve(play(WHOLE)) as server:
        await read(model_at(server, "mistral"))
        await read(model_at(server, "openai"))
    with_options = ["stream_options" in msgspec.json.decode(seen.body) for seen in server.requests]
    assert with_options == [False, True]


async def test_who_served_is_known_even_when_the_stream_never_says_who_answers() -> None:
    anonymous = data({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]})
    async with serve(play(stream_head() + frames(anonymous, data("[DONE]")))) as server:
        for request in ("Hi", forward(b"{}", stream=True)):
            asked = model_at(server)
            assert asked.join(await read(asked, request)).provider == "up"


async def test_an_answer_that_was_kept_splits_into_pieces_that_join_to_it() -> None:
    asked = model("offline/echo")
    answer = await asked("big blue sky")
    again = asked.join(asked.split(answer))
    assert (again.text, again.usage, again.cost_usd, again.provider) == (
        answer.text,
        answer.usage,
        answer.cost_usd,
        answer.provider,
    )


async def test_a_run_whose_deadline_passes_in_a_stream_has_the_text_so_far() -> None:
    async def halting(connection: Connection) -> None:
        await connection.request()
        await connection.write(stream_head() + frames(chat_chunk("Hel"), chat_chunk("lo"), end=False))
        await connection.left()

    async with serve(halting) as server:
        came = asyncio.Event()
        with FakeClock() as fake:

            async def read_on() -> None:
                async for piece in model_at(server).stream("Hi", Context.new(deadline=5)):
                    if getattr(piece, "text", "") == "lo":
                        came.set()

            reading = asyncio.ensure_future(read_on())
            await came.wait()
            fake.advance(6)
            with pytest.raises(TimeoutExceeded, match="deadline") as raised:
                await reading
    assert isinstance(raised.value.partial, Response)
    assert raised.value.partial.text == "Hello"
