"""Wrong types in a request are refused by name before anything is sent, whatever provider it goes to."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.errors import BadRequest
from tidyllm.models import Image, Message, Request, Text, Tool
from tidyllm.models.given import checked_request


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"max_output_tokens": "5"}, "max_output_tokens"),
        ({"max_output_tokens": -5}, "max_output_tokens"),
        ({"max_output_tokens": True}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"tools": [print]}, "tools[0]"),
        ({"tools": Tool("f")}, "tools"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"system": 3}, "system"),
        ({"effort": 3}, "effort"),
        ({"metadata": "x"}, "metadata"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_request(Request("Hi", **fields), "m")
    assert caught.value.field == field
    assert "expected" in str(caught.value) or "finite" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Message("usr", "Hi"), "messages[0].role"),  # pyright: ignore[reportArgumentType] - that is what is tested
        (Message("user", 5), "messages[0].content"),  # pyright: ignore[reportArgumentType]
        (Message("user", ("Hi",)), "messages[0].content[0]"),  # pyright: ignore[reportArgumentType]
        (Message.user("Look:", Image(url=b"\x89PNG")), "messages[0].content[1].url"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_wrong_message_is_named(message: Message, field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        checked_request([message], "m")
    assert caught.value.field == field


def test_a_dict_is_no_request_and_the_error_says_what_is() -> None:
    with pytest.raises(BadRequest, match="a dict where a message was expected"):
        checked_request({"messages": []}, "m")  # pyright: ignore[reportArgumentType] - people do


def test_one_stop_sequence_may_be_plain_text_and_lists_become_tuples() -> None:
    request = checked_request(Request([Message.user("Hi")], stop="END", tools=[Tool("f")]), "m")
    assert (request.stop, request.tools) == (("END",), (Tool("f"),))
    assert request.messages == (Message("user", "Hi"),)


def test_a_good_request_passes_unchanged_but_for_the_model() -> None:
    request = Request(
        (Message("user", (Text(text="Hi"), Image(url="http://x/y.png"))),), temperature=1, seed=3
    )
    assert checked_request(request, "m").model == "m"
    assert checked_request(request, "m").messages is request.messages
