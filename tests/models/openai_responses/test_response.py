"""Answers in the Responses format: what we read in them, and what a caller reads in those that we write."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import Response as SDKResponse

from tidyllm.errors import BadAnswer, ContentRefused, ModelError, Overloaded, RateLimited
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.response import FinishReason, Response, Usage

MESSAGE = {
    "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "Hello.", "annotations": [{"type": "url_citation", "url": "u"}]}],
}  # fmt: skip
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"a": 1}',
    "status": "completed",
}
REFUSAL = {
    "type": "message",
    "id": "msg_2",
    "role": "assistant",
    "content": [{"type": "refusal", "refusal": "No."}],
}
USAGE = {
    "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 30,
}  # fmt: skip


def answer(*output: Any, **fields: Any) -> Response:
    body = {
        "id": "resp_1",
        "object": "response",
        "model": "gpt",
        "status": "completed",
        "error": None,
        **fields,
    }
    return openai_responses.decode_response({**body, "output": list(output)})


def strictly(body: dict[str, Any]) -> SDKResponse:
    """The body as the SDK's own types demand it, every required field and its type included."""
    return SDKResponse.model_validate(body)


def test_text_calls_reasoning_and_usage_are_read() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]}
    read = answer(thought, MESSAGE, CALL, usage=USAGE, service_tier="flex")
    assert (read.text, read.reasoning, read.id, read.model) == ("Hello.", "Hm.", "resp_1", "gpt")
    assert read.tool_calls[0].arguments == {"a": 1}
    assert read.content[1].extra["annotations"] == [{"type": "url_citation", "url": "u"}]
    usage = read.usage
    assert (usage.input_tokens, usage.cache_read_tokens, usage.cache_write_5m_tokens) == (10, 4, 3)
    assert (usage.output_tokens, usage.reasoning_tokens, usage.total_tokens) == (20, 5, 30)
    assert read.extra == {"object": "response", "service_tier": "flex"}
    assert read.raw is not None


def test_tokens_written_for_twelve_hours_are_the_longer_of_two_lifetimes() -> None:
    details = {
        "cache_write_tokens": 10,
        "cache_write_tokens_details": {"ttl_12h_tokens": 4, "ttl_30m_tokens": 6},
    }
    usage = openai_responses.decode_usage(
        {"input_tokens": 20, "input_tokens_details": details, "output_tokens": 1}
    )
    assert (usage.cache_write_5m_tokens, usage.cache_write_1h_tokens) == (6, 4)


def test_what_is_not_said_of_usage_is_unknown() -> None:
    assert answer(MESSAGE).usage == Usage()
    usage = openai_responses.decode_usage(
        {"input_tokens": "many", "output_tokens": -1, "input_tokens_details": None}
    )
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (None, None, None)


def test_several_summaries_are_set_apart_and_content_comes_before_them() -> None:
    def thinking(**fields: Any) -> str:
        return answer({"type": "reasoning", "id": "rs_1", **fields}).reasoning

    two = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    assert thinking(summary=two) == "One.\n\nTwo."
    assert thinking(summary=two, content=[{"type": "reasoning_text", "text": "All."}]) == "All."
    assert thinking(summary=two, content=[]) == "One.\n\nTwo."


@pytest.mark.parametrize(
    ("fields", "output", "finish", "raw"),
    [
        ({}, [MESSAGE], "stop", "completed"),
        ({"status": None}, [MESSAGE], "stop", None),
        ({}, [MESSAGE, CALL], "tool_calls", "completed"),
        ({}, [CALL, {"type": "function_call_output", "call_id": "c1", "output": ""}], "stop", "completed"),
        (
            {},
            [{"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "x"}],
            "tool_calls",
            "completed",
        ),
        (
            {},
            [{"type": "tool_search_call", "call_id": "c3", "execution": "client"}],
            "tool_calls",
            "completed",
        ),
        ({}, [{"type": "tool_search_call", "call_id": None, "execution": "server"}], "stop", "completed"),
        ({}, [{"type": "mcp_approval_request", "id": "mcpr_1"}], "paused", "completed"),
        ({}, [REFUSAL], "refused", "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            [],
            "length",
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            [],
            "refused",
            "content_filter",
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "moon"}}, [], "unknown", "moon"),
        ({"status": "incomplete"}, [], "unknown", "incomplete"),
        ({"status": "queued"}, [], "paused", "queued"),
        ({"status": "in_progress"}, [], "paused", "in_progress"),
        ({"status": "cancelled"}, [], "error", "cancelled"),
        ({"status": "tomorrow"}, [], "unknown", "tomorrow"),
    ],
)
def test_why_it_ended(
    fields: dict[str, Any], output: list[Any], finish: FinishReason, raw: str | None
) -> None:
    read = answer(*output, **fields)
    assert (read.finish_reason, read.finish_reason_raw) == (finish, raw)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "Sorry"}}, Overloaded),
        (
            {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "Try again in 2s."}},
            RateLimited,
        ),
        ({"status": "failed", "error": {"code": "bio_policy", "message": "No."}}, ContentRefused),
        ({"status": "failed", "error": None}, Overloaded),
        ({"error": {"message": "gone wrong", "code": 502}}, Overloaded),
        ({"error": "gone wrong"}, Overloaded),
    ],
)
def test_a_failure_that_came_with_status_200_is_raised(body: dict[str, Any], kind: type[ModelError]) -> None:
    with pytest.raises(kind) as raised:
        openai_responses.decode_response(body)
    assert raised.value.status is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "output is missing"),
        ({"output": "x"}, "output is a string"),
        ({"output": [1]}, r"output\[0\] is a number|output\[0\] is an integer"),
        ({"output": [{"type": 1}]}, r"output\[0\]\.type"),
        (
            {"output": [{"type": "message", "content": [{"type": "output_text"}]}]},
            r"output\[0\]\.content\[0\]\.text",
        ),
        ({"output": [{"type": "message"}]}, r"output\[0\]\.content is missing"),
        ({"output": [{"type": "reasoning", "id": 5}]}, r"output\[0\]\.id is an integer"),
        ({"output": [], "model": 7}, "model is an integer"),
    ],
)
def test_an_answer_that_breaks_the_format_names_the_place(body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadAnswer, match=field):
        openai_responses.decode_response(body)
