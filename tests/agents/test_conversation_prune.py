"""A conversation fits its budget, with calls and results together, and what left it can be found."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.agents.conversation import Conversation
from tidyllm.agents.prune import NOTE
from tidyllm.errors import ConfigError
from tidyllm.models import Catalog, Message, ToolCall, ToolResult
from tidyllm.tokens import count_request

MODELS = ("openai/gpt-5.1", "anthropic/claude-sonnet-4-5", "")
texts = st.text(max_size=60) | st.integers(1, 400).map(lambda n: "word " * n) | st.just("中文" * 80)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """Any conversation: talk, and turns with up to three calls, each with its result, one message or several."""
    said = [Message("system", draw(texts))] if draw(st.booleans()) else []
    said.append(Message.user(draw(texts)))
    for turn in range(draw(st.integers(0, 12))):
        if draw(st.booleans()):
            said.append(Message("assistant" if draw(st.booleans()) else "user", draw(texts)))
            continue
        ids = [f"{turn}-{n}" for n in range(draw(st.integers(1, 3)))]
        calls = [ToolCall(id=one, name="look", raw_arguments="{}") for one in ids]
        said.append(Message.assistant(draw(texts), *calls))
        results = [ToolResult(call_id=one, content=draw(texts), is_error=draw(st.booleans())) for one in ids]
        said += (
            [Message("tool", tuple(results))]
            if draw(st.booleans())
            else [Message("tool", (r,)) for r in results]
        )
    return said


def called_and_answered(messages: tuple[Message, ...]) -> tuple[list[str], list[str]]:
    parts = [part for message in messages for part in message.parts]
    called = [part.id for part in parts if isinstance(part, ToolCall)]
    return called, [part.call_id for part in parts if isinstance(part, ToolResult)]


@given(histories(), st.integers(0, 3_000), st.sampled_from(MODELS))
def test_it_is_never_above_its_budget_and_never_cuts_a_pair(
    said: list[Message], budget: int, model: str
) -> None:
    talk = Conversation(said, model=model)
    fitted = talk.fit(budget)
    called, answered = called_and_answered(talk.messages)
    assert called == answered
    if fitted is None:
        assert talk.messages == tuple(said)
    assert talk.tokens <= budget or (not talk.messages and fitted is not None)


@given(histories(), st.integers(100, 3_000))
def test_the_count_is_never_below_the_one_of_the_request(said: list[Message], budget: int) -> None:
    talk = Conversation(said, model="openai/gpt-5.1")
    talk.fit(budget)
    body = {"messages": [{"role": m.role, "content": m.text} for m in talk.messages]}
    assert (count_request(body, "openai_chat", "openai/gpt-5.1") or 0) <= max(talk.tokens, 16)


@given(histories())
def test_what_fits_is_unchanged(said: list[Message]) -> None:
    talk = Conversation(said, model="openai/gpt-5.1")
    assert talk.fit(talk.tokens) is None
    assert talk.messages == tuple(said)


@given(histories(), st.integers(0, 2_000))
def test_nothing_is_lost(said: list[Message], budget: int) -> None:
    talk = Conversation(said)
    talk.fit(budget)
    there = [*talk.messages, *(entry.message for entry in talk.archive.entries)]
    assert all(message in there for message in said)


def long_talk(turns: int = 40) -> Conversation:
    talk = Conversation(
        [Message("system", "Be brief."), Message.user("Mend the parser.")], model="openai/gpt-5.1"
    )
    for n in range(turns):
        talk.add(Message.assistant(f"turn {n} " * 30))
    return talk


def test_the_first_the_last_decisions_and_errors_stay() -> None:
    talk = long_talk(10)
    talk.add(Message.assistant("We rewrite the tokenizer."), "decision")
    talk.add(Message.assistant("", ToolCall(id="a", name="run_tests")))
    talk.add(Message.tool("a", "2 failed", is_error=True))
    for n in range(30):
        talk.add(Message.assistant(f"later {n} " * 30))
    talk.fit(1_000)
    said = [message.text for message in talk.messages]
    assert said[:2] == ["Be brief.", "Mend the parser."]
    assert said[-1].startswith("later 29")
    assert "We rewrite the tokenizer." in said
    assert called_and_answered(talk.messages) == (["a"], ["a"])
    assert talk.messages.count(NOTE) == 1


def test_after_fitting_there_is_room_so_that_the_next_turns_leave_the_cache_alone() -> None:
    talk = long_talk()
    talk.fit(2_000)
    before = talk.messages
    for n in range(5):
        talk.add(Message.assistant(f"more {n}"))
        assert talk.fit(2_000) is None
    assert talk.messages[: len(before)] == before


def test_fitting_again_keeps_the_beginning_and_one_note() -> None:
    talk = long_talk()
    talk.fit(2_000)
    head = talk.messages[:3]
    for n in range(40):
        talk.add(Message.assistant(f"more {n} " * 30))
    talk.fit(2_000)
    assert talk.messages[:3] == head == (*head[:2], NOTE)
    assert talk.messages.count(NOTE) == 1
    assert NOTE not in [entry.message for entry in talk.archive.entries]


def test_what_was_taken_out_is_found_by_its_words() -> None:
    talk = long_talk()
    talk.add(Message.assistant("The password policy is in policy.py."))
    for n in range(40):
        talk.add(Message.assistant(f"more {n} " * 30))
    talk.fit(1_500)
    assert talk.archive.search("password policy")[0].text == "The password policy is in policy.py."
    assert talk.archive.search("zebra") == []


def test_it_is_saved_and_read_back_with_its_archive(tmp_path: Path) -> None:
    talk = long_talk()
    talk.fit(1_500)
    talk.save(tmp_path / "talk.json")
    again = Conversation.load(tmp_path / "talk.json")
    assert again.messages == talk.messages
    assert again.archive.entries == talk.archive.entries
    assert again.to_json() == talk.to_json()
    with pytest.raises(ConfigError, match="no saved conversation"):
        Conversation.from_json("[1]")


def test_the_dollars_of_fitting_count_the_cache_that_is_lost() -> None:
    info = Catalog.default().find("anthropic/claude-sonnet-4-5")
    assert info is not None
    talk = long_talk()
    done = talk.fit(20_000, info) or talk.fit(2_000, info)
    assert done is not None
    assert done.lost_usd is not None
    assert done.net_usd(0) == -done.lost_usd
    assert (done.net_usd(1_000) or 0) > 0
    assert Conversation(["x" and Message.user("x" * 900)]).fit(500) is not None
    unpriced = long_talk().fit(500)
    assert unpriced is not None
    assert unpriced.net_usd() is None


def test_without_a_public_tokenizer_the_provider_s_own_count_is_used() -> None:
    talk = Conversation([Message.user("word " * 2_000)], model="anthropic/claude-sonnet-4-5")
    by_bytes = talk.tokens
    talk.told(2_400, sent=1)
    assert 2_400 <= talk.tokens < by_bytes
    assert talk.fit(5_000) is None


def test_prices_are_exact() -> None:
    info = Catalog.default().find("openai/gpt-5.1")
    done = long_talk().fit(1_500, info)
    assert done is not None
    assert isinstance(done.saved_usd, Decimal)
    assert msgspec.json.encode(done)
