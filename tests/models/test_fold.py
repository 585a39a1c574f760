"""The pieces of a stream make up the same answer as one that came whole."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer
from tidyllm.models.fold import Fold, fold, unfold
from tidyllm.models.message import Image, Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.piece import (
    Finish,
    Piece,
    Start,
    TextPiece,
    ThinkingPiece,
    ToolCallPiece,
    UsagePiece,
    WholePart,
)
from tidyllm.models.response import Response, Usage

texts = st.text(max_size=20)
maybe = st.none() | texts
counts = st.none() | st.integers(0, 10**7)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(texts, json_values, max_size=3)
raw_arguments = texts | st.sampled_from(["", "{}", '{"city": "Oslo"}', '{"city": ', "[1]"])
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, text=texts, extra=extras),
    st.builds(Thinking, text=texts, signature=maybe, encrypted=maybe, id=maybe, extra=extras),
    st.builds(ToolCall.parse, texts, texts, raw_arguments, extras),
    st.builds(Opaque, format=st.just("anthropic"), data=extras),
    st.builds(Image, url=texts),
)
usages = st.builds(
    Usage,
    input_tokens=counts,
    output_tokens=counts,
    cache_read_tokens=counts,
    cache_write_5m_tokens=counts,
    cache_write_1h_tokens=counts,
    reasoning_tokens=counts,
    audio_input_tokens=counts,
    audio_output_tokens=counts,
    raw=extras,
)
responses = st.builds(
    Response,
    content=st.lists(parts, max_size=5).map(tuple),
    finish_reason=st.sampled_from(["stop", "length", "tool_calls", "refused", "paused", "error", "unknown"]),
    finish_reason_raw=maybe,
    usage=usages,
    model=texts,
    id=texts,
    extra=extras,
)


@given(responses)
def test_unfolding_a_response_and_folding_the_pieces_gives_it_back(response: Response) -> None:
    assert fold(unfold(response)) == response


@given(responses)
def test_what_pieces_do_not_carry_comes_from_the_base(response: Response) -> None:
    client_side = msgspec.structs.replace(
        response,
        provider="openai",
        request_id="r1",
        cost_usd=Decimal("0.1"),
        dropped=("seed",),
        output="json",
    )
    assert fold(unfold(client_side), base=client_side) == client_side


@given(st.lists(st.tuples(st.integers(0, 3), texts), max_size=30))
def test_texts_are_joined_by_index_and_parts_stand_in_the_order_of_their_index(
    chunks: list[tuple[int, str]],
) -> None:
    response = fold(TextPiece(text, index) for index, text in chunks)
    expected = {
        index: "".join(t for i, t in chunks if i == index) for index in sorted({i for i, _ in chunks})
    }
    assert [part.text for part in response.content if isinstance(part, Text)] == list(expected.values())


@given(raw_arguments, st.data())
def test_arguments_of_a_tool_call_may_be_cut_anywhere(raw: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(raw)))
    response = fold(
        [
            ToolCallPiece(1, "call_1", "weather", raw[:cut]),
            ToolCallPiece(1, "", "", raw[cut:]),
        ]
    )
    assert response.content == (ToolCall.parse("call_1", "weather", raw),)


def test_parallel_tool_calls_may_be_interleaved() -> None:
    response = fold(
        [
            ToolCallPiece(0, "a", "add", '{"x":'),
            ToolCallPiece(1, "b", "sub", '{"y":'),
            ToolCallPiece(0, arguments="1}"),
            ToolCallPiece(1, arguments="2}"),
        ]
    )
    assert [(c.id, c.name, c.arguments) for c in response.tool_calls] == [
        ("a", "add", {"x": 1}),
        ("b", "sub", {"y": 2}),
    ]


def test_a_server_that_repeats_id_and_name_in_every_piece_changes_nothing() -> None:
    response = fold([ToolCallPiece(0, "a", "add", '{"x":'), ToolCallPiece(0, "a", "add", "1}")])
    assert response.tool_calls[0].name == "add"
    assert response.tool_calls[0].arguments == {"x": 1}


def test_the_signature_of_thinking_comes_once_at_its_end() -> None:
    pieces = [ThinkingPiece("let "), ThinkingPiece("me"), ThinkingPiece(signature="sig", extra={"k": 1})]
    assert fold(pieces).content == (Thinking(text="let me", signature="sig", extra={"k": 1}),)


def test_thinking_keeps_its_id_and_encrypted_text() -> None:
    pieces = [ThinkingPiece(id="rs_1"), ThinkingPiece(encrypted="abc"), ThinkingPiece("hm")]
    assert fold(pieces).content == (Thinking(text="hm", id="rs_1", encrypted="abc"),)


def test_lists_in_extra_add_up_objects_merge_and_null_replaces_nothing() -> None:
    response = fold(
        [
            TextPiece("a", extra={"citations": [1], "logprobs": {"content": [1], "top": 1}, "id": "x"}),
            TextPiece("b", extra={"citations": [2], "logprobs": {"content": [2], "top": 2}, "id": None}),
        ]
    )
    assert response.content[0].extra == {
        "citations": [1, 2],
        "logprobs": {"content": [1, 2], "top": 2},
        "id": "x",
    }


def test_extra_of_start_finish_and_base_make_up_the_extra_of_the_response() -> None:
    pieces = [Start("m", "1", {"created": 1}), Finish("stop", None, {"stop_sequence": "x"})]
    folded = fold(pieces, base=Response(extra={"mine": True}))
    assert folded.extra == {"mine": True, "created": 1, "stop_sequence": "x"}


def test_folding_leaves_the_pieces_as_they_were() -> None:
    first = TextPiece("a", extra={"citations": [1]})
    fold([first, TextPiece("b", extra={"citations": [2]})])
    assert first.extra == {"citations": [1]}


def test_a_snapshot_is_not_changed_by_later_pieces() -> None:
    folded = Fold()
    folded.add(Start("gpt", "id-1"))
    folded.add(TextPiece("Hel", extra={"citations": [1]}))
    early = folded.response()
    folded.add(TextPiece("lo", extra={"citations": [2]}))
    assert early.text == "Hel"
    assert early.content[0].extra == {"citations": [1]}
    assert (early.model, early.id, early.finish_reason) == ("gpt", "id-1", "unknown")
    assert folded.response().text == "Hello"


def test_an_answer_is_finished_only_after_finish() -> None:
    folded = Fold()
    folded.add(TextPiece("all of it"))
    assert not folded.finished
    folded.add(Finish("stop", "end_turn"))
    assert folded.finished
    assert folded.response().finish_reason_raw == "end_turn"


def test_a_later_usage_replaces_only_the_fields_it_knows() -> None:
    response = fold(
        [
            UsagePiece(Usage(input_tokens=10, output_tokens=1, cache_read_tokens=4, raw={"a": 1, "b": 2})),
            UsagePiece(Usage(output_tokens=25, raw={"b": 3, "a": None, "c": None})),
        ]
    )
    assert response.usage == Usage(
        input_tokens=10, output_tokens=25, cache_read_tokens=4, raw={"a": 1, "b": 3, "c": None}
    )


def test_no_usage_stays_unknown_and_is_not_zero() -> None:
    assert fold([TextPiece("hi"), Finish("stop")]).usage == Usage()


def test_a_whole_part_replaces_what_its_index_held_and_may_go_on() -> None:
    whole: list[tuple[Part, Piece, Part]] = [
        (Text(text="ab"), TextPiece("c", extra={"k": 1}), Text(text="abc", extra={"k": 1})),
        (Thinking(text="a"), ThinkingPiece("b", signature="s"), Thinking(text="ab", signature="s")),
        (
            ToolCall.parse("i", "n", '{"x"'),
            ToolCallPiece(0, arguments=":1}"),
            ToolCall.parse("i", "n", '{"x":1}'),
        ),
    ]
    for part, more, expected in whole:
        assert fold([TextPiece("draft"), WholePart(part, 0)]).content == (part,)
        assert fold([TextPiece("draft"), WholePart(part, 0), more]).content == (expected,)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (TextPiece("a", 2), ToolCallPiece(2, "i", "n")),
        (TextPiece("a", 2), ThinkingPiece("b", 2)),
        (ThinkingPiece("a", 2), TextPiece("b", 2)),
        (WholePart(Image(url="u"), 2), TextPiece("b", 2)),
    ],
)
def test_a_part_that_goes_on_as_another_kind_is_refused_by_name(first: Piece, second: Piece) -> None:
    with pytest.raises(BadAnswer, match=r"part 2 of the stream began as \w+ and goes on as \w+"):
        fold([first, second])


def test_a_call_made_by_hand_gets_its_raw_arguments() -> None:
    made = Response((ToolCall(id="1", name="add", arguments={"x": 1}),), "tool_calls")
    (call,) = fold(unfold(made)).tool_calls
    assert call.raw_arguments == '{"x":1}'
    assert call.arguments == {"x": 1}


def test_extra_nested_without_end_is_folded_all_the_same() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"k": deep}
    assert fold([TextPiece("a", extra=deep), TextPiece("b", extra=deep)]).text == "ab"


def test_a_hundred_thousand_pieces_are_joined_once() -> None:
    """Pieces are joined only when the answer is asked for: joining at each piece would crawl here."""
    pieces: list[Piece] = [TextPiece("ab", extra={"n": [1]}) for _ in range(100_000)]
    response = fold([Start(), *pieces, Finish("stop")])
    assert len(response.text) == 200_000
    assert len(response.content[0].extra["n"]) == 100_000
