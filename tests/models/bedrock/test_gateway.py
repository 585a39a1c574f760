"""A gateway whose model is served by Bedrock, asked by OpenAI's and Anthropic's own clients."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest

from tests.gateway.clients import FORMATS, ask, clients
from tests.gateway.harness import KEY as DOOR_KEY
from tests.gateway.harness import ONCE, Running, gateway, settings
from tests.models.bedrock.test_eventstream import TOOL_ANSWER, TOOL_STREAM
from tests.models.bedrock.wire import KEY, SECRET, environment
from tests.models.raw_server import Connection, answer, serve
from tests.models.upstreams import json_body

MODEL = "us.anthropic.claude-sonnet-4-6"
SKIPPED = b'"image"'


class Bedrock:
    """Answers both ways, and notes what it is asked. The picture is left out: no caller's format has one."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.throttles = False

    async def __call__(self, connection: Connection) -> None:
        while True:
            seen = await connection.request()
            self.paths.append(seen.line.split()[1])
            self.bodies.append(msgspec.json.decode(seen.body))
            if self.throttles:
                raw = {"message": "Too many tokens, please wait before trying again."}
                await connection.write(
                    json_body(raw, "x-amzn-errortype: ThrottlingException", status="429 Slow")
                )
            elif self.paths[-1].endswith("/converse-stream"):
                await connection.write(
                    answer(without_picture(), "content-type: application/vnd.amazon.eventstream")
                )
            else:
                content = TOOL_ANSWER["output"]["message"]["content"][:3]
                await connection.write(
                    json_body({**TOOL_ANSWER, "output": {"message": {"content": content}}})
                )


def without_picture() -> bytes:
    kept, at = b"", 0
    while at < len(TOOL_STREAM):
        end = at + int.from_bytes(TOOL_STREAM[at : at + 4], "big")
        one = TOOL_STREAM[at:end]
        if SKIPPED not in one and b'"contentBlockIndex":3' not in one:
            kept += one
        at = end
    return kept


@asynccontextmanager
async def between() -> AsyncGenerator[tuple[Running, Bedrock]]:
    served = Bedrock()
    with environment(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET):
        async with serve(served) as server:
            aws = {"kind": "bedrock", "base_url": f"http://127.0.0.1:{server.port}", "regions": ["us-east-1"]}
            given = settings(
                providers={"aws": aws}, models={"fast": {"route": [f"aws/{MODEL}"], "retry": ONCE}}
            )
            async with gateway(given) as door:
                yield door, served


PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
BODIES: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Now?"}],
        "tools": [{"type": "function", "function": {"name": "now", "parameters": PARAMETERS}}],
        "max_completion_tokens": 50,
    },
    "openai_responses": {
        "input": [{"role": "user", "content": "Now?"}],
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "now", "parameters": PARAMETERS, "strict": False}],
        "max_output_tokens": 50,
    },
    "anthropic": {
        "messages": [{"role": "user", "content": "Now?"}],
        "system": "Be brief.",
        "tools": [{"name": "now", "input_schema": PARAMETERS}],
        "max_tokens": 50,
    },
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("format", FORMATS)
async def test_every_caller_gets_bedrock_s_answer_in_his_own_format(format: str, stream: bool) -> None:
    async with between() as (door, served), clients(door) as to:
        told = await ask(to, format, BODIES[format], stream=stream)
    assert told.text == "It is so."
    assert told.calls == (("t", "now", {}),)
    assert told.tokens == (5, 7)
    [body] = served.bodies
    assert served.paths == [f"/model/{MODEL}/converse{'-stream' if stream else ''}"]
    assert body["system"] == [{"text": "Be brief."}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "Now?"}]}]
    assert body["inferenceConfig"]["maxTokens"] == 50
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "now"


async def test_reasoning_and_cache_marks_survive_the_way_through_a_caller() -> None:
    """What Bedrock signed comes back to it with the conversation, and marks become its cache points."""
    async with between() as (door, served), clients(door) as to:
        first = await to.anthropic.messages.create(
            model="fast", max_tokens=50, messages=[{"role": "user", "content": "Now?"}]
        )
        content: Any = [block.model_dump(exclude_none=True) for block in first.content]
        result: Any = {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": "5",
            "cache_control": {"type": "ephemeral"},
        }
        await to.anthropic.messages.create(
            model="fast",
            max_tokens=5000,
            thinking={"type": "enabled", "budget_tokens": 2000},
            messages=[
                {"role": "user", "content": "Now?"},
                {"role": "assistant", "content": content},
                {"role": "user", "content": [result]},
            ],
        )
    asked = served.bodies[1]
    assert asked["messages"][1]["content"][0] == {
        "reasoningContent": {"reasoningText": {"text": "So", "signature": "sig"}}
    }
    assert asked["messages"][2]["content"][1] == {"cachePoint": {"type": "default"}}
    assert asked["additionalModelRequestFields"]["thinking"] == {"type": "enabled", "budget_tokens": 2000}


async def test_throttling_reaches_callers_as_their_429() -> None:
    async with between() as (door, served), httpx.AsyncClient(base_url=door.url) as client:
        served.throttles = True
        for path, format in (("/v1/chat/completions", "openai_chat"), ("/v1/messages", "anthropic")):
            headers = {"authorization": f"Bearer {DOOR_KEY}"}
            got = await client.post(path, json={"model": "fast", **BODIES[format]}, headers=headers)
            assert got.status_code == 429
            assert "Too many tokens" in got.text
            assert KEY not in got.text
