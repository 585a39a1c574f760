"""Which format an answer came in is known, not guessed: an id, or a field of another's, says nothing of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.harness import each_time, events, gateway, json_answer, raw_request, sse, to, upstream
from tests.gateway.providers import between
from tidyllm.models.message import Text
from tidyllm.models.response import Response

CALL: dict[str, Any] = {
    "index": 0,
    "id": "call_1",
    "type": "function",
    "function": {"name": "f", "arguments": "{}"},
}
ID: dict[str, Any] = {
    "id": "msg_abc",
    "object": "response",
    "model": "m",
    "vendor": 1,
    "stop_sequence": "X",
    "tools": ["odd"],
}
WHOLE: dict[str, Any] = {
    **ID,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "", "tool_calls": [CALL]},
            "finish_reason": "tool_calls",
        }
    ],
}
ASK: dict[str, dict[str, Any]] = {
    "/v1/messages": {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
    "/v1/responses": {"model": "fast", "input": "Hi"},
}


def chunks(finish: str) -> list[bytes]:
    def one(delta: dict[str, Any], word: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": word}]
        return b"data: %b\n\n" % msgspec.json.encode({**ID, "choices": choices})

    said = {"tool_calls": [CALL]} if finish == "tool_calls" else {"content": "Hi"}
    return [one({"role": "assistant", "content": ""}), one(said), one({}, finish), b"data: [DONE]\n\n"]


@pytest.mark.parametrize(("finish", "reason"), [("tool_calls", "tool_use"), ("stop", "end_turn")])
async def test_a_chat_server_whose_ids_look_like_anthropics_is_read_as_one_of_its_own_format(
    finish: str, reason: str
) -> None:
    message: dict[str, Any] = WHOLE["choices"][0]["message"] if finish == "tool_calls" else {"content": "Hi"}
    whole: dict[str, Any] = {**ID, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}
    async with (
        upstream(each_time(json_answer(whole), sse(*chunks(finish)))) as server,
        gateway(to(server)) as running,
    ):
        for stream in (False, True):
            body = msgspec.json.encode({**ASK["/v1/messages"], "stream": stream})
            status, _, answer = await raw_request(running, body, path="/v1/messages")
            assert status == 200
            assert b"vendor" not in answer
            told = events(answer)[-2]["delta"] if stream else msgspec.json.decode(answer)
            assert told["stop_reason"] == reason


@pytest.mark.parametrize("stream", [False, True])
async def test_fields_of_a_chat_server_are_not_taken_for_those_of_responses(stream: bool) -> None:
    played = sse(*chunks("stop")) if stream else json_answer(WHOLE)
    async with upstream(each_time(played)) as server, gateway(to(server)) as running:
        body = msgspec.json.encode({**ASK["/v1/responses"], "stream": stream})
        _, _, answer = await raw_request(running, body, path="/v1/responses")
        told = events(answer)[-1]["response"] if stream else msgspec.json.decode(answer)
        assert told["tools"] == []


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_of_responses_repeats_what_its_caller_asked(kind: str, stream: bool) -> None:
    tool: dict[str, Any] = {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "temperature": 0.25,
        "tool_choice": {"type": "function", "name": "f"},
        "tools": [tool],
        "top_p": 0.5,
        "truncation": None,
        "reasoning": {"effort": "low"},
    }
    del asked["temperature" if kind == "anthropic" else "top_p"]
    async with between(kind) as (running, provider):
        provider.answer = Response((Text(text="Hi."),), "stop", id="a", model="m")
        body = msgspec.json.encode({**ASK["/v1/responses"], **asked, "stream": stream})
        status, _, answer = await raw_request(running, body, path="/v1/responses")
        assert status == 200, answer
        told = [event["response"] for event in events(answer) if "response" in event] if stream else None
        for one in told or [msgspec.json.decode(answer)]:
            expected = {**asked, "truncation": "disabled", "reasoning": {"effort": "low", "summary": None}}
            assert {name: one[name] for name in expected} == expected
            assert one["store"] is False
