"""What `GET /v1/models` lists, in both formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.gateway.clients import clients
from tests.gateway.harness import Running, gateway, offline, raw_request, settings
from tidyllm.config import Settings

PROVIDERS: Mapping[str, Any] = {
    "main": {"kind": "openai", "api_key": "k"},
    "claude": {"kind": "anthropic", "api_key": "k"},
    "own": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"},
    "cloud": {"kind": "azure", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"},
    "offline": {"kind": "offline"},
}


def leading(**routes: list[str]) -> Settings:
    """Settings with these routes; `star` in a name stands for a `*`."""
    models = {name.replace("star", "*"): {"route": route} for name, route in routes.items()}
    catalog = {"own/our-model": {"context_window_tokens": 1000}}
    return settings(providers=PROVIDERS, models=models, catalog=catalog)


async def listed(running: Running, query: str = "", **headers: str) -> Any:
    path = f"/v1/models{query}"
    status, _, body = await raw_request(running, b"", method="GET", path=path, **headers)
    return {"status": status, **msgspec.json.decode(body)}


async def names(running: Running, query: str = "", **headers: str) -> list[str]:
    return [one["id"] for one in (await listed(running, query, **headers))["data"]]


async def test_a_pattern_is_no_model_and_every_listed_name_can_be_called() -> None:
    async with gateway(leading(fast=["offline/echo"], star=["main/*"])) as running:
        found = await names(running)
        assert found[0] == "fast"
        assert {"gpt-5-mini", "text-embedding-3-small"} <= set(found)
        assert not any("*" in name for name in found)
        assert all(running.gateway.routes.find(name).name == name for name in found)


async def test_a_name_with_a_star_cannot_be_asked_for() -> None:
    async with gateway(offline()) as running:
        for path in ("/v1/models/offline/*", "/v1/models/*"):
            assert (await raw_request(running, b"", method="GET", path=path))[0] == 404


async def test_names_of_a_pattern_are_those_that_callers_say() -> None:
    async with gateway(
        leading(**{"claude-star": ["claude/claude-*"], "ai/star": ["main/gpt-4*"]})
    ) as running:
        found = await names(running)
        assert "claude-haiku-4-5" in found
        assert "ai/o-mini" in found  # the star is what it stands for in the target: gpt-4o-mini
        assert all(name.startswith(("claude-", "ai/")) for name in found)


async def test_names_that_nobody_knows_are_left_out_and_those_the_user_told_are_listed() -> None:
    everywhere = {"star": ["offline/simulated"], "cloud/star": ["cloud/*"], "own/star": ["own/*"]}
    async with gateway(leading(**everywhere)) as running:
        assert await names(running) == ["own/our-model"]


async def test_every_model_was_made_on_a_day_that_does_not_change() -> None:
    async with gateway(leading(star=["main/*"])) as running:
        made = {one["created"] for one in (await listed(running))["data"]}
        assert len(made) == 1
        assert made.pop() > 1_600_000_000
        told = await listed(running, anthropic_version="2023-06-01")
        assert {one["created_at"][:2] for one in told["data"]} == {"20"}


async def test_anthropics_pages_lead_through_the_whole_list_in_both_directions() -> None:
    async with gateway(leading(star=["main/*"])) as running, clients(running) as sdk:
        every = await names(running)
        forth = [model.id async for model in sdk.anthropic.models.list(limit=7)]
        assert forth == every
        back = [model.id async for model in sdk.anthropic.models.list(limit=7, before_id=every[20])]
        assert sorted(back) == sorted(every[:20])
        whole = await listed(running, anthropic_version="2023-06-01")
        assert [one["id"] for one in whole["data"]] == every
        assert (whole["has_more"], whole["first_id"], whole["last_id"]) == (False, every[0], every[-1])


@pytest.mark.parametrize(
    "asked", ["limit=0", "limit=1001", "limit=x", "limit=²", "after_id=nobody", "before_id=x"]
)
async def test_a_page_that_cannot_be_is_refused_by_the_name_of_its_parameter(asked: str) -> None:
    async with gateway(offline()) as running:
        path = f"?{asked}".replace("²", "%C2%B2")
        told = await listed(running, path, anthropic_version="2023-06-01")
        assert (told["status"], told["error"]["type"]) == (400, "invalid_request_error")
        assert asked.partition("=")[0] in told["error"]["message"]


async def test_a_list_of_nothing_is_empty_in_both_formats() -> None:
    async with gateway(leading(star=["offline/echo"])) as running, clients(running) as sdk:
        assert (await listed(running))["data"] == []
        page = await sdk.anthropic.models.list()
        assert (page.data, page.has_more) == ([], False)
