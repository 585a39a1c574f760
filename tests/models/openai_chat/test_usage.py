"""The count of tokens in the shapes of the format's many servers, and for a caller."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.openai_chat.samples import answer
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.response import Response, Usage


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({}, Usage()),
        (None, Usage()),
        ("many", Usage()),
        (
            {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            Usage(input_tokens=5, output_tokens=7),
        ),
        ({"prompt_tokens": None, "completion_tokens": -1}, Usage()),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
            },
            Usage(
                input_tokens=9,
                output_tokens=8,
                cache_read_tokens=4,
                cache_write_5m_tokens=2,
                reasoning_tokens=3,
                audio_input_tokens=1,
                audio_output_tokens=0,
            ),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}, Usage(input_tokens=9, cache_read_tokens=4)),
        ({"prompt_tokens": 9, "num_cached_tokens": 0}, Usage(input_tokens=9, cache_read_tokens=0)),
        (
            {"prompt_tokens": 9, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3},
            Usage(input_tokens=9, cache_read_tokens=4, cache_write_5m_tokens=3),
        ),
        # reasoning that is counted apart
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 27},
            Usage(input_tokens=9, output_tokens=18),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "total_tokens": 27,
                "completion_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(input_tokens=9, output_tokens=18, reasoning_tokens=10),
        ),
        # a total that is more for another reason
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 27, "cache_read_input_tokens": 10},
            Usage(input_tokens=9, output_tokens=8, cache_read_tokens=10),
        ),
    ],
)
def test_usage_comes_in_several_shapes(raw: Any, usage: Usage) -> None:
    found = openai_chat.decode_response(answer({"content": "a"}, usage=raw)).usage
    assert {**_counts(found)} == _counts(usage)
    assert found.raw == (raw if isinstance(raw, dict) else {})


def _counts(usage: Usage) -> dict[str, int | None]:
    return {name: getattr(usage, name) for name in usage.__struct_fields__ if name != "raw"}


def test_usage_beside_the_usual_place_is_found() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 7}
    assert (
        openai_chat.decode_response(answer({"content": "a"}, x_groq={"usage": usage})).usage.input_tokens == 5
    )


def test_usage_of_another_format_is_told_in_this_one() -> None:
    usage = Usage(
        input_tokens=9,
        output_tokens=8,
        cache_read_tokens=4,
        cache_write_5m_tokens=1,
        cache_write_1h_tokens=2,
        reasoning_tokens=3,
        raw={"input_tokens": 2},
    )
    assert openai_chat.encode_response(Response(usage=usage))["usage"] == {
        "prompt_tokens": 9,
        "completion_tokens": 8,
        "total_tokens": 17,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_unknown_usage_is_left_out_and_a_total_is_added() -> None:
    assert "usage" not in openai_chat.encode_response(Response())
    half = Usage(output_tokens=8)
    assert openai_chat.encode_response(Response(usage=half))["usage"]["total_tokens"] == 8
    raw = {"prompt_tokens": 5, "completion_tokens": 7, "cost": 0.1}
    same = Usage(input_tokens=5, output_tokens=7, raw=raw)
    assert openai_chat.encode_response(Response(usage=same))["usage"] == {**raw, "total_tokens": 12}
