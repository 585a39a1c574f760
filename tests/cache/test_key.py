"""Keys: equal spellings of one request are equal, and every change of a recorded request makes another one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.samples import asked, bodies, json_values
from tests.models.upstreams import forward
from tidyllm.cache.key import Memo, canonical_json, forward_key, request_key, value_key
from tidyllm.errors import StepError
from tidyllm.models import Image, Message, Request, Text, Tool

PLACE = ("route", "tenant")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15
)


def key(body: bytes, format: str = "openai_chat") -> bytes:
    return forward_key(forward(body, format), PLACE, Memo())


def shuffled(value: Any, rng: random.Random) -> Any:
    """The same JSON value with its keys in another order."""
    if isinstance(value, dict):
        items = list(cast("dict[str, Any]", value).items())
        rng.shuffle(items)
        return {name: shuffled(item, rng) for name, item in items}
    return [shuffled(item, rng) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def others(value: Any) -> list[Any]:
    """Values that are near this one, and not it."""
    if isinstance(value, bool):
        return [not value, int(value), str(value).lower(), None]
    if isinstance(value, int | float):
        return [value + 1, str(value), [value], None]
    if isinstance(value, str):
        return [value + " ", value + "é", value.swapcase() + "x", None, [value]]
    if isinstance(value, list):
        held = cast("list[Any]", value)
        return [[*held, None], held[1:] if held else [0], {"0": held}]
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return [{**held, "x_new": None}, dict(list(held.items())[1:]) if held else {"": 0}, [held]]
    return [False, 0, "", "null"]


def test_any_change_of_a_recorded_request_is_another_key() -> None:
    requests = changes = 0
    for format, body in bodies():
        mine = key(msgspec.json.encode(body), format)
        requests += 1
        values = list(json_values(body))[1:]  # the whole body must stay an object
        for value, put in random.Random(requests).sample(values, min(len(values), 15)):
            for other in others(value):
                changes += 1
                assert key(msgspec.json.encode(put(other)), format) != mine, (value, other)
    assert requests > 200
    assert changes > 10_000


def test_order_and_whitespace_do_not_matter_in_recorded_requests() -> None:
    rng = random.Random(7)
    for format, body in bodies():
        mine = key(msgspec.json.encode(body), format)
        spaced = msgspec.json.format(msgspec.json.encode(shuffled(body, rng)), indent=rng.choice([1, 2, 4]))
        assert key(spaced, format) == mine


@settings(max_examples=25)
@given(st.dictionaries(st.text(), trees), st.randoms(use_true_random=False))
def test_order_and_whitespace_do_not_matter(body: dict[str, Any], rng: random.Random) -> None:
    spaced = msgspec.json.format(msgspec.json.encode(shuffled(body, rng)), indent=2)
    assert key(spaced) == key(msgspec.json.encode(body))


@settings(max_examples=25)
@given(st.dictionaries(st.text(), trees), st.dictionaries(st.text(), trees))
def test_equal_keys_mean_equal_json(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = msgspec.json.encode(one), msgspec.json.encode(other)
    assert (key(first) == key(second)) == (canonical_json(first) == canonical_json(second))
    assert (canonical_json(first) == canonical_json(second)) == (
        msgspec.json.encode(one, order="deterministic") == msgspec.json.encode(other, order="deterministic")
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"seed":1}', b'{"seed":1.0}'),
        (b'{"t":0.1}', b'{"t":0.10000000000000001}'),
        (b'{"seed":18446744073709551616}', b'{"seed":18446744073709551617}'),
        (b'{"x":{"a":1,"a":2}}', b'{"x":{"a":2}}'),
        (b'{"x":{"a":1,"a":2,"b":"\\u003a"}}', b'{"x":{"a":2,"b":":"}}'),
        (b'{"x":-0}', b'{"x":0}'),
        (b'{"x":[1,2]}', b'{"x":[2,1]}'),
        (b'{"x":null}', b"{}"),
        (b'{"a":{"b":1}}', b'{"a":{},"b":1}'),
    ],
)
def test_near_spellings_are_told_apart(one: bytes, other: bytes) -> None:
    assert key(one) != key(other)


def test_escapes_are_spelling() -> None:
    assert key(b'{"x":"\\u00e9\\/"}') == key('{"x":"é/"}'.encode())


def test_format_stream_headers_and_place_are_part_of_the_key() -> None:
    call = asked()
    seen = {forward_key(call, PLACE, Memo())}
    seen.add(forward_key(asked(format="openai_responses"), PLACE, Memo()))
    seen.add(forward_key(forward(msgspec.json.encode(call.fields), stream=True), PLACE, Memo()))
    for place in (("route", "other"), ("other", "tenant"), ("route", "tenant", ""), ("routetenant",)):
        seen.add(forward_key(call, place, Memo()))
    call.headers = {"anthropic-beta": "x"}
    seen.add(forward_key(call, PLACE, Memo()))
    assert len(seen) == 8


def test_the_name_of_one_act_of_sending_is_not_part_of_the_key() -> None:
    one, other = asked(), asked()
    one.headers = {"idempotency-key": "a", "x-client-request-id": "b"}
    assert forward_key(one, PLACE, Memo()) == forward_key(other, PLACE, Memo())


def test_a_memo_forgets_the_oldest_and_changes_no_key() -> None:
    memo = Memo(2)
    calls = [asked(seed=number) for number in range(5)]
    first = [forward_key(call, PLACE, memo) for call in calls]
    assert [forward_key(call, PLACE, memo) for call in calls] == first
    assert len(set(first)) == 5


REQUEST = Request(
    (Message("user", (Text(text="Hi"), Image(data=b"\x00", media_type="image/png"))),),
    system="Be brief.",
    model="m",
    tools=(Tool("f", "does it", {"type": "object", "properties": {"a": {"type": "string"}}}),),
    tool_choice="auto",
    parallel_tool_calls=True,
    output={"type": "object", "title": "A"},
    max_output_tokens=10,
    temperature=0.5,
    top_p=0.5,
    top_k=5,
    frequency_penalty=0.1,
    presence_penalty=0.1,
    stop=("x",),
    seed=1,
    effort="low",
    thinking_tokens=7,
    metadata={"rollout_id": "1"},
    user="u",
    extra={"x": 1},
)
CHANGES: dict[str, list[Any]] = {
    "messages": ["Hi", (Message("assistant", REQUEST.turns[0].content),)],
    "system": [None, "", "Be brief. "],
    "model": ["", "n"],
    "tools": [(), (Tool("f"),), (*REQUEST.tools, *REQUEST.tools)],
    "tool_choice": [None, "none"],
    "parallel_tool_calls": [None, False],
    "output": [None, "json", {"type": "object"}],
    "max_output_tokens": [None, 11],
    "temperature": [None, 0, 0.6],
    "top_p": [None, 0.6],
    "top_k": [None, 6],
    "frequency_penalty": [None, 0.2],
    "presence_penalty": [None, 0.2],
    "stop": [(), ("x", "y")],
    "seed": [None, 2, 1.0],
    "effort": [None, "high"],
    "thinking_tokens": [None, 8],
    "metadata": [{}, {"rollout_id": "2"}, {"rollout_id": "1", "candidate": "0"}],
    "user": [None, "v"],
    "extra": [{}, {"x": True}, {"x": "1"}, {"y": 1}],
}


def test_every_field_of_a_request_is_part_of_its_key() -> None:
    assert set(CHANGES) == set(Request.__struct_fields__)
    mine = request_key(REQUEST, PLACE, stream=False)
    assert mine is not None
    assert mine == request_key(msgspec.structs.replace(REQUEST), PLACE, stream=False)
    keys = [
        mine,
        request_key(REQUEST, PLACE, stream=True),
        request_key(REQUEST, ("route", "b"), stream=False),
    ]
    for field, values in CHANGES.items():
        for value in values:
            changed = msgspec.structs.replace(REQUEST, **{field: value})
            keys.append(request_key(changed, PLACE, stream=False))
    assert None not in keys
    assert len(set(keys)) == len(keys)


def test_text_and_one_user_message_are_one_request() -> None:
    one, other = Request("Hi"), Request((Message.user("Hi"),))
    assert request_key(one, PLACE, stream=False) == request_key(other, PLACE, stream=False)


class Answer(msgspec.Struct):
    city: str


class Reply(msgspec.Struct):
    city: str
    land: str


def test_a_type_as_output_is_part_of_the_key_by_its_schema() -> None:
    keys = {
        request_key(Request("Hi", output=kind), PLACE, stream=False) for kind in (Answer, Reply, None, "json")
    }
    assert len(keys) == 4
    assert None not in keys


def test_what_cannot_be_sent_has_no_key() -> None:
    assert request_key(Request("Hi", extra={"x": object()}), PLACE, stream=False) is None


def test_what_is_no_json_is_its_own_spelling() -> None:
    one, other = canonical_json(b'{"x":"\\ud800"}'), canonical_json(b'{"x":"\\ud801"}')
    assert len({one, other, canonical_json(b'{"x":"?"}')}) == 3


@dataclass
class Point:
    x: int


class Pair(msgspec.Struct):
    x: int


def test_inputs_of_any_step_differ_by_type_and_value() -> None:
    values: list[Any] = [
        1, 1.0, True, "1", b"1", None, [1], (1,), {"x": 1}, {1: "x"}, {1}, frozenset({1}), Point(1), Pair(1),
        [Point(1)], [Pair(1)], [[1]], [1, 1], 2**70, -(2**70), {"x": [1]}, {"x": (1,)}, "", [], {}, ["list", 1],
    ]  # fmt: skip
    keys = [value_key(value, PLACE, stream=False) for value in values]
    assert len(set(keys)) == len(values)
    assert value_key({"a": 1, "b": 2}, PLACE, stream=False) == value_key(
        {"b": 2, "a": 1}, PLACE, stream=False
    )


def test_an_input_without_a_canonical_form_is_refused_with_a_hint() -> None:
    with pytest.raises(StepError, match=r"object cannot be made a key.*key=…"):
        value_key(object(), PLACE, stream=False)
