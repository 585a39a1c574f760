"""The wrapper's backend `gateway` on our real gateway, by variables of the environment as a program has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.dspy.both import dspy
from tests.gateway.harness import KEY, gateway, offline
from tidyllm.dspy import UnifiedConfig, UnifiedDSPyWrapper
from tidyllm.dspy.backends import GATEWAY_KEY, GATEWAY_URL


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """Set for one test."""
    given: dict[str, str] = {}
    yield given
    for name in given:
        os.environ.pop(name, None)


def wrapper(backend: Any, route: str) -> Any:
    return UnifiedDSPyWrapper(UnifiedConfig(backend=backend, route=route))


@pytest.mark.parametrize("backend", ("gateway", "auto"))
async def test_a_program_asks_the_gateway_of_the_environment(backend: str, variables: dict[str, str]) -> None:
    async with gateway(offline()) as door:
        variables |= {GATEWAY_URL: f"{door.url}/v1", GATEWAY_KEY: KEY}
        os.environ.update(variables)
        model = wrapper(backend, "offline/echo").lm
        assert await model.acall("hello") == ["hello"]
        entry = model.history[-1]
    assert entry["usage"]["completion_tokens"] > 0
    assert KEY not in str(model.dump_state())


async def test_a_wrong_key_is_an_auth_error(variables: dict[str, str]) -> None:
    async with gateway(offline()) as door:
        variables |= {GATEWAY_URL: f"{door.url}/v1", GATEWAY_KEY: "wrong"}
        os.environ.update(variables)
        with pytest.raises(dspy.LMAuthError):
            await wrapper("gateway", "offline/echo").lm.acall("hello")


async def test_a_route_that_the_gateway_does_not_have_is_named(variables: dict[str, str]) -> None:
    async with gateway(offline()) as door:
        variables |= {GATEWAY_URL: f"{door.url}/v1", GATEWAY_KEY: KEY}
        os.environ.update(variables)
        with pytest.raises(dspy.LMUnsupportedModelError, match="nowhere"):
            await wrapper("gateway", "nowhere").lm.acall("hello")
