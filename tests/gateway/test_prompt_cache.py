"""Marks for Anthropic's cache are placed as the configuration says, and nothing else of a request changes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient

from tests.gateway.harness import KEY, ONCE, gateway, raw_request, settings
from tests.gateway.process import serving
from tests.gateway.providers import Provider, between
from tests.models.raw_server import serve
from tidyllm.core import AttemptFinished, install
from tidyllm.models.response import Response, Usage

MARK = {"type": "ephemeral"}
LONG = "A long instruction. " * 300
TOOL = {"name": "look", "description": LONG, "input_schema": {"type": "object", "n": 1.0}}
TURNS = [
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": [{"type": "text", "text": "And 1.50?"}]},
]
BODY: dict[str, Any] = {
    "model": "fast",
    "max_tokens": 10,
    "tools": [TOOL],
    "system": LONG,
    "messages": TURNS,
    "unknown": [1e3],
}
ALL: dict[str, Any] = {"min_tokens": 1024}
SAVED = Decimal("0.0216") - Decimal("0.00075")
"""8,000 tokens at $3 less $0.30 a million, less 1,000 at $3.75 less $3."""


async def sent(
    body: dict[str, Any], path: str = "/v1/messages", kind: str = "anthropic", **provider: Any
) -> Any:
    """What the provider is asked for this body."""
    async with between(kind, **provider) as (running, served):
        status, _, told = await raw_request(running, msgspec.json.encode(body), path=path)
        assert status == 200, told
        return served.bodies[-1]


def unmarked(value: Any) -> Any:
    """The same without marks; a text alone in its block is that text."""
    if isinstance(value, list):
        return [unmarked(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {name: unmarked(one) for name, one in value.items() if name != "cache_control"}  # pyright: ignore[reportUnknownVariableType]
    return value


async def test_marks_stand_behind_tools_system_and_the_last_two_turns_of_the_user() -> None:
    body = await sent(BODY, prompt_cache=ALL)
    assert body["tools"][-1]["cache_control"] == body["system"][-1]["cache_control"] == MARK
    first, answer, last = body["messages"]
    assert first["content"] == [{"type": "text", "text": LONG, "cache_control": MARK}]
    assert answer == TURNS[1]
    assert last["content"][-1]["cache_control"] == MARK
    assert unmarked(body["tools"]) == [TOOL]
    assert (list(body), body["unknown"]) == (list(BODY), [1000.0])


@pytest.mark.parametrize(
    ("given", "marked"),
    [
        ({"last_turns": 0, "tools": False}, ["system"]),
        ({"system": False, "tools": False, "last_turns": 1}, ["last"]),
        ({"min_tokens": 1_000_000}, []),
        ({"tools": False, "system": False, "last_turns": 0}, []),
    ],
)
async def test_the_settings_say_where(given: dict[str, Any], marked: list[str]) -> None:
    body = await sent(BODY, prompt_cache={**ALL, **given})
    places = {
        "tools": body["tools"],
        "system": body["system"],
        "first": body["messages"][0]["content"],
        "last": body["messages"][2]["content"],
    }
    assert [
        name for name, blocks in places.items() if "cache_control" in msgspec.json.encode(blocks).decode()
    ] == marked


async def test_an_hour_is_written_as_anthropic_wants_it() -> None:
    body = await sent(BODY, prompt_cache={**ALL, "ttl": "1h"})
    assert body["system"][-1]["cache_control"] == {**MARK, "ttl": "1h"}


async def test_a_caller_who_marks_himself_is_left_alone() -> None:
    own = {**BODY, "system": [{"type": "text", "text": LONG, "cache_control": MARK}]}
    whole = {**BODY, "cache_control": MARK}
    for body in (own, whole):
        assert {**await sent(body, prompt_cache=ALL), "model": "fast"} == body


async def test_no_setting_and_other_formats_leave_everything_as_it_is() -> None:
    assert {**await sent(BODY), "model": "fast"} == BODY
    chat = {"model": "fast", "messages": [{"role": "user", "content": LONG * 5}]}
    for kind in ("openai", "ollama"):
        body = await sent(chat, "/v1/chat/completions", kind)
        assert "cache_control" not in msgspec.json.encode(body).decode()


async def test_what_is_translated_for_anthropic_is_marked_too() -> None:
    chat = {
        "model": "fast",
        "messages": [{"role": "system", "content": LONG}, {"role": "user", "content": "Hi"}],
    }
    body = await sent(chat, "/v1/chat/completions", prompt_cache=ALL)
    assert body["system"][-1]["cache_control"] == MARK
    assert body["messages"][-1]["content"][-1]["cache_control"] == MARK


async def test_a_model_may_say_it_otherwise_than_its_provider() -> None:
    served = Provider("anthropic")
    async with serve(served) as server:
        main = {
            "kind": "anthropic",
            "base_url": f"http://127.0.0.1:{server.port}",
            "api_key": "sk",
            "prompt_cache": ALL,
        }
        none = {"tools": False, "system": False, "last_turns": 0}
        models = {"fast": {"route": ["main/m"], "retry": ONCE, "prompt_cache": none}}
        async with gateway(settings(providers={"main": main}, models=models)) as running:
            await raw_request(running, msgspec.json.encode(BODY), path="/v1/messages")
    assert {**served.bodies[-1], "model": "fast"} == BODY


async def test_each_call_says_what_the_cache_of_the_provider_saved() -> None:
    usage = Usage(input_tokens=10_000, output_tokens=10, cache_read_tokens=8_000, cache_write_5m_tokens=1_000)
    heard: list[AttemptFinished] = []
    remove = install(lambda event: heard.append(event) if isinstance(event, AttemptFinished) else None)
    served = Provider("anthropic", Response(content=(), usage=usage, finish_reason="stop"))
    async with serve(served) as server:
        main = {"kind": "anthropic", "base_url": f"http://127.0.0.1:{server.port}", "api_key": "sk"}
        models = {"fast": {"route": ["main/m"], "retry": ONCE}}
        catalog = {"main/m": {"like": "anthropic/claude-sonnet-4-5"}}
        async with gateway(settings(providers={"main": main}, models=models, catalog=catalog)) as running:
            await raw_request(running, msgspec.json.encode(BODY), path="/v1/messages")
    remove()
    # 8,000 tokens at $3 less $0.30 a million, less 1,000 at $3.75 less $3.
    assert [event.attributes["cache_saved_usd"] for event in heard] == [
        Decimal("0.0216") - Decimal("0.00075")
    ]


async def test_the_books_of_a_key_tell_what_providers_caches_saved(tmp_path: Path) -> None:
    usage = Usage(input_tokens=10_000, output_tokens=10, cache_read_tokens=8_000, cache_write_5m_tokens=1_000)
    served = Provider("anthropic", Response(content=(), usage=usage, finish_reason="stop"))
    async with serve(served) as server:
        main = {"kind": "anthropic", "base_url": f"http://127.0.0.1:{server.port}", "api_key": "sk"}
        sections: dict[str, Any] = {
            "providers": {"main": main},
            "models": {"fast": {"route": ["main/m"]}},
            "catalog": {"main/m": {"like": "anthropic/claude-sonnet-4-5"}},
            "store": {"url": str(tmp_path / "store.db")},
        }
        async with serving(tmp_path, sections) as running, AsyncClient(base_url=running.url) as http:
            headers = {"authorization": f"Bearer {KEY}"}
            for stream in (False, True):
                answer = await http.post("/v1/messages", json={**BODY, "stream": stream}, headers=headers)
                assert answer.status_code == 200
            row: dict[str, Any] = {}
            while row.get("calls") != 2:  # the ledger writes in batches
                answer = await http.get("/admin/v1/spend?by=model", headers=headers)
                data: list[dict[str, Any]] = answer.json()["data"]
                row = next((one for one in data if one["name"] == "m"), row)
            page = (await http.get("/metrics", headers=headers)).text
    assert (Decimal(row["provider_saved_usd"]), Decimal(row["saved_usd"])) == (2 * SAVED, 0)
    [line] = [one for one in page.splitlines() if one.startswith("tidyllm_provider_cache_usd_total")]
    assert 'kind="saved"' in line
    assert float(line.split()[-1]) == pytest.approx(float(2 * SAVED))
