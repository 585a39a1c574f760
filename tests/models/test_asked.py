"""What a body asks for: the fields that cost, in any format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.models.asked import Asked, most_tokens

FORMATS = ("openai_chat", "openai_responses", "anthropic", "bedrock", "ollama", "")
CAPS = st.one_of(st.none(), st.integers(-3, 10**18), st.floats(), st.booleans(), st.text(max_size=3))


@given(
    st.dictionaries(
        st.sampled_from([
            "max_tokens", "max_completion_tokens", "max_output_tokens", "n", "tools", "service_tier",
        ]),
        CAPS,
    ),
    st.sampled_from(FORMATS),
    CAPS,
)  # fmt: skip
def test_the_cap_alone_is_what_all_fields_together_say(body: dict[str, Any], format: str, cap: Any) -> None:
    for more in ({}, {"options": {"num_predict": cap}}, {"inferenceConfig": {"maxTokens": cap}}):
        whole = {**body, **more}
        assert most_tokens(whole, format) == Asked.of(whole, format).max_tokens


@pytest.mark.parametrize(
    ("format", "body", "most"),
    [
        ("openai_chat", {"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ("openai_chat", {"max_output_tokens": 5}, None),
        ("anthropic", {"max_tokens": 5}, 5),
        ("ollama", {"options": {"num_predict": -1}}, -1),
        ("bedrock", {"inferenceConfig": {"maxTokens": 9}}, 9),
        ("openai_chat", {}, None),
    ],
)
def test_only_caps_of_the_format_count(format: str, body: dict[str, Any], most: int | None) -> None:
    assert most_tokens(body, format) == most
