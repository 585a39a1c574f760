"""Texts are counted exactly where the ranks are public, and bounded elsewhere; nothing makes the counter hang."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.tokens import (
    Count,
    bound_text,
    bound_tokens,
    count_request,
    count_text,
    count_tokens,
    family_of,
    input_counter,
)

GPT, CLAUDE = "openai/gpt-4o", "anthropic/claude-sonnet-4-5"
CATALOG = Catalog.default()


def info(name: str) -> ModelInfo:
    found = CATALOG.find(name)
    assert found is not None
    return found


def body(**fields: Any) -> bytes:
    return msgspec.json.encode(
        {"model": "m", "messages": [{"role": "user", "content": "Hello world"}], **fields}
    )


@pytest.mark.parametrize(
    ("text", "model", "tokens"),
    [
        ("", GPT, 0),
        ("hello world", GPT, 2),
        ("hello world", "gpt-4", 2),
        ("<|endoftext|>", GPT, 7),  # text like any other
        ("中", "gpt-4", 1),
        ("hello world", "openrouter/openai/gpt-5.1", 2),
        ("hello world", "groq/openai/gpt-oss-120b", 2),
    ],
)
def test_a_text_is_counted_exactly_where_the_ranks_are_public(text: str, model: str, tokens: int) -> None:
    assert count_text(text, model) == Count(tokens, exact=True)


@pytest.mark.parametrize(
    "model", [CLAUDE, "mistral/mistral-large-2512", "openai/gpt-99", "ollama/gpt-4o", "", "a/b/c"]
)
def test_elsewhere_a_text_is_bounded_by_its_bytes(model: str) -> None:
    assert count_text("héllo", model) == Count(6, exact=False)


def test_half_of_a_surrogate_pair_is_bounded_and_not_refused() -> None:
    assert count_text("a\ud800", GPT) == Count(4, exact=False)
    assert bound_text("\ud800") == 3


@given(st.text())
def test_no_text_is_more_tokens_than_bytes(text: str) -> None:
    for model in (GPT, "gpt-4"):
        assert count_text(text, model).tokens <= bound_text(text)


@given(st.text(), st.text())
def test_two_texts_apart_are_never_less_than_half_of_a_token_more_than_together(one: str, two: str) -> None:
    together = count_text(one + two, GPT).tokens
    assert together <= bound_text(one) + bound_text(two)


@pytest.mark.parametrize(
    "text",
    [
        "a",
        " ",
        "\n",
        "ab ",
        "中",
        "é",
        "0",
        "!",
        "'s",
        "aA",
        "\t \n",
        "👩‍👩‍👧",
        "\u017f",
        "<|",
        "ab\u0301",
        "\x00",
    ],
    ids=repr,
)
def test_a_million_characters_of_one_kind_are_counted(text: str) -> None:
    long = text * (1_000_000 // len(text))
    for model in (GPT, "gpt-4"):
        found = count_text(long, model)
        assert found.exact
        assert 0 < found.tokens <= bound_text(long)


def test_counting_loads_its_ranks_only_when_it_is_asked() -> None:
    program = (
        "import sys, tidyllm, tidyllm.tokens; assert not any(m.startswith('rs_bpe') for m in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_families_are_known_by_name_and_never_loosely() -> None:
    assert family_of("openai/gpt-5.6-sol").encoding == "o200k"
    assert family_of("o3-mini-2025-01-31").encoding == "o200k"
    assert family_of("openai/text-embedding-3-small").encoding == "cl100k"
    assert family_of("openai/gpt-7").encoding is None
    assert family_of("vllm/gpt-4o").encoding is None


# -- requests


def test_a_request_is_its_texts_and_a_few_tokens_around_them() -> None:
    assert count_tokens(body(), "openai_chat", GPT) == Count(2 + 4 + 8, exact=False)
    assert count_request(body(), "openai_chat", GPT) == 14
    assert count_request(msgspec.json.decode(body()), "openai_chat", GPT) == 14


def test_the_wide_bound_is_the_bytes_and_reads_no_text() -> None:
    assert bound_tokens(body(), info(GPT)) == len(body())
    assert (
        bound_tokens(body(tools=[{"type": "function"}]), info(GPT))
        == len(body(tools=[{"type": "function"}])) + 1_000
    )


def test_an_embedding_is_exact_and_so_are_tokens_counted_by_the_caller() -> None:
    model = "openai/text-embedding-3-small"
    assert count_tokens({"input": ["hello world", "hello"]}, "openai_embeddings", model) == Count(
        3, exact=True
    )
    assert count_tokens({"input": [1, 2, 3]}, "openai_embeddings", model) == Count(3, exact=True)


def picture(**url: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}


def test_a_picture_is_bounded_by_the_rule_of_its_family_and_not_by_its_bytes() -> None:
    data = picture(url="data:image/png;base64," + "A" * 100_000)
    for model, most in (
        (GPT, 1_445),
        ("openai/gpt-4o-mini", 48_169),
        ("openai/gpt-5-mini", 3_779),
        (CLAUDE, 4_784),
    ):
        found = count_request(data, "openai_chat", model)
        assert found is not None
        assert most <= found <= most + 250


@pytest.mark.parametrize(
    "part",
    [
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_audio", "input_audio": {"data": "AA"}},
        {"type": "text", "file_id": "f"},
    ],
)
def test_what_is_not_in_the_body_is_bounded_by_the_window(part: dict[str, Any]) -> None:
    request = {"messages": [{"role": "user", "content": [part]}]}
    assert count_request(request, "anthropic", GPT) == 128_000
    assert count_request(request, "anthropic", "nobody/nothing") is None
    assert count_request({"input": "x", "previous_response_id": "r"}, "openai_responses", GPT) == 128_000
    assert (
        count_request(picture(url="u"), "openai_chat", "openai/gpt-5.4")
        == info("openai/gpt-5.4").context_window_tokens
    )


def test_text_documents_are_text() -> None:
    part = {"type": "document", "source": {"type": "text", "data": "hello world"}}
    found = count_request({"messages": [{"role": "user", "content": [part]}]}, "anthropic", GPT)
    assert found is not None
    assert found < 50


def test_tools_that_the_provider_runs_are_bounded_by_their_cap_or_by_nothing() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    assert bound_tokens(body(tools=[search]), info(CLAUDE)) is None
    assert count_request(body(tools=[search]), "anthropic", CLAUDE) is None
    capped = body(tools=[{**search, "max_uses": 2}])
    window = info(CLAUDE).context_window_tokens
    assert window is not None
    assert bound_tokens(capped, info(CLAUDE)) == 3 * window
    assert count_request(capped, "anthropic", CLAUDE) == 3 * window
    assert (
        bound_tokens(body(tools=[{"type": "web_search"}], max_tool_calls=0), info(GPT))
        == len(body(tools=[{"type": "web_search"}], max_tool_calls=0)) + 1_000
    )


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"messages": 3}', b'{"messages": [[[3]]]}', b"\xff", b'{"input": {}}']
)
def test_any_bytes_can_be_asked_about(raw: bytes) -> None:
    assert count_request(raw, "openai_chat", "nobody/nothing") is None or raw.startswith(b"{")
    assert bound_tokens(raw, info(GPT)) is not None


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    )
)
def test_a_body_of_any_shape_has_a_count_or_none(content: Any) -> None:
    found = count_request({"messages": [{"role": "user", "content": content}]}, "openai_chat", GPT)
    assert found is None or found >= 0


def test_the_counter_for_budgets_leaves_long_bodies_to_their_bytes() -> None:
    assert input_counter(body(), info(GPT)) == 14
    assert input_counter(body(padding="x" * 1_000_001), info(GPT)) is None
    assert input_counter(body(previous_response_id="r"), ModelInfo(name="a/b")) is None
