"""Every recorded answer that tells its usage costs what rules written by hand say, read from the provider's own JSON.

Nothing here goes through `Usage` or the catalogue's numbers: prices and rules stand in this file a second time.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import msgspec

from tests.shared_data import exchanges
from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.models.fold import fold
from tidyllm.models.formats import wire_format
from tidyllm.models.piece import Piece
from tidyllm.models.pricing import cost_usd, served_tier
from tidyllm.models.pricing_usage import bedrock_usage, gemini_usage
from tidyllm.models.response import Response, Usage
from tidyllm.models.sse import EventParser

QUIET = dt.datetime(2026, 11, 21, 4, 30, tzinfo=dt.UTC).timestamp()
CATALOG = Catalog.default()

# Dollars per million tokens: input, output, cache read, cache write (5 min), sound heard, sound spoken. "-": not sold.
PRICES = """
anthropic/claude-3-opus-latest 15 75 1.5 18.75
anthropic/claude-fable-5 10 50 1 12.5
anthropic/claude-haiku-4-5 1 5 0.1 1.25
anthropic/claude-opus-4-6 5 25 0.5 6.25
anthropic/claude-opus-4-7 5 25 0.5 6.25
anthropic/claude-opus-4-8 5 25 0.5 6.25
anthropic/claude-opus-5 5 25 0.5 6.25
anthropic/claude-sonnet-4-0 3 15 0.3 3.75
anthropic/claude-sonnet-4-5 3 15 0.3 3.75
anthropic/claude-sonnet-4-5-20250929 3 15 0.3 3.75
anthropic/claude-sonnet-4-6 3 15 0.3 3.75
anthropic/claude-sonnet-5 2 10 0.2 2.5
bedrock/amazon.nova-micro-v1:0 0.035 0.14 0.00875 0.035
bedrock/google.gemma-3-27b-it 0.23 0.38
bedrock/moonshot.kimi-k2-thinking 0.6 2.5
bedrock/nvidia.nemotron-nano-12b-v2 0.2 0.6
bedrock/qwen.qwen3-32b-v1:0 0.15 0.6
bedrock/us.amazon.nova-2-lite-v1:0 0.33 2.75 0.0825 0.33
bedrock/us.amazon.nova-lite-v1:0 0.06 0.24 0.015 0.06
bedrock/us.amazon.nova-micro-v1:0 0.035 0.14 0.00875 0.035
bedrock/us.amazon.nova-pro-v1:0 0.8 3.2 0.2 0.8
bedrock/us.anthropic.claude-3-7-sonnet-20250219-v1:0 3 15 0.3 3.75
bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0 3 15 0.3 3.75
bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0 3.3 16.5 0.33 4.125
bedrock/us.anthropic.claude-sonnet-4-6 3.3 16.5 0.33 4.125
bedrock/us.deepseek.r1-v1:0 1.35 5.4
bedrock/us.meta.llama4-maverick-17b-instruct-v1:0 0.24 0.97
cerebras/llama-3.3-70b 0.85 1.2
cerebras/zai-glm-4.7 2.25 2.75
deepseek/deepseek-v4-flash 0.15 0.6 0.003
google/gemini-1.5-flash 0.075 0.3 0.01875
google/gemini-2.0-flash 0.1 0.4 0.025 - 0.7
google/gemini-2.5-flash 0.3 2.5 0.03 - 1
google/gemini-2.5-pro 1.25 10 0.125
google/gemini-3-flash-preview 0.5 3 0.05 - 1
google/gemini-3-pro-preview 2 12 0.2
google/gemini-3.5-flash 1.5 9 0.15
google/gemini-3.6-flash 0.75 3.75 0.075
groq/llama-3.3-70b-versatile 0.59 0.79
groq/llama3-8b-8192 0.05 0.08
groq/meta-llama/llama-4-maverick-17b-128e-instruct 0.2 0.6
groq/meta-llama/llama-4-scout-17b-16e-instruct 0.11 0.34
groq/openai/gpt-oss-120b 0.15 0.6 0.075
groq/qwen/qwen3-32b 0.29 0.59
mistral/mistral-large-latest 0.5 1.5 0.05
mistral/mistral-medium-latest 1.5 7.5 0.15
mistral/mistral-small-latest 0.15 0.6 0.015
openai/computer-use-preview 3 12
openai/gpt-4.1 2 8 0.5
openai/gpt-4.1-mini 0.4 1.6 0.1
openai/gpt-4.5-preview 75 150 37.5
openai/gpt-4o 2.5 10 1.25
openai/gpt-4o-audio-preview 2.5 10 - - 40 80
openai/gpt-4o-mini 0.15 0.6 0.075
openai/gpt-5 1.25 10 0.125
openai/gpt-5-mini 0.25 2 0.025
openai/gpt-5-pro 15 120
openai/gpt-5.2 1.75 14 0.175
openai/gpt-5.4 2.5 15 0.25
openai/gpt-5.4-mini 0.75 4.5 0.075
openai/gpt-5.5 5 30 0.5
openai/gpt-5.6 4 20 0.4 5
openai/gpt-5.6-sol 4 20 0.4 5
openai/o1-mini 1.1 4.4 0.55
openai/o3 2 8 0.5
openai/o3-mini 1.1 4.4 0.55
openai/o4-mini 1.1 4.4 0.275
openai/text-embedding-3-small 0.02 0
openrouter/anthropic/claude-sonnet-4.5 3 15 0.3 3.75
openrouter/anthropic/claude-sonnet-4.6 3 15 0.3 3.75
openrouter/openai/gpt-4.1-mini 0.4 1.6 0.1
openrouter/openai/gpt-4o-mini 0.15 0.6 0.075
openrouter/openai/gpt-5-mini 0.25 2 0.025
openrouter/openai/o3 2 8 0.5
vertex/gemini-2.0-flash 0.15 0.6 - - 1
vertex/gemini-2.5-flash 0.3 2.5 0.03 - 1
vertex/gemini-3-flash-preview 0.5 3 0.05 - 1
voyage/voyage-3.5 0.06 0
zai/glm-4.7 0.6 2.2 0.11
zai/glm-5.3 1.4 4.4 0.26
"""
RATES = {line.split()[0]: line.split()[1:] for line in PRICES.strip().splitlines()}
SELLERS = {
    "api.openai.com": "openai",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "openrouter.ai": "openrouter",
    "api.z.ai": "zai",
    "api.cerebras.ai": "cerebras",
    "api.deepseek.com": "deepseek",
    "api.anthropic.com": "anthropic",
    "api.voyageai.com": "voyage",
    "bedrock": "bedrock",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "vertex",
    "europe-west4-aiplatform.googleapis.com": "vertex",
}
KINDS = (
    "openai_chat",
    "openai_responses",
    "anthropic_messages",
    "bedrock_converse",
    "bedrock_converse_stream",
    "gemini_generate",
    "gemini_stream",
    "openai_embeddings",
)


# -- from the JSON, by hand


def dollars(name: str, *tokens: int) -> Decimal:
    """`tokens` in the order of the columns of PRICES."""
    rates = [*RATES[name], *("-" * 6)]
    return sum((Decimal(rates[i]) * n / 1_000_000 for i, n in enumerate(tokens) if n), Decimal(0))


def by_hand(kind: str, name: str, raw: dict[str, Any]) -> Decimal:
    def n(*path: str) -> int:
        *outer, last = path
        at = raw
        for key in outer:
            at = within(at, key)
        return at.get(last) or 0

    def heard(details: str) -> int:
        return sum(d["tokenCount"] for d in raw.get(details, []) if d["modality"] == "AUDIO")

    if name.startswith("openrouter/") and "cost" in raw:
        return Decimal(str(raw["cost"]))
    if kind == "openai_chat":
        read = n("prompt_tokens_details", "cached_tokens") or n("num_cached_tokens") or n("cached_tokens")
        sound = n("prompt_tokens_details", "audio_tokens")
        spoken = n("completion_tokens_details", "audio_tokens")
        kept = n("prompt_tokens_details", "cache_write_tokens")
        fresh = n("prompt_tokens") - read - kept - sound
        return dollars(name, fresh, n("completion_tokens") - spoken, read, kept, sound, spoken)
    if kind == "openai_responses":
        read, kept = (
            n("input_tokens_details", "cached_tokens"),
            n("input_tokens_details", "cache_write_tokens"),
        )
        return dollars(name, n("input_tokens") - read - kept, n("output_tokens"), read, kept)
    if kind == "anthropic_messages":
        assert not n("cache_creation", "ephemeral_1h_input_tokens")
        parts = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        total = dollars(name, *(n(part) for part in parts))
        for turn in raw.get("iterations") or ():
            if turn["type"] == "advisor_message":
                total += dollars(f"anthropic/{turn['model']}", turn["input_tokens"], turn["output_tokens"])
        return total + n("server_tool_use", "web_search_requests") * Decimal("0.01")
    if kind.startswith("bedrock"):
        parts = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
        return dollars(name, *(n(part) for part in parts))
    if kind.startswith("gemini"):
        read, sound = n("cachedContentTokenCount"), heard("promptTokensDetails")
        fresh = n("promptTokenCount") + n("toolUsePromptTokenCount") - read - sound
        return dollars(name, fresh, n("candidatesTokenCount") + n("thoughtsTokenCount"), read, 0, sound)
    return dollars(name, raw["total_tokens"])


def usage_in(exchange: dict[str, Any]) -> dict[str, Any]:
    """The provider's usage object, wherever it is: of a stream, all that its events say of it, later ones first."""
    if exchange.get("body_b64"):
        found = re.findall(
            rb'"usage":(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})', base64.b64decode(exchange["body_b64"])
        )
        return msgspec.json.decode(found[-1]) if found else {}
    lines = (exchange.get("body") or "").splitlines()
    events: list[Any] = [exchange.get("body_json")]
    events += [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: {")]
    usage: dict[str, Any] = {}
    for event in events:
        for inner in (event, within(event, "message"), within(event, "response")):
            said = within(inner, "usage") or within(inner, "usageMetadata")
            usage |= {name: count for name, count in said.items() if count}
    return usage


def within(event: Any, name: str) -> dict[str, Any]:
    found = event.get(name) if isinstance(event, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


# -- by the product


def ours(kind: str, exchange: dict[str, Any], info: ModelInfo | None, raw: dict[str, Any]) -> Decimal | None:
    if kind.startswith("bedrock"):
        response = Response(usage=bedrock_usage(raw))
    elif kind.startswith("gemini"):
        response = Response(usage=gemini_usage(raw))
    elif kind == "openai_embeddings":
        response = Response(usage=Usage(input_tokens=raw.get("prompt_tokens", raw["total_tokens"])))
    else:
        response = decoded(kind.removesuffix("_messages"), exchange)
    return cost_usd(response.usage, info, tier=served_tier(response), at=QUIET)


def decoded(format: str, exchange: dict[str, Any]) -> Response:
    wire = wire_format(format)
    if exchange.get("body_json") is not None:
        return wire.decode_response(exchange["body_json"])
    parser, decoder, pieces = EventParser(), wire.stream_decoder(), list[Piece]()
    for event in parser.feed(exchange["body"].encode()):
        pieces += decoder.feed(event)
    return fold(pieces)


def named(kind: str, exchange: dict[str, Any]) -> str:
    """`seller/model`, as the request asked for it; a host that is no seller's stands for itself."""
    if kind.startswith(("bedrock", "gemini")):
        [model] = re.findall(r"/models?/([^/:]+(?:%3A[^/:]+)*)(?:[:/])", exchange["path"])[-1:]
    else:
        model = exchange["request"].get("model")
    return f"{SELLERS.get(exchange['host'], exchange['host'])}/{unquote(str(model))}"


def with_usage(kinds: Iterable[str] = KINDS) -> Iterable[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    for kind in kinds:
        for exchange in exchanges(kind):
            raw = usage_in(exchange)
            if any(isinstance(count, int) for count in raw.values()) and exchange["status"] < 400:
                yield kind, exchange, named(kind, exchange), raw


def test_every_recorded_answer_costs_what_the_rules_written_by_hand_say(
    record_property: Callable[[str, object], None],
) -> None:
    priced, unpriced = Counter[str](), Counter[str]()
    for kind, exchange, name, raw in with_usage():
        cost = ours(kind, exchange, CATALOG.find(name), raw)
        if name in RATES or (name.startswith("openrouter/") and "cost" in raw):
            assert cost is not None, (name, raw)
            assert abs(cost - by_hand(kind, name, raw)) <= Decimal("1e-9"), (name, raw, exchange["source"])
            priced[kind] += 1
        else:
            assert cost is None, (name, raw)
            unpriced[name] += 1
    record_property("priced", dict(priced))
    record_property("unpriced", dict(unpriced))
    assert (priced.total(), unpriced.total()) == (790, 32)
