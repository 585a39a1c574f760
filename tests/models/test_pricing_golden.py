"""Answers as each provider sends them, whole and streamed, and what they cost: computed by hand beside each one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tidyllm.models.catalog import Catalog, ModelInfo, Prices
from tidyllm.models.fold import fold
from tidyllm.models.formats import provider_format
from tidyllm.models.piece import Piece
from tidyllm.models.pricing import Cost, Unpriced, at_most_usd, price, served_tier
from tidyllm.models.pricing_usage import bedrock_usage, gemini_usage
from tidyllm.models.response import Response, Usage
from tidyllm.models.sse import EventParser

CATALOG = Catalog.default()
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com/v1"

CHAT: dict[str, Any] = {"id": "c", "object": "chat.completion", "model": "m"}
CHAT["choices"] = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}]
RESPONSES: dict[str, Any] = {
    "id": "r",
    "object": "response",
    "status": "completed",
    "model": "m",
    "output": [],
}
MESSAGE: dict[str, Any] = {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": []}
MESSAGE["stop_reason"] = "end_turn"


def chat(usage: dict[str, Any], **more: Any) -> Response:
    return provider_format("openai_chat").decode_response({**CHAT, "usage": usage, **more})


def responses(usage: dict[str, Any], **more: Any) -> Response:
    return provider_format("openai_responses").decode_response({**RESPONSES, "usage": usage, **more})


def claude(**usage: Any) -> Response:
    return provider_format("anthropic").decode_response({**MESSAGE, "usage": usage})


def cost(response: Response, info: ModelInfo | None) -> Cost:
    found = price(response.usage, info, tier=served_tier(response))
    assert isinstance(found, Cost), found
    assert found.usd == sum(line.usd for line in found.lines)
    return found


def tokens(
    prompt: int, answer: int, prompt_details: Any = None, answer_details: Any = None
) -> dict[str, Any]:
    """A usage object of OpenAI's chat."""
    found: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
    return found | {
        "prompt_tokens_details": prompt_details or {},
        "completion_tokens_details": answer_details or {},
    }


def chat_cases() -> list[tuple[str, str, str, dict[str, Any], dict[str, Any], str]]:
    """What it shows, address, model, usage, more fields of the answer, dollars."""
    read = tokens(10_000, 500, {"cached_tokens": 8_000})
    wrote = tokens(10_000, 500, {"cached_tokens": 4_000, "cache_write_tokens": 5_000})
    thought = tokens(1_000, 900, None, {"reasoning_tokens": 800})
    sound = tokens(1_000, 600, {"audio_tokens": 800}, {"audio_tokens": 500})
    plain, long = tokens(1_000, 100), tokens(300_000, 1_000)
    cached = {**tokens(10_000, 500), "num_cached_tokens": 9_000}
    groq = "https://api.groq.com/openai/v1"
    mistral, xai, router = "https://api.mistral.ai/v1", "https://api.x.ai/v1", "https://openrouter.ai/api/v1"
    return [
        # 2,000 x 1.25 + 8,000 x 0.125 + 500 x 10
        ("cache read", OPENAI, "gpt-5.1", read, {}, "0.0085"),
        # 1,000 x 4 + 4,000 x 0.40 + 5,000 x 5 + 500 x 20
        ("cache write", OPENAI, "gpt-5.6-sol", wrote, {}, "0.0406"),
        # 1,000 x 1.25 + 900 x 10: the 800 are inside the 900
        ("reasoning", OPENAI, "gpt-5.1", thought, {}, "0.01025"),
        # 200 x 2.50 + 800 x 32 + 100 x 10 + 500 x 64
        ("audio", OPENAI, "gpt-audio", sound, {}, "0.0591"),
        # 300,000 x 5 + 1,000 x 22.50
        ("tier by length", OPENAI, "gpt-5.4", long, {}, "1.5225"),
        # (1,000 x 1.25 + 100 x 10), halved and doubled
        ("flex", OPENAI, "gpt-5.1", plain, {"service_tier": "flex"}, "0.001125"),
        ("priority", OPENAI, "gpt-5.1", plain, {"service_tier": "priority"}, "0.0045"),
        # (1,000 x 2.50 + 100 x 15) x 1.1, and again halved
        ("region", "https://eu.api.openai.com/v1", "gpt-5.4", plain, {}, "0.0044"),
        ("region, flex", "https://us.api.openai.com/v1", "gpt-5.4", plain, {"service_tier": "flex"}, "0.0022"),
        ("region at the list price", "https://eu.api.openai.com/v1", "gpt-5.1", plain, {}, "0.00225"),
        # 1,000 x 0.15 + 100 x 0.60
        ("another seller", groq, "openai/gpt-oss-120b", plain, {"service_tier": "on_demand"}, "0.00021"),
        # 1,000 x 0.5 + 9,000 x 0.05 + 500 x 1.5; Mistral puts the count elsewhere
        ("their own word", mistral, "mistral-large-latest", cached, {}, "0.0017"),
        ("the bill in the answer", xai, "grok-4.3", {**plain, "cost_in_usd_ticks": 37_756_000}, {}, "0.0037756"),
        ("the bill in the answer", router, "any/model", {**plain, "cost": 0.00123}, {}, "0.00123"),
        ("a bill in two parts", router, "any/model",
         {**plain, "cost": 0.0001, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.002}}, {}, "0.0021"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "model", "usage", "more", "usd"),
    [case[1:] for case in chat_cases()],
    ids=[c[0] for c in chat_cases()],
)
def test_a_chat_answer_costs(
    at: str, model: str, usage: dict[str, Any], more: dict[str, Any], usd: str
) -> None:
    assert cost(chat(usage, **more), CATALOG.sold_at(at, model)).usd == Decimal(usd)


