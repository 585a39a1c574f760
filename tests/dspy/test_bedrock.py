"""The wrapper's backend `bedrock`, over a loopback server that answers for every region."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dspy.both import dspy
from tests.models.bedrock.test_regions import NOVA, OK, THROTTLED, Regions
from tests.models.bedrock.wire import KEY, SECRET, environment
from tests.models.raw_server import serve
from tests.models.upstreams import play
from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper


@pytest.fixture(autouse=True)
def credentials() -> Iterator[None]:
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        yield


def wrapper(port: int, **more: Any) -> Any:
    base = f"http://127.0.0.1:{port}/{{region}}"
    return UnifiedDSPyWrapper(UnifiedConfig(backend="bedrock", model=NOVA, base_url=base, **more))


async def test_a_module_asks_its_region_and_the_next_one_where_that_throttles() -> None:
    there = Regions(eu_central_1=[THROTTLED], eu_west_1=[OK])
    async with serve(there) as server:
        model = wrapper(server.port, region="eu-central-1", regions=("eu-west-1",)).lm
        assert await model.acall("Hi") == ["Hello."]
    assert there.asked == ["eu-central-1", "eu-west-1"]
    assert model.history[-1]["usage"]["total_tokens"] == 1100


async def test_a_model_of_one_module_alone() -> None:
    there = Regions(eu_west_1=[OK])
    async with serve(there) as server:
        module = wrapper(server.port, region="eu-west-1").create_module(
            "qa", "question -> answer", model="amazon.nova-lite-v1:0"
        )
        with dspy.context(adapter=dspy.ChatAdapter()), pytest.raises(Exception, match="answer"):
            await module.acall(question="?")  # the server speaks no DSPy
    assert module.metrics.model_calls >= 1


async def test_a_key_of_bedrock_is_sent_in_place_of_a_signature() -> None:
    async with serve(play(OK)) as server:
        model = wrapper(server.port, region="eu-west-1", api_key="bed-1").lm
        assert await model.acall("Hi") == ["Hello."]
        assert server.requests[0].headers["authorization"] == "Bearer bed-1"
    assert "bed-1" not in str(model.dump_state())


def test_keys_are_not_saved_with_a_program() -> None:
    state = str(wrapper(1, region="eu-west-1", profile="prod").lm.dump_state())
    assert KEY not in state
    assert SECRET not in state
    assert "prod" in state


def test_a_region_outside_of_the_residency_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(dspy.LMConfigurationError, match="us-east-1"):
        wrapper(1, region="us-east-1", residency=("eu",)).lm("Hi")


def test_sync_programs_work_beside_the_server_s_loop() -> None:
    there = Regions(eu_west_1=[OK])

    async def run() -> Any:
        async with serve(there) as server:
            model = wrapper(server.port, region="eu-west-1").lm
            return await asyncio.to_thread(model, "Hi")

    assert asyncio.run(run()) == ["Hello."]
