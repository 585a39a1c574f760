from __future__ import annotations

from decimal import Decimal

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from opentelemetry.semconv.schemas import Schemas

from tests.observe.events import attempt, call, place
from tidyllm.core import BreakerChanged, FellBack, Retrying
from tidyllm.errors import Overloaded, RateLimited
from tidyllm.observe import semconv

KNOWN = {
    value
    for module in (gen_ai_attributes, error_attributes, http_attributes, server_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}

EVERYTHING = attempt(
    first_piece=100.125,
    error=RateLimited("slow down."),
    input_tokens=812,
    output_tokens=64,
    cache_read_tokens=512,
    cache_write_5m_tokens=100,
    cache_write_1h_tokens=20,
    reasoning_tokens=30,
    cost_usd=Decimal("0.0125"),
    finish_reason="stop",
    response_id="chatcmpl-1",
    response_model="gpt-5.1-2025-11-13",
    request_id="req_1",
    status=429,
    server_address="api.openai.com",
    server_port=443,
    stream=True,
    max_tokens=256,
    temperature=0.5,
    top_p=0.9,
    something_new="is ignored",
)


def test_an_attempt_is_named_by_operation_and_model() -> None:
    assert semconv.attempt_name(EVERYTHING) == "chat gpt-5.1"
    assert semconv.attempt_name(attempt("e-3", operation="embeddings")) == "embeddings e-3"


def test_every_fact_of_an_attempt_has_its_place() -> None:
    assert semconv.attempt_attributes(EVERYTHING) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.1",
        "gen_ai.request.max_tokens": 256,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-5.1-2025-11-13",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.125,
        "gen_ai.usage.input_tokens": 812,
        "gen_ai.usage.output_tokens": 64,
        "gen_ai.usage.cache_read.input_tokens": 512,
        "gen_ai.usage.cache_creation.input_tokens": 120,
        "gen_ai.usage.reasoning.output_tokens": 30,
        "http.response.status_code": 429,
        "server.address": "api.openai.com",
        "server.port": 443,
        "error.type": "RateLimited",
        "tidyllm.target": "main",
        "tidyllm.cost_usd": 0.0125,
        "tidyllm.provider.request_id": "req_1",
    }


def test_every_name_is_one_of_the_conventions_or_ours() -> None:
    names = semconv.attempt_attributes(EVERYTHING).keys()
    assert {name for name in names if not name.startswith("tidyllm.")} <= KNOWN


def test_the_schema_is_the_release_that_is_named() -> None:
    assert Schemas.V1_41_1.value == semconv.SCHEMA_URL


def test_what_is_not_known_is_left_out() -> None:
    assert semconv.attempt_attributes(attempt(stream=False, response_id="", finish_reason=None)) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-5.1",
        "tidyllm.target": "main",
    }


@pytest.mark.parametrize(
    ("kind", "name"), [("openai", "openai"), ("mistral", "mistral_ai"), ("xai", "x_ai"), ("vllm", "vllm")]
)
def test_providers_are_called_as_the_conventions_call_them(kind: str, name: str) -> None:
    assert semconv.attempt_attributes(attempt(provider=kind))["gen_ai.provider.name"] == name


def test_text_that_is_no_unicode_is_mended() -> None:
    found = semconv.attempt_attributes(attempt("gpt\ud800", response_id="a\udfff"))
    assert (found["gen_ai.request.model"], found["gen_ai.response.id"]) == ("gpt?", "a?")


def test_a_call_tells_its_path_and_a_root_call_the_tags() -> None:
    ctx = place("outer", "inner", tags={"team": "search"})
    assert semconv.call_attributes(call(ctx=ctx), root=False) == {"tidyllm.path": "outer/inner"}
    assert semconv.call_attributes(call(ctx=ctx, error=Overloaded("busy.")), root=True) == {
        "tidyllm.path": "outer/inner",
        "tidyllm.tag.team": "search",
        "error.type": "Overloaded",
    }


def test_what_happens_during_a_call_has_a_name_and_facts() -> None:
    ctx, error = place("x"), Overloaded("busy.")
    assert semconv.mark(Retrying(ctx, "a", 2, error, 0.5)) == (
        "retry",
        {"tidyllm.step": "a", "tidyllm.attempt": 2, "tidyllm.delay": 0.5, "error.type": "Overloaded"},
    )
    assert semconv.mark(FellBack(ctx, "a", "b", error))[1]["tidyllm.target"] == "b"
    assert semconv.mark(BreakerChanged(ctx, "a", "open"))[1]["tidyllm.breaker.state"] == "open"
