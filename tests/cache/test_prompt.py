"""Marks for Anthropic's cache: at most four, on prefixes that are long enough, and nothing else is changed."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import exchanges
from tidyllm.cache import MarkPolicy, mark_body, mark_request, prompt_cache_saved_usd
from tidyllm.cache.prompt import least_tokens
from tidyllm.errors import ConfigError
from tidyllm.models import Message, Request, Text, Tool
from tidyllm.models.catalog import Catalog
from tidyllm.models.formats import provider_format
from tidyllm.models.response import Usage

LONG = "word " * 2_000
ALL = MarkPolicy(min_tokens=0)
MARK = {"type": "ephemeral"}

texts = st.text(max_size=30)
blocks = st.fixed_dictionaries(
    {"type": st.just("text"), "text": texts}, optional={"cache_control": st.just(MARK)}
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant"]), "content": texts | st.lists(blocks, max_size=4)}
)
bodies = st.fixed_dictionaries(
    {"model": st.just("claude-sonnet-4-5"), "messages": st.lists(turns, max_size=5)},
    optional={
        "system": texts | st.lists(blocks, max_size=3),
        "tools": st.lists(
            st.fixed_dictionaries({"name": texts, "input_schema": st.builds(dict[str, Any])}), max_size=3
        ),
    },
)


def marks(value: Any) -> int:
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return ("cache_control" in held) + sum(map(marks, held.values()))
    return sum(map(marks, cast("list[Any]", value))) if isinstance(value, list) else 0


def unmarked(value: Any) -> Any:
    """Without marks, and with plain text as one block."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        plain = {name: unmarked(item) for name, item in held.items() if name != "cache_control"}
        for name in ("content", "system"):
            if isinstance(text := plain.get(name), str) and text:
                plain[name] = [{"type": "text", "text": text}]
        return plain
    return [unmarked(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


@given(bodies, st.sampled_from([0, 5, 50]))
def test_marks_change_nothing_else_and_are_never_more_than_four(body: dict[str, Any], least: int) -> None:
    before, had = copy.deepcopy(body), marks(body)
    marked = mark_body(body, MarkPolicy(min_tokens=least))
    assert body == before
    assert unmarked(marked) == unmarked(body)
    assert had <= marks(marked) <= max(had, 4)
    assert marks(mark_body(marked, MarkPolicy(min_tokens=least))) <= max(had, 4)


def test_recorded_requests_keep_their_order_and_text() -> None:
    seen = 0
    for exchange in exchanges("anthropic_messages"):
        body = exchange["request"]
        if isinstance(body, dict) and "messages" in body:
            seen += 1
            marked = mark_body(cast("dict[str, Any]", body), ALL)
            assert unmarked(marked) == unmarked(body)
            assert [*marked] == [*cast("dict[str, Any]", body)]
            assert 1 <= marks(marked) <= max(4, marks(body))
            assert "cache_control" not in body or marked == body
    assert seen > 100


def test_marks_stand_at_the_end_of_tools_system_and_the_last_two_turns() -> None:
    body = {
        "model": "claude-sonnet-4-5",
        "tools": [{"name": "a"}, {"name": "b"}],
        "system": LONG,
        "messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": [{"type": "text", "text": "three"}]},
        ],
    }
    marked = mark_body(body, ALL)
    assert [tool.get("cache_control") for tool in marked["tools"]] == [None, MARK]
    assert marked["system"] == [{"type": "text", "text": LONG, "cache_control": MARK}]
    contents = [turn["content"] for turn in marked["messages"]]
    assert contents[0][-1]["cache_control"] == contents[2][-1]["cache_control"] == MARK
    assert contents[1] == "two"


@pytest.mark.parametrize(
    ("model", "marked"), [("claude-sonnet-4-5", 2), ("claude-haiku-4-5", 0), ("who-knows", 0)]
)
def test_a_prefix_that_the_model_would_not_keep_is_not_marked(model: str, marked: int) -> None:
    body = {"model": model, "system": "x" * 4 * 1_500, "messages": [{"role": "user", "content": "Hi"}]}
    assert marks(mark_body(body)) == marked


def test_a_counter_of_tokens_decides_what_is_long_enough() -> None:
    body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "Hi"}]}
    assert marks(mark_body(body, count=lambda text: 5_000)) == 1


def test_a_request_of_ours_is_marked_in_the_same_places() -> None:
    request = Request(
        (Message.user("one"), Message.assistant("two"), Message.user("three")),
        system=LONG,
        tools=(Tool("a", parameters={"type": "object"}),),
    )
    marked = mark_request(request, ALL)
    sent = provider_format("anthropic").encode_request(
        msgspec.structs.replace(marked, model="claude-sonnet-4-5", max_output_tokens=10), stream=False
    )
    plain = provider_format("anthropic").encode_request(
        msgspec.structs.replace(request, model="claude-sonnet-4-5", max_output_tokens=10), stream=False
    )
    assert marks(msgspec.to_builtins(sent.body)) == 4
    assert unmarked(msgspec.to_builtins(sent.body)) == unmarked(msgspec.to_builtins(plain.body))
    assert mark_request(marked, ALL) == marked


def test_a_short_request_is_given_back_as_it_is() -> None:
    request = Request("Hi", model="claude-sonnet-4-5")
    assert mark_request(request) is request


def test_an_hour_is_said_in_the_mark_and_places_can_be_chosen() -> None:
    request = Request("Hi", system=(Text(text="a"), Text(text="b")))
    marked = mark_request(request, MarkPolicy(places=["system"], ttl="1h", min_tokens=0))
    assert isinstance(marked.system, tuple)
    assert [part.extra for part in marked.system] == [{}, {"cache_control": {**MARK, "ttl": "1h"}}]
    assert marked.messages == "Hi"


@pytest.mark.parametrize("options", [{"places": ["head"]}, {"ttl": "2h"}, {"min_tokens": -1}])
def test_policies_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"MarkPolicy.{next(iter(options))}"):
        MarkPolicy(**options)


def test_what_a_provider_saved_is_the_price_without_less_the_price_with() -> None:
    info = (
        Catalog.default()
        .with_(
            {
                "up/m": {
                    "prices": {"input": "3", "output": "15", "cache_read": "0.3", "cache_write_5m": "3.75"}
                }
            }
        )
        .find("up/m")
    )
    reading = Usage(input_tokens=10_000, output_tokens=100, cache_read_tokens=8_000)
    writing = Usage(input_tokens=10_000, output_tokens=100, cache_write_5m_tokens=8_000)
    assert prompt_cache_saved_usd(reading, info) == Decimal("0.0216")
    assert prompt_cache_saved_usd(writing, info) == Decimal("-0.006")
    assert prompt_cache_saved_usd(Usage(input_tokens=5, output_tokens=5), info) == 0
    assert prompt_cache_saved_usd(reading, None) is None


def test_each_model_of_the_catalogue_has_a_least_length() -> None:
    assert [least_tokens(name) for name in ("claude-opus-4-5", "claude-sonnet-4-6", "claude-3-5-haiku", "x")] == [
        4096, 2048, 2048, 4096,
    ]  # fmt: skip
