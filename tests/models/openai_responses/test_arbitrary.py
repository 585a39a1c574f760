"""Whatever comes in, only our own errors come out: requests, answers, events and errors made of arbitrary JSON."""

from __future__ import annotations

import copy
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared_data import exchanges
from tidyllm.errors import BadRequest, ModelError, TidyllmError
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.request import Request
from tidyllm.models.sse import Event

WORDS = st.sampled_from([
    "message", "reasoning", "function_call", "function_call_output", "web_search_call", "user", "assistant", "system",
    "input_text", "output_text", "input_image", "input_file", "input_audio", "refusal", "function", "json_schema",
    "completed", "incomplete", "failed", "data:image/png;base64,AAAA", "response.created", "response.completed",
    "response.output_item.added", "response.output_item.done", "response.output_text.delta", "error", "auto", "{}",
])  # fmt: skip
KEYS = st.sampled_from([
    "type", "role", "content", "text", "summary", "id", "call_id", "name", "arguments", "output", "encrypted_content",
    "image_url", "file_data", "file_id", "input_audio", "data", "format", "schema", "status", "error", "code",
    "message", "item", "response", "delta", "output_index", "content_index", "usage", "input_tokens",
    "input_tokens_details", "annotations", "logprobs",
])  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=24,
)
ITEMS = st.fixed_dictionaries(
    {"type": WORDS}, optional={"role": WORDS, "content": VALUES, "summary": VALUES, "id": VALUES}
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.just("m") | VALUES,
        "input": st.text(max_size=5) | st.lists(ITEMS | VALUES, max_size=4) | VALUES,
        "instructions": VALUES,
        "tools": st.lists(ITEMS, max_size=2) | VALUES,
        "tool_choice": VALUES,
        "text": VALUES,
        "reasoning": VALUES,
        "metadata": VALUES,
        "stream": VALUES,
        "temperature": VALUES,
        "extra_thing": VALUES,
    },
)


def keys_of(holder: Any) -> list[Any]:
    """Where something can be put into an object or an array."""
    return list(cast("Any", holder)) if isinstance(holder, dict) else list(range(len(holder)))


def read_and_write(body: dict[str, Any]) -> None:
    """A request that can be read can be written, to the same body."""
    before = copy.deepcopy(body)
    refused: BadRequest | None = None
    request, stream = Request(""), False
    try:
        request, stream = openai_responses.decode_request(body)
    except BadRequest as error:
        refused = error
    assert body == before
    if refused is not None:
        assert refused.field
        return
    written = openai_responses.encode_request(request, stream=stream)
    given = {key: value for key, value in body.items() if key != "stream"}
    given.setdefault("input", [])
    assert {k: v for k, v in written.body.items() if k != "stream"} == given


@given(BODIES)
def test_any_request_is_read_and_written_back_or_refused_by_name(body: dict[str, Any]) -> None:
    read_and_write(body)


@given(st.data())
def test_a_real_request_with_any_value_changed_is_read_and_written_back_or_refused(
    data: st.DataObject,
) -> None:
    body = copy.deepcopy(data.draw(st.sampled_from(exchanges("openai_responses")))["request"])
    holder: Any = body
    for _ in range(data.draw(st.integers(0, 5))):
        key = data.draw(st.sampled_from(keys_of(holder)))
        if not isinstance(holder[key], dict | list) or not holder[key]:
            break
        holder = holder[key]
    holder[data.draw(st.sampled_from(keys_of(holder)))] = data.draw(VALUES)
    read_and_write(body)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.lists(ITEMS | VALUES, max_size=3))
def test_any_answer_is_read_or_raises_our_own_error(body: dict[str, Any], output: list[Any]) -> None:
    try:
        answer = openai_responses.decode_response({**body, "output": output})
    except ModelError:
        return
    openai_responses.encode_response(answer)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, max_size=6))
def test_any_events_give_pieces_or_our_own_error(events: list[Any]) -> None:
    decoder, encoder = openai_responses.stream_decoder(), openai_responses.stream_encoder(Request(""))
    try:
        for event in events:
            for piece in decoder.feed(Event(msgspec.json.encode(event).decode())):
                encoder.feed(piece)
    except ModelError:
        return
    encoder.end()


@given(st.integers(400, 599), st.binary(max_size=60) | VALUES.map(msgspec.json.encode))
def test_any_error_body_gives_an_error_that_says_something(status: int, body: bytes) -> None:
    error = openai_responses.decode_error(status, {}, body)
    assert error.status == status
    answered, told = openai_responses.encode_error(error)
    assert 400 <= answered < 600
    assert str(status) in told["error"]["message"]


@pytest.mark.parametrize("depth", [50, 5000])
def test_an_answer_nested_without_end_exhausts_nothing(depth: int) -> None:
    event = '{"type":' * depth
    with pytest.raises(TidyllmError):
        openai_responses.stream_decoder().feed(Event(event))
