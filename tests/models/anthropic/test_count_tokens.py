"""Counting the tokens of a prompt, towards the provider and for a caller."""

from __future__ import annotations

import pytest

from tests.models.anthropic.samples import WEATHER, body
from tidyllm.errors import BadAnswer, BadRequest, Overloaded, Unsupported
from tidyllm.models.anthropic import (
    decode_count_tokens,
    decode_count_tokens_request,
    encode_count_tokens,
    encode_count_tokens_response,
)
from tidyllm.models.request import Request, Tool


def test_the_question_holds_the_prompt_and_nothing_about_sampling() -> None:
    request = Request(
        "q", model="claude-x", system="S", tools=(Tool("f"),), temperature=0.5, stop=("x",), user="u"
    )
    asked = encode_count_tokens(request).body
    assert set(asked) == {"model", "messages", "system", "tools"}


def test_fields_without_a_place_are_refused_or_reported() -> None:
    with pytest.raises(Unsupported):
        encode_count_tokens(Request("q", seed=1))
    assert encode_count_tokens(Request("q", seed=1), lenient=True).dropped == ("seed",)


def test_a_callers_question_needs_no_cap() -> None:
    asked = {
        key: value for key, value in body(tools=[WEATHER]).items() if key not in {"max_tokens", "stream"}
    }
    request = decode_count_tokens_request(asked)
    assert request.max_output_tokens is None
    assert encode_count_tokens(request).body == asked
    with pytest.raises(BadRequest, match="messages is missing"):
        decode_count_tokens_request({"model": "claude-x"})


def test_the_count_is_read_and_written() -> None:
    assert decode_count_tokens(encode_count_tokens_response(42)) == 42


def test_an_answer_without_a_count_is_refused() -> None:
    with pytest.raises(BadAnswer):
        decode_count_tokens({"input_tokens": "many"})
    with pytest.raises(Overloaded):
        decode_count_tokens({"type": "error", "error": {"type": "api_error", "message": "x"}})
