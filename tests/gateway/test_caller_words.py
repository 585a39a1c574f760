"""What cannot be sent to a provider of another format is named as the caller named it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.harness import raw_request
from tests.gateway.providers import between

USER = {"role": "user", "content": "Hi"}
BROKEN: dict[str, Any] = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
GOOD: dict[str, Any] = {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}}
SOUND: dict[str, Any] = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
RESULTS = [{"role": "tool", "tool_call_id": id, "content": "1"} for id in ("b", "c")]
CALLS = [
    {"type": "function_call", "call_id": call["id"], "name": "f", "arguments": call["function"]["arguments"]}
    for call in (GOOD, BROKEN)
]
OUTPUTS = [{"type": "function_call_output", "call_id": id, "output": "1"} for id in ("b", "c")]
CHAT, RESPONSES, ANTHROPIC = "/v1/chat/completions", "/v1/responses", "/v1/messages"

CASES: list[tuple[str, str, dict[str, Any], str]] = [
    ("anthropic", CHAT, {"messages": [USER], "response_format": {"type": "json_object"}}, "response_format"),
    ("anthropic", RESPONSES, {"input": "Hi", "text": {"format": {"type": "json_object"}}}, "text.format"),
    (
        "anthropic",
        CHAT,
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                USER,
                {"role": "assistant", "content": "x", "tool_calls": [GOOD, BROKEN]},
                *RESULTS,
            ]
        },
        "messages[2].tool_calls[1].function.arguments",
    ),
    ("anthropic", RESPONSES, {"input": [USER, *CALLS, *OUTPUTS]}, "input[2].arguments"),
    (
        "anthropic",
        CHAT,
        {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "a"}, SOUND]}]},
        "messages[1].content[1]",
    ),
    (
        "openai-responses",
        ANTHROPIC,
        {"messages": [USER], "max_tokens": 9, "stop_sequences": ["x"]},
        "stop_sequences",
    ),
    (
        "ollama",
        ANTHROPIC,
        {
            "messages": [USER],
            "max_tokens": 9,
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "any"},
        },
        "tool_choice",
    ),
    ("openai-responses", CHAT, {"messages": [USER], "stop": ["x"]}, "stop"),
]


@pytest.mark.parametrize(("kind", "path", "fields", "named"), CASES, ids=[f"{k}-{n}" for k, _, _, n in CASES])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_field_is_named_as_its_caller_wrote_it(
    kind: str, path: str, fields: dict[str, Any], named: str, stream: bool
) -> None:
    async with between(kind) as (running, provider):
        body = msgspec.json.encode({"model": "fast", **fields, "stream": stream})
        status, _, answer = await raw_request(running, body, path=path)
        error = msgspec.json.decode(answer)["error"]
        assert status == 400, answer
        assert f"'{named}' cannot be sent" in error["message"]
        assert "`lenient: true`" in error["message"]
        if path != ANTHROPIC:
            assert error["param"] == named
        assert not provider.bodies


async def test_what_is_wrong_with_a_request_itself_keeps_the_callers_own_place() -> None:
    async with between("anthropic") as (running, _):
        wrong = {"role": "assistant", "content": None, "tool_calls": [{**GOOD, "function": {"name": 1}}]}
        body = msgspec.json.encode({"model": "fast", "messages": [USER, wrong]})
        status, _, answer = await raw_request(running, body)
        assert status == 400
        assert "messages[1].tool_calls[0].function" in msgspec.json.decode(answer)["error"]["message"]