def test_a_response_with_both_cache_writes_and_reasoning_costs() -> None:
    details = {
        "cached_tokens": 1_000,
        "cache_write_tokens": 5_000,
        "cache_write_tokens_details": {"ttl_12h_tokens": 2_000},
    }
    usage = {
        "input_tokens": 10_000,
        "input_tokens_details": details,
        "output_tokens": 500,
        "total_tokens": 10_500,
    }
    usage["output_tokens_details"] = {"reasoning_tokens": 400}
    found = cost(responses(usage, service_tier="default"), CATALOG.find("openai/gpt-5.6-sol"))
    # 4,000 x 4 + 1,000 x 0.40 + 3,000 x 5 + 2,000 x 10 + 500 x 20
    assert found.usd == Decimal("0.0614")
    assert {line.kind: line.amount for line in found.lines} == {
        "cache_read": 1_000, "cache_write_5m": 3_000, "cache_write_1h": 2_000, "input": 4_000, "output": 500,
    }  # fmt: skip


WRITES = {
    "input_tokens": 3_000,
    "output_tokens": 800,
    "cache_read_input_tokens": 4_000,
    "cache_creation_input_tokens": 3_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 1_000},
}
SEARCHED = {"web_search_requests": 2, "web_fetch_requests": 9}


@pytest.mark.parametrize(
    ("usage", "model", "usd"),
    [
        # 3,000 x 3 + 4,000 x 0.30 + 2,000 x 3.75 + 1,000 x 6 + 800 x 15
        (WRITES, "claude-sonnet-4-5", "0.0357"),
        ({**WRITES, "service_tier": "batch"}, "claude-sonnet-4-5", "0.01785"),
        # 3,000 x 5 + 4,000 x 0.50 + 2,000 x 6.25 + 1,000 x 10 + 800 x 25 = 0.0595; x 1.1; x 2; both
        ({**WRITES, "inference_geo": "us"}, "claude-opus-4-8", "0.06545"),
        ({**WRITES, "speed": "fast"}, "claude-opus-4-8", "0.119"),
        ({**WRITES, "speed": "fast", "inference_geo": "us"}, "claude-opus-4-8", "0.1309"),
        ({**WRITES, "output_tokens_details": {"thinking_tokens": 700}}, "claude-sonnet-4-5", "0.0357"),
        # two searches at 0.01; fetching costs nothing
        ({**WRITES, "server_tool_use": SEARCHED}, "claude-sonnet-4-5", "0.0557"),
    ],
    ids=["all caches", "batch", "region", "fast", "fast in a region", "reasoning", "searches"],
)  # fmt: skip
def test_a_claude_answer_costs(usage: dict[str, Any], model: str, usd: str) -> None:
    assert cost(claude(**usage), CATALOG.sold_at(ANTHROPIC, model)).usd == Decimal(usd)


