"""Errors: Anthropic's answers to our classes, and ours in the caller's shape."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.anthropic.test_request import json_values
from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    BreakerOpen,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    LimitExceeded,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    StepError,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    Unreachable,
    Unsupported,
)
from tidyllm.models.anthropic import anthropic


def refused(status: int, message: str, kind: str = "invalid_request_error", **headers: str) -> ModelError:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_body"}
    return anthropic.decode_error(status, headers, msgspec.json.encode(body))


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "max_tokens: Field required", BadRequest),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", ContextTooLong),
        (400, "invalid_request_error",
         "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000", ContextTooLong),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ContentRefused),
        (400, "invalid_request_error", "Your credit balance is too low to access the API.", AuthError),
        (401, "authentication_error", "invalid x-api-key", AuthError),
        (402, "billing_error", "pay first", AuthError),
        (403, "permission_error", "not for you", AuthError),
        (404, "not_found_error", "model: claude-9", ModelNotFound),
        (404, "not_found_error", "Not Found", BadRequest),
        (408, "timeout_error", "too slow", Unreachable),
        (409, "conflict_error", "busy", BadRequest),
        (413, "request_too_large", "Request exceeds the maximum size", BadRequest),
        (422, "invalid_request_error", "no", BadRequest),
        (429, "rate_limit_error", "slow down", RateLimited),
        (500, "api_error", "Internal server error", Overloaded),
        (503, "api_error", "unavailable", Overloaded),
        (504, "timeout_error", "slow", Overloaded),
        (529, "overloaded_error", "Overloaded", Overloaded),
        (302, "", "moved", BadAnswer),
    ],
)  # fmt: skip
def test_a_status_and_its_words_become_a_class(
    status: int, kind: str, message: str, expected: type[ModelError]
) -> None:
    error = refused(status, message, kind)
    assert type(error) is expected
    assert (error.status, error.provider_message, error.request_id) == (status, message, "req_body")
    assert message in str(error)


def test_what_the_provider_says_besides_is_kept() -> None:
    headers = {"request-id": "req_header", "retry-after": "12"}
    body: dict[str, Any] = {
        "error": {"type": "rate_limit_error", "message": "m", "details": {"error_code": "ramp"}},
        "request_id": "req_body",
    }
    error = anthropic.decode_error(429, headers, msgspec.json.encode(body))
    assert (error.retry_after, error.request_id, error.code) == (12.0, "req_header", "ramp")
    assert refused(400, "m").code == "invalid_request_error"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("max_tokens: 9 > 8, which is the maximum", "max_tokens"),
        ("messages.0.content.1.text.text: Field required", "messages[0].content[1].text.text"),
        ("Something else: is wrong", None),
        ("", None),
    ],
)
def test_a_bad_request_names_the_field_as_we_do(message: str, field: str | None) -> None:
    error = refused(400, message)
    assert isinstance(error, BadRequest)
    assert error.field == field


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>\n <h1>502 Bad Gateway</h1>", "<html> <h1>502 Bad Gateway</h1>"),
        (b"", None),
        (b"[1]", "[1]"),
        (b'{"error": "plain words"}', "plain words"),
        (b'{"message": "without an error"}', "without an error"),
        (b"\xff" * 2000, "\ufffd" * 300),
    ],
)
def test_bodies_of_other_makes_give_their_words(body: bytes, words: str | None) -> None:
    error = anthropic.decode_error(502, {}, body)
    assert isinstance(error, Overloaded)
    assert error.provider_message == words


def test_an_unpaid_account_is_told_to_pay() -> None:
    assert "balance" in refused(402, "m", "billing_error").hint
    assert "API key" in refused(401, "m", "authentication_error").hint


@given(st.integers(300, 599), st.dictionaries(st.sampled_from(["error", "type", "request_id"]), json_values))
def test_arbitrary_error_bodies_become_an_error(status: int, body: dict[str, Any]) -> None:
    error = anthropic.decode_error(status, {}, msgspec.json.encode(body))
    assert error.status == status
    assert error.message


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (AuthError("m"), 401, "authentication_error"),
        (BadRequest("m"), 400, "invalid_request_error"),
        (Unsupported("seed", format="anthropic"), 400, "invalid_request_error"),
        (ContentRefused("m"), 400, "invalid_request_error"),
        (ConfigError("m"), 400, "invalid_request_error"),
        (ModelNotFound("m"), 404, "not_found_error"),
        (RateLimited("m"), 429, "rate_limit_error"),
        (LimitExceeded("m"), 429, "rate_limit_error"),
        (Overloaded("m", status=529), 429, "overloaded_error"),
        (Overloaded("m", status=500), 502, "api_error"),
        (Overloaded("m", status=503), 502, "overloaded_error"),
        (Overloaded("m"), 502, "api_error"),
        (Unreachable("m"), 502, "api_error"),
        (BadAnswer("m"), 502, "api_error"),
        (StreamInterrupted("m"), 502, "api_error"),
        (BreakerOpen("b", failures=1, window=1, retry_after=1), 503, "overloaded_error"),
        (TimeoutExceeded("total", 1, what="it"), 504, "timeout_error"),
        (StepError("m"), 500, "api_error"),
    ],
)
def test_an_error_reaches_the_caller_in_his_own_shape(error: TidyllmError, status: int, kind: str) -> None:
    told, body = anthropic.encode_error(error)
    assert told == status
    assert body == {"type": "error", "error": {"type": kind, "message": str(error)}, "request_id": None}


def test_the_request_id_is_passed_on() -> None:
    assert anthropic.encode_error(RateLimited("m", request_id="req_1"))[1]["request_id"] == "req_1"
