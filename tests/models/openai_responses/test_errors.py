"""Errors of the Responses API: the class by status and code, and what a caller is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidyllm.errors import (
    AuthError,
    BadRequest,
    BreakerOpen,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    StreamInterrupted,
    TidyllmError,
    TimeoutExceeded,
    Unsupported,
)
from tidyllm.models.openai_responses import openai_responses
from tidyllm.models.openai_responses.errors import decode_failure


def error(status: int, code: str | None = None, message: str = "words", **headers: str) -> ModelError:
    inner = {"message": message, "type": "invalid_request_error", "param": "input", "code": code}
    body = msgspec.json.encode({"error": inner})
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return openai_responses.decode_error(status, names, body)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, None, "No tool output found.", BadRequest),
        (
            400,
            "context_length_exceeded",
            "Your input exceeds the context window of this model.",
            ContextTooLong,
        ),
        (400, "cyber_policy", "Flagged.", ContentRefused),
        (400, "content_policy_violation", "Flagged.", ContentRefused),
        (400, "model_not_found", "The requested model 'x' does not exist.", ModelNotFound),
        (401, "invalid_api_key", "Incorrect API key provided.", AuthError),
        (403, None, "No access.", AuthError),
        (404, None, "Previous response with id 'resp_1' not found.", BadRequest),
        (429, "rate_limit_exceeded", "Slow down.", RateLimited),
        (429, "insufficient_quota", "You exceeded your current quota.", AuthError),
        (500, "server_error", "Sorry.", Overloaded),
        (503, None, "Busy.", Overloaded),
    ],
)
def test_the_class_by_status_and_code(
    status: int, code: str | None, message: str, kind: type[ModelError]
) -> None:
    found = error(status, code, message, x_request_id="req_1")
    assert type(found) is kind
    assert (found.status, found.request_id, found.provider_message) == (status, "req_1", message)


def test_the_field_that_the_provider_names_is_kept() -> None:
    found = error(400)
    assert isinstance(found, BadRequest)
    assert found.field == "input"


@pytest.mark.parametrize(
    ("words", "headers", "seconds"),
    [
        ("Please try again in 1.5s.", {}, 1.5),
        ("Please try again in 200ms.", {}, 0.2),
        ("Please try again in 2m.", {}, 120.0),
        ("Please try again in 2m.", {"retry_after": "7"}, 7.0),
        ("Please wait.", {}, None),
    ],
)
def test_how_long_to_wait_is_read_from_headers_or_words(
    words: str, headers: dict[str, str], seconds: float | None
) -> None:
    assert error(429, "rate_limit_exceeded", words, **headers).retry_after == seconds


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"type": "error", "code": "server_error", "message": "Sorry"}, Overloaded),
        ({"type": "error", "code": "server_is_overloaded", "message": "Busy"}, Overloaded),
        ({"type": "error", "code": "invalid_prompt", "message": "No"}, BadRequest),
        ({"type": "error", "code": "image_too_large", "message": "No"}, BadRequest),
        ({"type": "error", "code": "failed_to_download_image", "message": "No"}, BadRequest),
        ({"error": {"code": "misalignment_policy_violation", "message": "No"}}, ContentRefused),
        ({"error": {"code": "rate_limit_exceeded", "message": "try again in 3s"}}, RateLimited),
        ({"error": {"code": "insufficient_quota", "message": "No money"}}, AuthError),
        ({"error": {"code": 429, "message": "Slow"}}, RateLimited),
        ({"error": "it broke"}, Overloaded),
        ({"error": {"code": "word_of_tomorrow", "message": "?"}}, Overloaded),
    ],
)
def test_an_error_without_a_status_is_read_by_its_code(data: dict[str, Any], kind: type[ModelError]) -> None:
    found = decode_failure(data)
    assert type(found) is kind
    assert found.status is None


@pytest.mark.parametrize(
    ("raised", "status", "kind", "param", "code"),
    [
        (BadRequest("no", field="input[0]"), 400, "invalid_request_error", "input[0]", None),
        (Unsupported("top_k", format="openai_responses"), 400, "invalid_request_error", "top_k", None),
        (ContextTooLong("long"), 400, "invalid_request_error", None, "context_length_exceeded"),
        (ModelNotFound("who?"), 404, "invalid_request_error", None, "model_not_found"),
        (RateLimited("slow"), 429, "rate_limit_error", None, "rate_limit_exceeded"),
        (Overloaded("busy", code="server_error"), 502, "server_error", None, "server_error"),
        (BreakerOpen("b", failures=3, window=1, retry_after=1), 503, "server_error", None, None),
        (TimeoutExceeded("total", 1, what="it"), 504, "server_error", None, None),
        (StreamInterrupted("cut"), 502, "server_error", None, None),
        (TidyllmError("ours"), 500, "server_error", None, None),
    ],
)
def test_a_caller_is_told_in_openais_words(
    raised: TidyllmError, status: int, kind: str, param: str | None, code: str | None
) -> None:
    answered, body = openai_responses.encode_error(raised)
    assert answered == status
    assert body["error"] == {"message": str(raised), "type": kind, "param": param, "code": code}
