"""Streams: through DSPy as it streams, and of the engine alone."""

# Functions that are given to DSPy, which has no types:
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
from __future__ import annotations

from typing import Any

import pytest

from tests.dspy.both import BOTH, Which, asked, dspy, lm, lm15, make, reply
from tidyllm.cache import AnswerCache
from tidyllm.testing import ModelServer, Reply, scripted


async def _pieces(program: Any, **inputs: Any) -> tuple[list[str], Any]:
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    chunks: list[str] = []
    last: Any = None
    async for value in dspy.streamify(program, stream_listeners=[listener])(**inputs):
        if isinstance(value, dspy.streaming.StreamResponse):
            chunks.append(value.chunk)
        else:
            last = value
    return chunks, last


@pytest.mark.parametrize("which", BOTH)
async def test_streamify_delivers_pieces(which: Which) -> None:
    answer = "The capital of France is Paris and it has been so for a long time."
    with ModelServer(reply(answer=answer)) as server:
        model = make(which, server.openai_url)
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            chunks, last = await _pieces(dspy.Predict("question -> answer"), question="?")
    assert len(chunks) > 3
    assert "".join(chunks) == last.answer == answer


async def test_a_stream_is_billed_and_told_in_history() -> None:
    with ModelServer(reply(answer="Paris it is")) as server:
        model = lm("openai/gpt-5-mini", base_url=server.openai_url, abilities=())
        with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
            await _pieces(dspy.Predict("question -> answer"), question="?")
    assert model.history[-1]["usage"]["completion_tokens"] > 0
    assert model.history[-1]["cache_hit"] is False


def _events(model: Any) -> list[Any]:
    return list(model.engine.stream(asked()))


def test_a_stream_is_tried_again_before_its_first_piece() -> None:
    script = (Reply(status=500), Reply(text="one two", cut_after=0), Reply(text="one two"))
    with ModelServer(*script) as server:
        events = _events(make("ours", server.openai_url, retries=2))
        assert len(server.requests) == 3
    assert "".join(event.delta.text for event in events if event.type == "delta") == "one two"


def test_a_stream_is_never_started_over_after_its_first_piece() -> None:
    with ModelServer(Reply(text="one two three four", cut_after=3), "unused") as server:
        with pytest.raises(lm15.TransportError):
            _events(make("ours", server.openai_url, retries=2))
        assert len(server.requests) == 1


def test_a_kept_stream_is_given_again_and_says_so() -> None:
    model = lm(AnswerCache(scripted("one two three")))
    question = lm15.Request(model=model.model, messages=(lm15.Message.user("?"),))
    first, second = (list(model.engine.stream(question)) for _ in range(2))
    assert [one.type for one in first] == [one.type for one in second]
    bills = [events[-1].provider_data["tidyllm"] for events in (first, second)]
    assert [bill["cached"] for bill in bills] == [False, True]
    assert second[-1].usage == lm15.Usage()


def test_a_stream_that_is_left_early_hangs_up() -> None:
    with ModelServer(Reply(text="a b c d e f g h", piece_delay=0.02), "next") as server:
        made: Any = make("ours", server.openai_url)
        events = made._engine_spec.stream(asked())
        assert [next(events).type for _ in range(2)] == ["start", "delta"]
        events.close()
        assert made("?") == ["next"]


async def test_a_step_without_pieces_streams_its_answer_whole() -> None:
    made: Any = lm(lambda request: "all at once")
    kinds = [
        event.type
        async for event in made._async_engine_spec.stream(
            lm15.Request(model="f", messages=(lm15.Message.user("?"),))
        )
    ]
    assert kinds == ["start", "delta", "end"]
