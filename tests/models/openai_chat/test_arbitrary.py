"""Whatever comes in, wrong input gives our errors and never a traceback; what is read once stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.openai_chat.samples import answer, ask, chunk, delta, pieces_of, written
from tidyllm.errors import BadRequest, ModelError
from tidyllm.models.fold import fold, unfold
from tidyllm.models.openai_chat import openai_chat
from tidyllm.models.sse import Event

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REQUEST = ask(
    {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": None}]},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL],
        "reasoning_details": [{"type": "reasoning.text"}],
    },
    {"role": "tool", "tool_call_id": "c", "content": "1"},
    tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}],
    tool_choice={"type": "function", "function": {"name": "f"}},
    response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    stop=["a"],
    max_tokens=5,
    metadata={"a": "b"},
    stream_options={"include_usage": True},
)
ANSWER = answer(
    {
        "content": "a",
        "tool_calls": [CALL],
        "reasoning": "h",
        "refusal": None,
        "audio": {"id": ""},
        "annotations": [],
    },
    choice={"logprobs": {"content": [{"token": "a"}]}},
    usage={"prompt_tokens": 5, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 1}},
)
CHUNK = msgspec.json.decode(
    chunk(
        {"index": 0, "delta": {"content": "a", "tool_calls": [{"index": 0, **CALL}], "reasoning": "h"}},
        usage={"prompt_tokens": 5},
        x_groq={"usage": None},
    ).data
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated(draw: Callable[[Any], Any], body: Any) -> Any:
    """`body` with something in it replaced by any value, taken out, or put in again."""
    copy = msgspec.json.decode(msgspec.json.encode(body))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(copy))
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(values)
        elif isinstance(holder, dict):
            del holder[key]
        else:
            holder.append(holder[key])
        if not list(_places(copy)):
            break
    return copy


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(cast("dict[str, Any]", value))
    elif isinstance(value, list):
        keys = list(range(len(cast("list[Any]", value))))
    for key in keys:
        yield value, key
        yield from _places(value[key])


@given(body=st.dictionaries(st.sampled_from([*REQUEST, "x"]), values) | mutated(REQUEST))
def test_any_request_is_read_and_comes_back_or_names_its_fault(body: dict[str, Any]) -> None:
    body = {"stream": False, **body}
    try:
        request, stream = openai_chat.decode_request(body)
    except BadRequest as error:
        if not error.field:
            raise
        return
    encoded = openai_chat.encode_request(request, stream=stream).body
    again, _ = openai_chat.decode_request(encoded)
    assert openai_chat.encode_request(again, stream=stream).body == encoded
    left = {key: value for key, value in body.items() if key not in {"stream", "stream_options"}}
    assert {key: encoded[key] for key in left} == left


@given(body=st.dictionaries(st.sampled_from([*ANSWER, "error"]), values) | mutated(ANSWER))
def test_any_answer_is_read_or_is_an_error_and_can_be_told_to_a_caller(body: dict[str, Any]) -> None:
    try:
        response = openai_chat.decode_response(body)
    except ModelError:
        return
    again = openai_chat.decode_response(openai_chat.encode_response(response))
    streamed = fold(pieces_of(written(unfold(response))))
    for other in (again, streamed):
        assert (other.text, other.reasoning) == (response.text, response.reasoning)
        assert [call.name for call in other.tool_calls] == [call.name for call in response.tool_calls]


@given(chunks=st.lists(mutated(CHUNK), max_size=4))
@settings(max_examples=200)
def test_any_stream_gives_pieces_or_an_error_and_ends_only_at_its_marker(chunks: list[Any]) -> None:
    decoder = openai_chat.stream_decoder()
    found: list[Any] = []
    try:
        for body in chunks:
            found += decoder.feed(Event(msgspec.json.encode(body).decode()))
            assert not decoder.done
        found += decoder.feed(Event("[DONE]"))
    except ModelError:
        assert not decoder.done
        return
    assert decoder.done
    fold(found)


@given(
    words=st.lists(st.text(min_size=1)),
    arguments=st.lists(st.text(min_size=1)),
    thoughts=st.lists(st.text(min_size=1)),
)
def test_a_stream_joins_to_what_was_said(words: list[str], arguments: list[str], thoughts: list[str]) -> None:
    decoder = openai_chat.stream_decoder()
    events = [delta(role="assistant"), *(delta(reasoning=thought) for thought in thoughts)]
    events += [delta(content=word) for word in words]
    events += [delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}])]
    events += [delta(tool_calls=[{"index": 0, "function": {"arguments": one}}]) for one in arguments]
    found = [piece for event in [*events, Event("[DONE]")] for piece in decoder.feed(event)]
    response = fold(found)
    assert (response.reasoning, response.text) == ("".join(thoughts), "".join(words))
    assert response.tool_calls[0].raw_arguments == "".join(arguments)
    again = fold(pieces_of(written(found)))
    assert (again.reasoning, again.text) == (response.reasoning, response.text)
    assert again.tool_calls[0].raw_arguments == ("".join(arguments) or "{}")


@given(status=st.integers(300, 599), body=st.binary() | values.map(msgspec.json.encode))
def test_any_refusal_is_an_error_of_ours(status: int, body: bytes) -> None:
    error = openai_chat.decode_error(status, {}, body)
    assert isinstance(error, ModelError)
    assert str(error)
    assert openai_chat.encode_error(error)[1]["error"]["message"]