def test_a_turn_of_another_model_inside_the_call_costs_what_that_model_costs() -> None:
    turns = [
        {"type": "message", "input_tokens": 1_000, "output_tokens": 100},
        {"type": "advisor_message", "model": "claude-opus-4-8", "input_tokens": 2_000, "output_tokens": 40},
        {"type": "compaction", "input_tokens": 500, "output_tokens": 10},
    ]
    found = cost(
        claude(input_tokens=1_000, output_tokens=100, iterations=turns),
        CATALOG.find("anthropic/claude-sonnet-5"),
    )
    # 1,000 x 2 + 100 x 10; 2,000 x 5 + 40 x 25; 500 x 2 + 10 x 10
    assert found.usd == Decimal("0.003") + Decimal("0.011") + Decimal("0.0011")
    assert "anthropic/claude-opus-4-8:input" in {line.kind for line in found.lines}


@pytest.mark.parametrize(
    "turn", [{"type": "advisor_message", "model": "claude-0"}, {"type": "seance"}, "turn"]
)
def test_a_turn_that_is_not_known_makes_the_cost_unknown(turn: Any) -> None:
    response = claude(input_tokens=1, output_tokens=1, iterations=[turn])
    assert isinstance(price(response.usage, CATALOG.find("anthropic/claude-sonnet-5")), Unpriced)


CLOUD = [
    # 1,000 x 3.3 + 2,000 x 0.33 + 3,000 x 4.125 + 400 x 6.6 + 100 x 16.5
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0",
     {"inputTokens": 1_000, "outputTokens": 100, "cacheReadInputTokens": 2_000, "cacheWriteInputTokens": 3_400,
      "cacheDetails": [{"ttl": "5m", "inputTokens": 3_000}, {"ttl": "1h", "inputTokens": 400}]}, "0.020625"),
    # 1,000 x 3 + 100 x 15: the same model wherever there is room
    ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", {"inputTokens": 1_000, "outputTokens": 100}, "0.0045"),
    # 22 x 0.06 + 2,492 x 0.06 + 13 x 0.24: Amazon's own caches cost nothing to write
    ("us.amazon.nova-lite-v1:0", {"inputTokens": 22, "outputTokens": 13, "cacheWriteInputTokens": 2_492}, "0.00015396"),
    # 1,000 x 0.078 + 100 x 0.312
    ("eu.amazon.nova-lite-v1:0", {"inputTokens": 1_000, "outputTokens": 100}, "0.0001092"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "raw", "usd"), CLOUD)
def test_a_bedrock_answer_costs_what_its_region_does(model: str, raw: dict[str, Any], usd: str) -> None:
    assert cost(Response(usage=bedrock_usage(raw)), CATALOG.find(f"bedrock/{model}")).usd == Decimal(usd)


def test_a_gemini_answer_with_thoughts_tools_cache_and_sound_costs() -> None:
    raw: dict[str, Any] = {
        "promptTokenCount": 1_000, "cachedContentTokenCount": 400, "toolUsePromptTokenCount": 50,
        "candidatesTokenCount": 100, "thoughtsTokenCount": 200, "serviceTier": "standard",
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 700}, {"modality": "AUDIO", "tokenCount": 300}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 300}, {"modality": "AUDIO", "tokenCount": 100}],
    }  # fmt: skip
    # 450 x 0.30 + 200 x 1 + 300 x 0.03 + 100 x 0.10 + 300 x 2.50
    response = Response(usage=gemini_usage(raw))
    assert cost(response, CATALOG.find("google/gemini-2.5-flash")).usd == Decimal("0.001104")
    flex = Response(
        usage=gemini_usage({"promptTokenCount": 1_000, "thoughtsTokenCount": 10, "serviceTier": "flex"})
    )
    assert cost(flex, CATALOG.find("google/gemini-2.5-flash")).usd == Decimal("0.0001625")


