"""What a provider wants back with its reasoning stands in one text, and comes out of it as it went in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.models.loans import LOAN, lender, loan, returned
from tidyllm.models.message import Thinking

texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
marks = st.sampled_from(
    [
        {},
        {"openai_chat": {"field": "reasoning_content"}},
        {"openai_chat": {"field": "reasoning_details", "detail": {"type": "reasoning.text", "index": 0}}},
        {
            "openai_responses": {
                "item": {"summary": [{"type": "summary_text", "text": "a"}], "status": "done"}
            }
        },
    ]
)


@given(texts, texts, texts, marks)
def test_a_loan_comes_back_whole(
    signature: str | None, encrypted: str | None, id: str | None, extra: dict[str, Any]
) -> None:
    part = Thinking(text="hm", signature=signature, encrypted=encrypted, id=id, extra=extra)
    assert returned(Thinking(text="hm", signature=loan(part))) == part
    assert returned(Thinking(text="hm", encrypted=loan(part), id="rs_ours")) == part


def test_nothing_to_be_wanted_back_is_a_loan_as_well() -> None:
    assert loan(Thinking(text="hm")) == "tidyllm:{}"
    assert "hm" not in loan(Thinking(text="hm", signature="s"))


def test_only_what_a_format_itself_noted_is_lent() -> None:
    odd = {"openai_chat": {"field": "reasoning", "also": {"reasoning_content": "hm"}}, "index": 0}
    back = returned(Thinking(signature=loan(Thinking(extra=odd))))
    assert back is not None
    assert back.extra == {"openai_chat": {"field": "reasoning"}}
    by_hand = Thinking(signature="s", extra={"openai_chat": {"field": 7}})
    assert loan(by_hand) == 'tidyllm:{"signature":"s"}'


def test_an_id_may_begin_like_a_loan() -> None:
    told = Thinking(text="hm", signature="s", id=f"{LOAN}rs_1", extra={"openai_chat": {}})
    assert returned(told) == Thinking(text="hm", signature="s", id="rs_1")
    assert returned(Thinking(id=LOAN)) == Thinking()
    assert lender(told) == "openai_chat"


@pytest.mark.parametrize(
    "text",
    ["s", "", "tidyllm:", "tidyllm:x", "tidyllm:[]", 'tidyllm:{"id":7}', 'tidyllm:{"marks":{"openai_chat":1}}',
     "tidyllm:" + '{"marks":' * 3_000],
)  # fmt: skip
def test_a_text_that_only_looks_like_a_loan_is_none(text: str) -> None:
    assert returned(Thinking(signature=text)) is None
    assert returned(Thinking(encrypted=text)) is None


def test_the_lender_is_known_by_the_place_of_the_loan() -> None:
    assert lender(Thinking(encrypted=LOAN, extra={"openai_responses": {}})) == "openai_responses"
    assert lender(Thinking(signature=LOAN)) == "anthropic"
