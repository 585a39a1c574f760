"""A body that is passed on unread loses the reasoning that others lent, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.sessions import ANTHROPIC, CHAT, RESPONSES, SESSIONS
from tidyllm.models.own_reasoning import own_reasoning

LENT = 'tidyllm:{"signature":"s"}'


def fields_of(body: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])


def sent(endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body as the provider gets it."""
    fields = fields_of(body)
    return msgspec.json.decode(msgspec.json.encode({**fields, **own_reasoning(endpoint, fields)}))


@pytest.mark.parametrize("endpoint", SESSIONS)
def test_a_body_without_loans_is_not_touched(endpoint: str) -> None:
    fields = fields_of(SESSIONS[endpoint])
    assert own_reasoning(endpoint, fields) == {}
    assert own_reasoning("openai_embeddings", fields) == {}


def test_lent_items_leave_the_input() -> None:
    own: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    odd = {"type": "message", "role": "user", "content": LENT, "field_of_tomorrow": 1.5}
    lent: dict[str, Any] = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": LENT}
    assert sent(RESPONSES, {"input": [odd, lent, own]}) == {"input": [odd, own]}
    assert sent(RESPONSES, {"input": [lent]}) == {"input": []}


@pytest.mark.parametrize("endpoint", [ANTHROPIC, "anthropic_count_tokens"])
def test_lent_blocks_leave_their_messages_and_a_message_of_nothing_else_goes_with_them(endpoint: str) -> None:
    signed = {"type": "thinking", "thinking": "hm", "signature": "s"}
    text = {"type": "text", "text": LENT, "cache_control": {"type": "ephemeral"}}
    lent = [
        {"type": "thinking", "thinking": "hm", "signature": LENT},
        {"type": "redacted_thinking", "data": LENT},
    ]
    asked = {"role": "user", "content": "q"}
    messages = [
        asked,
        {"role": "assistant", "content": [*lent, signed, text]},
        {"role": "assistant", "content": lent},
    ]
    kept = [asked, {"role": "assistant", "content": [signed, text]}]
    assert sent(endpoint, {"system": LENT, "messages": messages}) == {"system": LENT, "messages": kept}


def test_lent_details_leave_their_message_with_the_plain_words_that_say_the_same() -> None:
    own = {"type": "reasoning.text", "text": "hm", "id": None}
    lent = {"type": "reasoning.text", "text": "hm", "id": "tidyllm:rs_1", "signature": "s"}
    said = {"role": "assistant", "content": "a"}
    assert sent(CHAT, {"messages": [{**said, "reasoning_content": "hm", "reasoning_details": [lent]}]}) == {
        "messages": [said]
    }
    mixed = {**said, "reasoning": "hm", "reasoning_details": [own, lent]}
    assert sent(CHAT, {"messages": [mixed]}) == {"messages": [{**said, "reasoning_details": [own]}]}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (RESPONSES, {"input": LENT}),
        (RESPONSES, {"input": [LENT, [LENT], {"type": "reasoning", "encrypted_content": [LENT]}]}),
        (ANTHROPIC, {"messages": {"content": LENT}}),
        (ANTHROPIC, {"messages": [{"content": LENT}, {"content": [LENT, {"type": "text", "text": LENT}]}]}),
        (CHAT, {"messages": [{"reasoning_details": LENT}, {"reasoning_details": [LENT, {"id": 7}]}]}),
    ],
)
def test_what_only_mentions_a_loan_stays(endpoint: str, body: dict[str, Any]) -> None:
    assert own_reasoning(endpoint, fields_of(body)) == {}


def test_a_body_nested_too_deep_is_left_to_the_provider() -> None:
    raw = b'[{"content":' + b"[" * 5_000 + b'"tidyllm:"' + b"]" * 5_000 + b"}]"
    assert own_reasoning(ANTHROPIC, {"messages": msgspec.Raw(raw)}) == {}


json_values = st.recursive(
    st.none() | st.integers() | st.sampled_from([LENT, "tidyllm:", "reasoning", "thinking"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "content", "signature", "data", "id", "encrypted_content", "reasoning_details"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.sampled_from(sorted(SESSIONS)), json_values)
def test_arbitrary_conversations_are_taken(endpoint: str, value: Any) -> None:
    body = {"input": value, "messages": value}
    once = sent(endpoint, body)
    assert sent(endpoint, once) == once
