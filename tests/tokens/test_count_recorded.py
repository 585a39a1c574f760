"""No recorded prompt was more tokens than our bounds say, as its provider counted them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import msgspec
import pytest

from tests.models.test_pricing_recorded import with_usage
from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.tokens import bound_tokens, count_tokens

CATALOG = Catalog.default()
AGENTS = {"groq/compound-beta"}
"""Models that search by themselves, unasked: what they read is in no request. The catalogue has none of them."""


def counted(kind: str, raw: dict[str, Any]) -> int:
    """The tokens of the prompt that the provider billed."""
    parts = {
        "openai_chat": ("prompt_tokens",),
        "openai_embeddings": ("total_tokens",),
        "openai_responses": ("input_tokens",),
        "anthropic_messages": ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
        "bedrock_converse": ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens"),
    }[kind]
    return sum(raw.get(part) or 0 for part in parts)


KINDS = ("openai_chat", "openai_embeddings", "openai_responses", "anthropic_messages", "bedrock_converse")


def prompts(*kinds: str) -> Iterable[tuple[str, str, ModelInfo, bytes, int]]:
    for kind, exchange, name, raw in with_usage(kinds):
        if counted(kind, raw) and name not in AGENTS:
            info = CATALOG.find(name) or ModelInfo(name=name)
            yield kind, name, info, msgspec.json.encode(exchange["request"]), counted(kind, raw)


@pytest.mark.parametrize("kind", KINDS)
def test_no_recorded_prompt_is_above_the_bound_of_its_bytes(kind: str) -> None:
    bounded = 0
    for _, name, info, body, tokens in prompts(kind):
        bound = bound_tokens(body, info)
        assert bound is None or bound >= tokens, (name, bound, tokens)
        bounded += bound is not None
    assert bounded >= (3 if kind == "openai_embeddings" else 90)


@pytest.mark.parametrize("kind", KINDS)
def test_no_recorded_prompt_is_above_the_count(kind: str) -> None:
    known = 0
    for _, name, info, body, tokens in prompts(kind):
        count = count_tokens(body, kind, name, info=info)
        assert count is None or count.tokens >= tokens, (name, count, tokens)
        assert count is None or not count.exact or count.tokens == tokens
        known += count is not None
    assert known >= (3 if kind == "openai_embeddings" else 90)


def test_plain_prompts_of_openai_are_counted_to_a_few_tokens(
    record_property: Callable[[str, object], None],
) -> None:
    above: list[int] = []
    for kind, name, info, body, tokens in prompts("openai_chat", "openai_responses"):
        fields = msgspec.json.decode(body)
        turns = fields.get("messages") or fields.get("input")
        plain = isinstance(turns, str) or all(isinstance(turn.get("content"), str) for turn in turns)
        if (
            name.startswith("openai/")
            and plain
            and not fields.keys() & {"tools", "response_format", "text", "reasoning"}
        ):
            count = count_tokens(body, kind, name, info=info)
            if count is not None and count.tokens < 100_000:  # else it was bounded by the window
                above.append(count.tokens - tokens)
    record_property("tokens above the truth", sorted(above))
    assert len(above) >= 30
    assert min(above) >= 0
    assert median(above) <= 6
