"""Recorded requests go on to every other format, or are refused by name; so do sessions with anything wrong in them."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.sessions import ANTHROPIC, CHAT, RESPONSES, SESSIONS
from tests.shared_data import exchanges
from tidyllm.errors import BadRequest
from tidyllm.models.cross import crossing
from tidyllm.models.formats import provider_format, wire_format

SOURCES = {CHAT: "openai_chat", RESPONSES: "openai_responses", ANTHROPIC: "anthropic_messages"}
TARGETS = (*SOURCES, "ollama")
LEAST = 0.4
"""The share of recorded requests that must cross: most of the others ask for tools that only their provider runs.
docs/wire/crossing.md has the counts and all reasons."""


@pytest.mark.parametrize(
    ("source", "target"), [(source, target) for source in SOURCES for target in TARGETS if source != target]
)
def test_recorded_requests_cross_or_are_refused_by_name(source: str, target: str) -> None:
    crossed = 0
    refused: list[BadRequest] = []
    for exchange in exchanges(SOURCES[source]):
        try:
            request, stream = wire_format(source).decode_request(exchange["request"])
            request = crossing(request, source, target)
            body = provider_format(target).encode_request(request, stream=stream).body
        except BadRequest as error:
            refused.append(error)
        else:
            assert msgspec.json.encode(body)
            crossed += 1
    assert all(error.field for error in refused)
    assert crossed >= LEAST * len(exchanges(SOURCES[source]))


def paths(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where all the values in a body stand."""
    found = [at] if at else []
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            found += paths(inner, (*at, str(key)))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for index, inner in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            found += paths(inner, (*at, index))
    return found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(
    ["tidyllm:", 'tidyllm:{"marks":{"openai_chat":{"field":"content"}}}', "image", "effort", "refusal"]
)
WRONG = json_values | words | st.lists(words, max_size=2)
NAMES = st.sampled_from(
    ["reasoning", "thinking", "text", "context_management", "speed", "n", "tools", "extra", "refusal"]
)


@given(st.data(), st.sampled_from(sorted(SOURCES)), st.sampled_from(TARGETS))
def test_whatever_is_wrong_with_a_session_it_crosses_or_is_refused(
    data: st.DataObject, source: str, target: str
) -> None:
    body = copy.deepcopy(SESSIONS[source])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(paths(body)))
        holder: Any = body
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = data.draw(WRONG)
    body |= data.draw(st.dictionaries(NAMES, WRONG, max_size=1))
    try:
        request, stream = wire_format(source).decode_request(body)
        request = crossing(request, source, target)
        encoded = provider_format(target).encode_request(request, stream=stream)
    except BadRequest as error:
        assert error.field is not None  # noqa: PT017 - most runs end without an error
    else:
        assert msgspec.json.encode(encoded.body)
