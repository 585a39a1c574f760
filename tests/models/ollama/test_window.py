"""The window we ask for, and what betrays a server that did not read the whole prompt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import ContextTooLong
from tidyllm.models.message import Image, Message, ToolCall
from tidyllm.models.ollama import MIN_NUM_CTX, check_read, context_for, ollama
from tidyllm.models.ollama.window import least_tokens
from tidyllm.models.request import Request, Tool
from tidyllm.models.response import Usage

PROSE = "The quick brown fox jumps over the lazy dog, and nobody minds it at all. "  # 15 words
LONG = "Notwithstanding considerations. "  # 2 words, 32 bytes


def body(text: str, num_ctx: int | None = None, **fields: Any) -> dict[str, Any]:
    options = {"options": {"num_ctx": num_ctx}} if num_ctx else {}
    return ollama.encode_request(Request(text, extra=options, **fields), stream=False).body


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request("hello"), MIN_NUM_CTX),
        (Request("hello", max_output_tokens=10_000), 16_384),
        (Request(PROSE * 1000), 65_536),
        (Request("春眠不觉晓。" * 2000), 32_768),
        (Request(" " * 1_000_000), MIN_NUM_CTX),
        (Request((Message.user(*[Image(data=b"x")] * 10),)), 16_384),
        (Request((Message.assistant(ToolCall.parse("c", "f", f'{{"a": "{PROSE * 200}"}}')),)), 16_384),
        (Request("q", tools=(Tool("f", PROSE * 200),)), 16_384),
    ],
)
def test_the_window_is_the_power_of_two_that_holds_prompt_and_answer(
    request_: Request, expected: int
) -> None:
    asked = ollama.encode_request(request_, stream=False).body
    assert asked["options"]["num_ctx"] == expected
    assert context_for(asked, window=4096) == 4096


def test_a_window_is_never_smaller_than_the_least_prompt() -> None:
    for text in (PROSE * 3000, "春眠不觉晓。" * 5000):
        asked = body(text)
        assert asked["options"]["num_ctx"] > least_tokens(asked)


def test_words_and_dense_scripts_bound_the_tokens_from_below() -> None:
    assert least_tokens(body(PROSE)) == 15
    assert least_tokens(body("春眠不觉晓夜来风雨声" * 8)) == 10 * 3 * 8 // 16
    assert least_tokens(body("=" * 10_000 + "\n" * 500 + "—" * 500)) == 2


def test_reasoning_in_earlier_answers_does_not_count() -> None:
    turns = (
        Message("user", "a b"),
        Message("assistant", "<think>c d e</think> f"),
        Message("assistant", "g"),
    )
    assert least_tokens(ollama.encode_request(Request(turns), stream=False).body) == 3


@given(st.text(), st.integers(0, 5))
def test_every_text_has_at_least_its_words_and_at_most_its_bytes(text: str, times: int) -> None:
    least = least_tokens(body(text * times))
    assert len((text * times).split()) <= least <= max(len((text * times).encode()), 1)


@pytest.mark.parametrize(
    ("text", "num_ctx", "read", "wrote"),
    [
        (PROSE * 100, 4096, 1800, 500),
        (
            PROSE * 100,
            4096,
            2050,
            500,
        ),  # the very number of a cut prompt, but this prompt may well be as long
        (PROSE * 100, 4096, None, None),
        (PROSE * 100, 4096, 1800, None),
        ("hello", 4096, 4000, 96),  # the model's own system text is long
        ("=" * 20_000, 4096, 2050, 10),
    ],
)
def test_a_prompt_that_was_read_whole_passes(
    text: str, num_ctx: int, read: int | None, wrote: int | None
) -> None:
    check_read(body(text, num_ctx), Usage(read, wrote))


@pytest.mark.parametrize(
    ("text", "num_ctx", "usage", "numbers"),
    [
        (PROSE * 300, 4096, Usage(4096, 1), ["4,096 tokens were read", "num_ctx is 4,096"]),
        (PROSE * 300, 4096, Usage(4095, 1), ["4,095"]),
        (PROSE * 300, 4096, Usage(1200, 90), ["read 1,200 tokens", "at least 4,500", "4,096"]),
        (LONG * 400, 4096, Usage(2050, 90), ["read 2,050", "bytes", "num_ctx=4,096"]),
        (LONG * 400, 4096, Usage(2051, 90), ["read 2,051"]),
        (PROSE * 100, 4096, Usage(1800, 5000), ["1,800 tokens read and 5,000 written", "forgot"]),
    ],
)
def test_a_prompt_that_was_cut_is_told_with_numbers(
    text: str, num_ctx: int, usage: Usage, numbers: list[str]
) -> None:
    with pytest.raises(ContextTooLong) as caught:
        check_read(body(text, num_ctx), usage)
    assert all(number in str(caught.value) for number in numbers)
    assert "num_ctx" in caught.value.hint


def test_what_the_server_keeps_when_it_cuts_may_be_set() -> None:
    asked = ollama.encode_request(
        Request(PROSE * 200, extra={"options": {"num_ctx": 4096, "num_keep": 1000}}), stream=False
    ).body
    with pytest.raises(ContextTooLong):
        check_read(asked, Usage(4096 - (4096 - 1000) // 2, 1))


def test_without_a_window_nothing_is_claimed() -> None:
    check_read({"messages": []}, Usage(1, 1))
