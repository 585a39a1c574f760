"""What the headers of an answer say: who served it, how often it was tried, what it cost, under which name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.gateway.harness import (
    KEY,
    Door,
    chunk,
    each_time,
    exchange,
    gateway,
    json_answer,
    offline,
    raw_request,
    settings,
    sse,
    to,
    upstream,
)
from tests.gateway.providers import between
from tidyllm.models.message import Text
from tidyllm.models.response import Response

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Hi"}]}
ASK = msgspec.json.encode(CHAT)
MESSAGES = msgspec.json.encode({**CHAT, "max_tokens": 10})
GOOD: dict[str, Any] = {
    "id": "c1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000},
}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def test_every_answer_has_a_name_and_anthropics_clients_find_it_where_they_look() -> None:
    async with gateway(offline()) as running:
        first, second = [(await raw_request(running, ASK))[1]["x-request-id"] for _ in range(2)]
        assert first != second
        assert len(first) == 32
        _, headers, _ = await raw_request(running, MESSAGES, path="/v1/messages")
        assert headers["request-id"] == headers["x-request-id"]
        _, headers, answer = await raw_request(running, b"{}", path="/v1/messages")
        assert msgspec.json.decode(answer)["request_id"] == headers["request-id"]
        _, headers, _ = await raw_request(running, b"", method="GET", path="/nothing")
        assert len(headers["x-request-id"]) == 32


@pytest.mark.parametrize("stream", [True, False])
async def test_the_model_that_served_and_the_number_of_attempts_are_told(stream: bool) -> None:
    busy = json_answer({"error": {"message": "slow down"}}, "429 Too Many Requests", "Retry-After: 0")
    good = sse(chunk("Hi"), chunk(finish="stop"), b"data: [DONE]\n\n") if stream else json_answer(GOOD)
    async with upstream(each_time(busy)) as first, upstream(each_time(busy, good)) as second:
        providers = {
            name: {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1", "api_key": "k"}
            for name, server in (("one", first), ("two", second))
        }
        route = {"route": ["one/a", "two/b"], "retry": {"attempts": 2, "base": 0.0, "cap": 0.0}}
        async with gateway(settings(providers=providers, models={"fast": route})) as running:
            body = msgspec.json.encode({**CHAT, "model": "fast", "stream": stream})
            status, headers, _ = await raw_request(running, body)
            assert status == 200
            assert (headers["x-tidyllm-model"], headers["x-tidyllm-attempts"]) == ("two/b", "4")


async def test_the_cost_is_told_when_it_is_known() -> None:
    async with upstream(each_time(json_answer(GOOD))) as server:
        given = msgspec.to_builtins(to(server))
        priced = {**given, "catalog": {"main/m": {"prices": {"input": "1.25", "output": "10"}}}}
        async with gateway(settings(**given)) as running:
            body = msgspec.json.encode({**CHAT, "model": "fast"})
            assert "x-tidyllm-cost-usd" not in (await raw_request(running, body))[1]
        async with gateway(settings(**priced)) as running:
            assert Decimal((await raw_request(running, body))[1]["x-tidyllm-cost-usd"]) == Decimal("1.25")


async def test_a_trace_is_taken_in_and_passed_on() -> None:
    async with between("openai") as (running, provider):
        provider.answer = Response(content=(Text(text="Good."),), finish_reason="stop")
        body = msgspec.json.encode({**CHAT, "model": "fast"})
        seen: set[str] = set()
        for sent in (f"00-{TRACE}-00f067aa0ba902b7-01", f"00-{TRACE}-00f067aa0ba902b7-00"):
            _, headers, _ = await raw_request(running, body, traceparent=sent)
            version, trace, span, flags = provider.headers[-1]["traceparent"].split("-")
            assert (version, trace, flags) == ("00", TRACE, sent[-2:])
            assert span != "00f067aa0ba902b7"
            seen.add(headers["x-request-id"])
        assert len(seen - {TRACE}) == 2, "calls of one trace are told apart"
        await raw_request(running, body, traceparent="nonsense")
        assert provider.headers[-1]["traceparent"].split("-")[1] != TRACE


@pytest.mark.parametrize(
    ("state", "trace", "passed"),
    [
        ("a=1,b@c=2", True, "a=1,b@c=2"),
        ("a=1", False, None),
        ("x" * 513 + "=1", True, None),
        ("nonsense", True, None),
    ],
)
async def test_the_state_of_a_trace_is_passed_on_with_it(state: str, trace: bool, passed: str | None) -> None:
    async with between("openai") as (running, provider):
        provider.answer = Response(content=(Text(text="Good."),), finish_reason="stop")
        sent = {"tracestate": state} | ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"} if trace else {})
        await raw_request(running, msgspec.json.encode({**CHAT, "model": "fast"}), **sent)
        assert provider.headers[-1].get("tracestate") == passed


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_the_providers_own_id_of_a_call_is_told_whole_streamed_and_with_errors(path: str) -> None:
    head = "x-request-id: req-of-it\r\n"
    refused = json_answer({"error": {"message": "no"}}, "400 Bad Request", head.strip())
    whole = json_answer(GOOD, "200 OK", head.strip())
    lines = sse(chunk("Hi"), chunk(finish="stop"), b"data: [DONE]\n\n")
    streamed = lines.replace(b"\r\n", f"\r\n{head}".encode(), 1)
    for answer, stream in ((whole, False), (refused, False), (streamed, True), (refused, True)):
        async with upstream(each_time(answer)) as server, gateway(to(server)) as running:
            body = msgspec.json.encode({**CHAT, "model": "fast", "max_tokens": 9, "stream": stream})
            _, headers, _ = await raw_request(running, body, path=path)
            assert headers["x-tidyllm-provider-request-id"] == "req-of-it"
            assert headers["x-request-id"] != "req-of-it"
    async with upstream(each_time(json_answer(GOOD))) as server, gateway(to(server)) as running:
        _, headers, _ = await raw_request(running, msgspec.json.encode({**CHAT, "model": "fast"}))
        assert "x-tidyllm-provider-request-id" not in headers


@pytest.mark.parametrize("name", ["a\r\nset-cookie: x=1", "a\nb", "ü東", "a\x00b", "x" * 150])
async def test_no_name_of_a_model_can_write_a_header(name: str) -> None:
    async with gateway(offline()) as running:
        for path, more in (("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 50})):
            for stream in (False, True):
                body = msgspec.json.encode({**CHAT, "model": f"offline/{name}", "stream": stream, **more})
                status, headers, _ = await raw_request(running, body, path=path)
                assert status == 200
                assert "set-cookie" not in headers
                assert headers["x-tidyllm-model"].startswith("offline/")


@pytest.mark.parametrize(
    "keys",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY} "},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"authorization": "Bearer of-something-else", "x-api-key": KEY},
        {"authorization": f"Bearer {KEY}", "x-api-key": "of-something-else"},
    ],
)
async def test_a_key_may_be_sent_in_every_way_that_clients_know(keys: dict[str, str]) -> None:
    async with gateway(offline()) as running:
        assert (await raw_request(Door(running.port, headers=keys), ASK))[0] == 200


@pytest.mark.parametrize(
    "keys", [{"authorization": f"Basic {KEY}"}, {"authorization": KEY}, {"x-api-key": f"{KEY}é"}]
)
async def test_a_key_sent_in_another_way_opens_nothing(keys: dict[str, str]) -> None:
    async with gateway(offline()) as running:
        door = Door(running.port, headers=keys)
        assert (await raw_request(door, ASK))[0] == 401
        assert (await raw_request(door, b"", method="GET", path="/v1/models"))[0] == 401
        assert (await raw_request(door, b"", method="GET", path="/metrics"))[0] == 401
        for path in ("/", "/livez", "/readyz"):
            assert (await raw_request(door, b"", method="GET", path=path))[0] == 200


async def test_models_are_found_by_names_with_slashes_however_they_are_written() -> None:
    async with gateway(offline()) as running:
        for path in ("/v1/models/offline/echo", "/v1/models/offline%2Fecho"):
            status, _, answer = await raw_request(running, b"", method="GET", path=path)
            assert (status, msgspec.json.decode(answer)["id"]) == (200, "offline/echo")
        status, _, answer = await raw_request(running, b"", method="GET", path="/v1/models/none")
        assert status == 404
        assert "'none'" in msgspec.json.decode(answer)["error"]["message"]


async def test_a_query_does_not_change_the_path() -> None:
    async with gateway(offline()) as running:
        assert (await raw_request(running, MESSAGES, path="/v1/messages?beta=true"))[0] == 200


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/chat/completions", "end in /v1"),
        ("/v1/v1/messages", "end without /v1"),
        ("/v1/chat/completion", "Did you mean /v1/chat/completions?"),
        ("/favicon.ico", "Paths are"),
    ],
)
async def test_a_wrong_path_is_told_what_is_probably_meant(path: str, hint: str) -> None:
    async with gateway(offline()) as running:
        status, _, answer = await raw_request(running, ASK, path=path)
        assert status == 404
        assert hint in msgspec.json.decode(answer)["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["//v1/chat/completions", "/v1//chat/completions", "/v1/chat/completions/", "///v1/chat/completions//"],
)
async def test_a_slash_too_many_in_a_base_url_does_no_harm(path: str) -> None:
    async with gateway(offline()) as running:
        assert (await raw_request(running, ASK, path=path))[0] == 200


@pytest.mark.parametrize("path", ["//metrics", "/metrics/", "//", "/v1/../metrics", "/v1/%2e%2e/livez", "*"])
async def test_no_other_path_is_anything_but_what_is_written(path: str) -> None:
    async with gateway(offline()) as running:
        assert (await raw_request(running, b"", method="GET", path=path))[0] == 404


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/messagesx", "/v1/responses/resp_1", "/v1/completions"])
async def test_an_unknown_path_is_an_invalid_request_to_clients_of_openai(path: str) -> None:
    async with gateway(offline()) as running:
        status, headers, answer = await raw_request(running, b"{}", path=path)
        error = msgspec.json.decode(answer)["error"]
        assert (status, error["type"], error["code"]) == (404, "invalid_request_error", None)
        assert len(headers["x-request-id"]) == 32


async def test_an_unknown_path_is_not_found_to_clients_of_anthropic_and_names_its_request() -> None:
    async with gateway(offline()) as running:
        for path, version in (("/v1/messages/batches", ""), ("/v1/nothing", "2023-06-01")):
            sent = f"00-{TRACE}-00f067aa0ba902b7-01"
            status, headers, answer = await raw_request(
                running, b"{}", path=path, anthropic_version=version, traceparent=sent
            )
            told = msgspec.json.decode(answer)
            assert (status, told["type"], told["error"]["type"]) == (404, "error", "not_found_error")
            assert told["request_id"] == headers["request-id"] == headers["x-request-id"] != TRACE


async def test_what_is_no_http_has_a_request_id_too() -> None:
    async with gateway(offline()) as running:
        status, headers, _ = await exchange(running, b"nonsense\r\n\r\n")
        assert status == 400
        assert len(headers["x-request-id"]) == 32