def test_vertex_asks_more_in_a_region() -> None:
    usage = Usage(input_tokens=1_000, output_tokens=100)
    for host, usd in (("", "0.0024"), ("europe-west4-", "0.00264")):
        info = CATALOG.sold_at(f"https://{host}aiplatform.googleapis.com", "gemini-3.5-flash")
        assert cost(Response(usage=usage), info).usd == Decimal(usd)


def streamed(format: str, *events: tuple[str, Any]) -> Response:
    parser, decoder, pieces = EventParser(), provider_format(format).stream_decoder(), list[Piece]()
    for name, data in events:
        text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
        for event in parser.feed(f"event: {name}\ndata: {text}\n\n".encode()):
            pieces += decoder.feed(event)
    return fold(pieces)


def test_a_stream_costs_what_the_whole_answer_does() -> None:
    delta: dict[str, Any] = {
        "index": 0,
        "delta": {"role": "assistant", "content": "Yes."},
        "finish_reason": None,
    }
    chunk: dict[str, Any] = {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        "service_tier": "flex",
    }
    usage = tokens(10_000, 500, {"cached_tokens": 8_000})
    ended: dict[str, Any] = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks: list[dict[str, Any]] = [
        {"choices": [delta]},
        {"choices": [ended]},
        {"choices": [], "usage": usage},
    ]
    answer = streamed(
        "openai_chat", *(("message", {**chunk, **more}) for more in chunks), ("message", "[DONE]")
    )
    assert cost(answer, CATALOG.find("openai/gpt-5.1")).usd == Decimal("0.00425")

    start = {
        "type": "message_start",
        "message": {**MESSAGE, "stop_reason": None, "usage": {**WRITES, "output_tokens": 1}},
    }
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 800}}
    answer = streamed(
        "anthropic",
        ("message_start", start),
        ("message_delta", end),
        ("message_stop", {"type": "message_stop"}),
    )
    assert cost(answer, CATALOG.find("anthropic/claude-sonnet-4-5")).usd == Decimal("0.0357")


@pytest.mark.parametrize(
    ("usage", "name", "tier", "why"),
    [
        (Usage(1, 1), "nobody/nothing", None, "model"),
        (Usage(1, 1), "openrouter/any/model", None, "price"),
        (Usage(1, 1, raw={"cost": -1}), "openrouter/any/model", None, "price"),
        (Usage(1, 1, raw={"cost": 1, "is_byok": True}), "openrouter/any/model", None, "price"),
        (Usage(input_tokens=1), "openai/gpt-5.1", None, "usage"),
        (Usage(1, 1, cache_read_tokens=2), "openai/gpt-5.1", None, "usage"),
        (Usage(1, 1), "openai/gpt-5.1", "moon", "tier"),
        (Usage(1, 1, audio_input_tokens=1), "openai/gpt-5.1", None, "rate"),
        (Usage(1, 1, raw={"server_tool_use": SEARCHED}), "openai/gpt-5.1", None, "rate"),
    ],
)  # fmt: skip
def test_what_is_unpriced_says_why(usage: Usage, name: str, tier: str | None, why: str) -> None:
    found = price(usage, CATALOG.find(name), tier=tier)
    assert isinstance(found, Unpriced)
    assert found.why == why
    assert found.message


def test_a_region_of_which_nothing_is_known_is_unpriced() -> None:
    info = CATALOG.sold_at("https://mars.api.openai.com/v1", "gpt-5.1")
    found = price(Usage(1, 1), info)
    assert isinstance(found, Unpriced)
    assert found.why == "tier"
    assert at_most_usd(1, 1, info) is None
    assert CATALOG.sold_at("https://api.openai.com/v1", "no-such-model") is None
    assert CATALOG.sold_at("https://api.example.com/v1", "gpt-5.1") is None


def test_reasoning_may_have_a_price_of_its_own() -> None:
    prices = Prices(input=Decimal(1), output=Decimal(2), reasoning=Decimal(5))
    info = ModelInfo(name="a/b", prices=prices)
    usage = Usage(input_tokens=100, output_tokens=50, reasoning_tokens=20)
    assert cost(Response(usage=usage), info).usd == Decimal("0.00026")  # 100 x 1 + 30 x 2 + 20 x 5
    assert at_most_usd(100, 50, info) == Decimal("0.00035")
