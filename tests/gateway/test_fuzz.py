"""Nonsense of every kind, made from real requests: the gateway's answer is never a fault of its own."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.inside import Answered, call, in_front_of
from tests.gateway.test_questions import CONVERSATION, with_schema
from tidyllm.gateway import Gateway

BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [CONVERSATION["openai_chat"], with_schema("openai_chat")],
    "/v1/responses": [CONVERSATION["openai_responses"], with_schema("openai_responses")],
    "/v1/messages": [CONVERSATION["anthropic"], {"max_tokens": 9, **with_schema("anthropic")}],
    "/v1/messages/count_tokens": [CONVERSATION["anthropic"]],
    "/v1/embeddings": [{"input": ["a", "b"], "encoding_format": "float"}, {"input": [[1, 2], [3]]}],
}
KINDS = ("offline", "openai", "openai-responses", "anthropic", "ollama")
GATEWAYS: dict[str, Gateway] = {}

WORDS = [
    "",
    "user",
    "tool",
    "text",
    "image_url",
    "function",
    "input_image",
    "tool_use",
    "json_schema",
    "\x00",
    "😀",
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.sampled_from(WORDS)
)
KEYS = st.sampled_from(
    ["type", "role", "content", "text", "id", "name", "stream", "n", "data", "url", "x", ""]
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside of this one."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            found += places(inner, (*path, index))
    return found


def change(body: dict[str, Any], path: tuple[Any, ...], act: Callable[[Any, Any], None]) -> None:
    """Do `act` to the last step of `path`, where an earlier change has left it."""
    at: Any = body
    try:
        for step in path[:-1]:
            at = at[step]
        act(at, path[-1])
    except (AttributeError, KeyError, IndexError, TypeError):
        return


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A path, a kind of provider, and a real request in which one to four things are wrong."""
    path = draw(st.sampled_from(sorted(BODIES)))
    body: dict[str, Any] = {"model": "m", **copy.deepcopy(draw(st.sampled_from(BODIES[path])))}
    ways = places(body)
    for _ in range(draw(st.integers(1, 3))):
        way = draw(st.sampled_from(ways))
        value = draw(VALUES)
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add", "nest"]))
        if kind == "replace":
            change(body, way, lambda at, key, value=value: at.__setitem__(key, value))
        elif kind == "remove":
            change(body, way, lambda at, key: at.__delitem__(key))
        elif kind == "nest":
            change(body, way, lambda at, key: at.__setitem__(key, [at[key]]))
        else:
            name = draw(
                KEYS | st.sampled_from(["tools", "metadata", "stop", "tool_choice", "thinking", "reasoning"])
            )
            change(body, (*way, name), lambda at, key, value=value: at.__setitem__(key, value))
    raw = msgspec.json.encode(body)
    if draw(st.booleans()) and draw(st.booleans()):
        cut = draw(st.integers(0, len(raw)))
        raw = raw[:cut] + draw(st.binary(max_size=4)) + raw[cut + draw(st.integers(0, 4)) :]
    return path, draw(st.sampled_from(KINDS)), raw


def check(path: str, answered: Answered, raw: bytes) -> None:
    """Either an answer, or an error that names what is wrong in the caller's own shape."""
    assert answered.status in (200, 400, 404), (answered, raw)
    if answered.status == 200:
        assert answered.body
        return
    body = answered.json()
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]
    if path.startswith("/v1/messages"):
        assert body["type"] == "error"
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}


def run(spoiled: tuple[str, str, bytes]) -> None:
    path, kind, raw = spoiled
    if kind not in GATEWAYS:
        GATEWAYS[kind] = in_front_of(kind)
    check(path, asyncio.run(call(GATEWAYS[kind], raw, path)), raw)


@settings(max_examples=800)
@given(spoilt())
def test_no_request_is_a_fault_of_ours(spoiled: tuple[str, str, bytes]) -> None:
    run(spoiled)


@pytest.mark.proof
@settings(max_examples=60_000)
@given(spoilt())
def test_no_request_of_very_many_is_a_fault_of_ours(spoiled: tuple[str, str, bytes]) -> None:
    run(spoiled)


@given(st.sampled_from(sorted(BODIES)), st.binary(max_size=60) | VALUES.map(msgspec.json.encode))
def test_no_bytes_are_a_fault_of_ours(path: str, raw: bytes) -> None:
    run((path, "offline", raw))


@pytest.mark.parametrize("path", [path for path in BODIES if "embed" not in path and "count" not in path])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [100, 600, 1_100, 20_000])
def test_deep_nesting_in_a_place_that_is_copied_is_a_fault_of_the_caller(
    path: str, kind: str, depth: int
) -> None:
    body = {"model": "m", **BODIES[path][0]}
    deep = b'{"type":"object","properties":{"a":' * depth + b"{}" + b"}}" * depth
    raw = msgspec.json.encode(body)
    spot = {"/v1/messages": b'"input_schema":'}.get(path, b'"parameters":')
    before, mark, after = raw.partition(spot)
    assert mark
    run((path, kind, before + mark + deep + b"," + b'"x":' + after))
