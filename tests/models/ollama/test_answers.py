"""Ollama's answers, streams and errors, from samples that we wrote after its documentation and source."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Unreachable,
)
from tidyllm.models.fold import fold
from tidyllm.models.jsonl import LineParser
from tidyllm.models.message import Text, Thinking, ToolCall
from tidyllm.models.ollama import ollama
from tidyllm.models.piece import Finish, Piece, Start, TextPiece, UsagePiece
from tidyllm.models.response import Response, Usage
from tidyllm.models.sse import Event

MADE = {"model": "qwen3", "created_at": "2026-01-02T03:04:05Z"}
CALL = {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
COUNTS = {"total_duration": 9, "prompt_eval_count": 26, "eval_count": 12}


def answer(reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    done = {"done": True} if reason is None else {"done": True, "done_reason": reason}
    return {**MADE, "message": {"role": "assistant", "content": "", **message}, **done, **COUNTS}


def line(**message: Any) -> dict[str, Any]:
    return {**MADE, "message": {"role": "assistant", "content": "", **message}, "done": False}


def wire(*lines: dict[str, Any]) -> bytes:
    return b"".join(msgspec.json.encode(one) + b"\n" for one in lines)


def pieces(data: bytes) -> tuple[list[Piece], bool]:
    parser, decoder = LineParser(), ollama.stream_decoder()
    found = [piece for event in [*parser.feed(data), *parser.close()] for piece in decoder.feed(event)]
    return found, decoder.done


def test_every_part_of_an_answer_finds_its_place() -> None:
    body = answer(content="Hi", thinking="hm", tool_calls=[CALL])
    response = ollama.decode_response(body)
    assert response == Response(
        (Thinking(text="hm"), Text(text="Hi"), ToolCall.parse("call_1", "f", '{"a":1}')),
        "tool_calls",
        "stop",
        Usage(26, 12, raw=COUNTS),
        "qwen3",
        raw=body,
        extra={"created_at": MADE["created_at"]},
        format="ollama",
    )


@pytest.mark.parametrize(
    ("reason", "ours"), [("stop", "stop"), ("length", "length"), ("load", "unknown"), (None, "unknown")]
)
def test_each_reason_to_stop_has_its_word(reason: str | None, ours: str) -> None:
    response = ollama.decode_response(answer(reason, content="Hi"))
    assert (response.finish_reason, response.finish_reason_raw) == (ours, reason)
    streamed = fold(pieces(wire(line(content="Hi"), answer(reason)))[0])
    assert (streamed.finish_reason, streamed.finish_reason_raw) == (ours, reason)


def test_a_call_without_an_id_gets_one() -> None:
    (call,) = ollama.decode_response(answer(tool_calls=[{"function": {"name": "f"}}])).tool_calls
    assert call.id.startswith("call_")
    assert call.arguments == {}


def test_what_the_server_does_not_count_is_unknown() -> None:
    assert ollama.decode_usage({"eval_count": "many", "prompt_eval_count": True}).input_tokens is None
    assert ollama.decode_usage({}) == Usage()


def test_a_stream_and_a_whole_answer_are_the_same_response() -> None:
    found, done = pieces(
        wire(
            line(thinking="h"), line(thinking="m"), line(content="H"), line(content="i"), line(tool_calls=[CALL]),
            line(tool_calls=[{"id": "call_2", "function": {"name": "g", "arguments": {}}}]), answer(),
        )
    )  # fmt: skip
    assert done
    more: dict[str, Any] = {"id": "call_2", "function": {"name": "g", "arguments": {}}}
    whole = ollama.decode_response(answer(thinking="hm", content="Hi", tool_calls=[CALL, more]))
    assert fold(found) == msgspec.structs.replace(whole, raw=None)


def test_text_comes_piece_by_piece() -> None:
    found, done = pieces(
        wire(line(content="Hel"), line(content="lo"), line(), answer(content="!")) + wire(line())
    )
    assert done
    assert found == [
        Start("qwen3", extra={"created_at": MADE["created_at"]}, format="ollama"),
        TextPiece("Hel", 0),
        TextPiece("lo", 0),
        TextPiece("!", 0),
        UsagePiece(Usage(26, 12, raw=COUNTS)),
        Finish("stop", "stop"),
    ]


def test_parts_that_take_turns_stay_apart() -> None:
    found, _ = pieces(
        wire(
            line(content="a"),
            line(thinking="b"),
            line(content="c"),
            line(tool_calls=[CALL]),
            answer(content="d"),
        )
    )
    kinds = [type(part).__name__ for part in fold(found).content]
    assert kinds == ["Text", "Thinking", "Text", "ToolCall", "Text"]


def test_log_probabilities_are_collected() -> None:
    first, last = {**line(content="a"), "logprobs": [1]}, {**answer(content="b"), "logprobs": [2]}
    assert fold(pieces(wire(first, last))[0]).content == (Text(text="ab", extra={"logprobs": [1, 2]}),)


def test_an_answer_of_one_line_is_whole() -> None:
    found, done = pieces(wire(answer("load")))
    assert done
    assert fold(found).content == ()


STREAM = wire(line(thinking="grübeln"), line(content="Grüße 🙂"), line(tool_calls=[CALL]), answer())


def test_a_stream_cut_anywhere_never_looks_complete() -> None:
    """The last line is whole with its closing brace; the line feed after it may be missing."""
    for cut in range(len(STREAM) + 1):
        assert pieces(STREAM[:cut])[1] == (cut >= len(STREAM) - 1), cut


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"[1]\n",
        b"[" * 100_000 + b"\n",
        wire({"done": False}),
        wire({"message": "hi"}),
        wire({"message": {"content": 1}, "done": False}),
        wire(line(tool_calls=[1])),
        wire(line(tool_calls=[{"function": {"arguments": {}}}])),
        wire(line(tool_calls="f")),
    ],
)
def test_a_broken_stream_is_a_bad_answer(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        pieces(data)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ({"error": "an error was encountered while running the model"}, Overloaded, "running the model"),
        ({"error": {"message": "unexpected EOF"}}, Overloaded, "unexpected EOF"),
        ({"error": 7}, Overloaded, "7"),
        ({"error": "slow down", "status": 429}, RateLimited, "slow down"),
        ({"error": "the input length exceeds the context length"}, ContextTooLong, "context length"),
    ],
)
def test_an_error_in_a_stream_or_a_good_answer_is_raised(
    data: Any, error: type[ModelError], words: str
) -> None:
    with pytest.raises(error, match=words):
        pieces(wire(line(content="a"), data))
    with pytest.raises(error, match=words):
        ollama.decode_response(data)


@pytest.mark.parametrize(
    "body", [{}, {"message": {}}, {"message": {}, "done": False}, {"message": [], "done": True}]
)
def test_an_answer_that_is_not_whole_is_a_bad_answer(body: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer):
        ollama.decode_response(body)


@pytest.mark.parametrize(
    ("status", "words", "expected"),
    [
        (400, "invalid options: nonsense", BadRequest),
        (
            400,
            "the prompt is longer than the context length currently available to the model",
            ContextTooLong,
        ),
        (400, "the request exceeds the available context size", ContextTooLong),
        (500, "the input length exceeds the context length", ContextTooLong),
        (401, "unauthorized", AuthError),
        (403, "remote inference is disabled", AuthError),
        (404, "model 'x' not found", ModelNotFound),
        (404, "404 page not found", BadRequest),
        (429, "too many requests", RateLimited),
        (499, "request canceled", Unreachable),
        (500, "model requires more system memory (9.2 GiB) than is available", Overloaded),
        (503, "server busy, please try again. maximum pending requests exceeded", Overloaded),
        (302, "moved", BadAnswer),
    ],
)
def test_a_status_and_its_words_become_a_class(status: int, words: str, expected: type[ModelError]) -> None:
    error = ollama.decode_error(status, {"retry-after": "3"}, msgspec.json.encode({"error": words}))
    assert type(error) is expected
    assert (error.status, error.provider_message, error.retry_after) == (status, words, 3.0)
    assert words in str(error)


@pytest.mark.parametrize(
    ("words", "field"),
    [('"x" does not support thinking', "think"), ('"x" does not support tools', "tools"), ("no", None)],
)
def test_what_a_model_cannot_do_names_the_field(words: str, field: str | None) -> None:
    error = ollama.decode_error(400, {}, msgspec.json.encode({"error": words}))
    assert isinstance(error, BadRequest)
    assert error.field == field


@pytest.mark.parametrize(
    ("body", "words"), [(b"<p>Bad\nGateway</p>", "<p>Bad Gateway</p>"), (b"", None), (b"{}", "{}")]
)
def test_bodies_of_other_makes_give_their_words(body: bytes, words: str | None) -> None:
    assert ollama.decode_error(502, {}, body).provider_message == words


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["message", "done", "done_reason", "error", "model", "logprobs", "prompt_eval_count"])
messages = st.dictionaries(st.sampled_from(["content", "thinking", "tool_calls"]), json_values)


@given(st.dictionaries(keys, json_values | messages))
def test_arbitrary_answers_are_taken_or_refused(data: dict[str, Any]) -> None:
    decoder = ollama.stream_decoder()
    for read in (
        lambda: ollama.decode_response(data),
        lambda: decoder.feed(Event(msgspec.json.encode(data).decode())),
    ):
        try:
            read()
        except ModelError:
            continue
    assert not decoder.done or data["done"] is True
