"""Errors in the chat format: the provider's to ours, and ours to a caller."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ContentRefused,
    ContextTooLong,
    ModelError,
    ModelNotFound,
    Overloaded,
    RateLimited,
    StepError,
    TidyllmError,
    Unreachable,
    Unsupported,
)
from tidyllm.models.openai_chat import openai_chat


def read(status: int, body: Any, headers: dict[str, str] | None = None) -> ModelError:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return openai_chat.decode_error(status, headers or {}, raw)


def error(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "param": None, "code": None, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("Bad", type="invalid_request_error"), BadRequest),
        (401, error("Incorrect API key", code="invalid_api_key"), AuthError),
        (402, error("Insufficient Balance"), AuthError),
        (403, error("Country not supported"), AuthError),
        (404, error("The model `gpt-9` does not exist", code="model_not_found"), ModelNotFound),
        (404, error("The model 'x' was not found."), ModelNotFound),
        (400, error("foo/bar is not a valid model ID", code=400), ModelNotFound),
        (404, error("Not Found"), BadRequest),
        (404, {"detail": "Not Found"}, BadRequest),
        (408, error("Request timeout"), Unreachable),
        (409, error("Conflict"), BadRequest),
        (413, error("Request too large", code="rate_limit_exceeded"), BadRequest),
        (413, error("Please reduce the length of the messages or completion."), ContextTooLong),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "Extra inputs are not permitted"}]}, BadRequest),
        (429, error("Rate limit reached for gpt-4o", type="tokens", code="rate_limit_exceeded"), RateLimited),
        (429, error("You exceeded your current quota", code="insufficient_quota"), AuthError),
        (498, error("Flex capacity exceeded", code="capacity_exceeded"), Overloaded),
        (500, error("The server had an error"), Overloaded),
        (503, b"<html>Service Unavailable</html>", Overloaded),
        (529, error("Overloaded"), Overloaded),
        (302, b"", BadAnswer),
        (400, error("Too long", code="context_length_exceeded"), ContextTooLong),
        (400, error("This model's maximum context length is 8192 tokens. However, ..."), ContextTooLong),
        (400, {"object": "error", "message": "prompt is too long: 9 > 8", "code": 400}, ContextTooLong),
        (
            400,
            error("It exceeds the available context size", type="exceed_context_size_error"),
            ContextTooLong,
        ),
        (400, error("Filtered", code="content_filter"), ContentRefused),
        (400, error("Tool call validation failed", code="tool_use_failed"), BadRequest),
    ],
    ids=str,
)
def test_an_answer_of_refusal_has_its_most_specific_class(
    status: int, body: Any, kind: type[ModelError]
) -> None:
    found = read(status, body)
    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("Bad thing"), "Bad thing"),
        ({"error": "Bad thing"}, "Bad thing"),
        ({"message": "Bad thing"}, "Bad thing"),
        ({"detail": "Bad thing"}, "Bad thing"),
        ([{"error": {"message": "Bad thing", "code": 400, "status": "INVALID_ARGUMENT"}}], "Bad thing"),
        (
            {"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "Bad thing"}]}},
            "Bad thing",
        ),
        (
            {"error": {"message": "Provider error", "metadata": {"raw": "Bad thing"}}},
            "Provider error: Bad thing",
        ),
        ({"error": {"metadata": {"raw": "Bad thing"}}}, "Bad thing"),
        (b"Bad\n\n  thing", "Bad thing"),
        (b"[]", "[]"),
    ],
)
def test_the_providers_own_words_are_found_wherever_they_stand(body: Any, message: str) -> None:
    found = read(400, body)
    assert found.provider_message == message
    assert f"HTTP 400: {message}" in str(found)


def test_a_provider_that_says_nothing_is_quoted_as_such() -> None:
    assert "HTTP 500 without a word." in str(read(500, b""))
    assert read(500, {"detail": [7]}).provider_message is None


NAMED: list[tuple[Any, str | None]] = [
    (error("Bad", param="messages[0].role"), "messages[0].role"),
    (
        {"detail": [{"loc": ["body", "messages", 0, "user", "content"], "msg": "Bad"}]},
        "messages[0].user.content",
    ),
    ({"detail": [{"loc": "body", "msg": "Bad"}]}, None),
    ({"detail": [{"loc": [], "msg": "Bad"}]}, None),
    (error("Bad"), None),
]


@pytest.mark.parametrize(("body", "field"), NAMED)
def test_the_field_is_named_where_the_provider_names_it(body: Any, field: str | None) -> None:
    found = read(400, body)
    assert isinstance(found, BadRequest)
    assert found.field == field


def test_code_request_id_and_the_time_to_wait_are_kept() -> None:
    headers = {"x-request-id": "req_1", "retry-after": "7"}
    found = read(429, error("Slow down", type="tokens", code="rate_limit_exceeded"), headers)
    assert (found.code, found.request_id, found.retry_after) == ("rate_limit_exceeded", "req_1", 7)
    assert read(400, {"error": {"message": "Bad", "code": "400"}, "request_id": "r"}).request_id == "r"
    assert read(400, {"error": {"message": "Bad", "code": "400"}}, {"cf-ray": "c"}).request_id == "c"


def test_who_cannot_pay_is_told_what_to_do() -> None:
    assert "balance" in read(402, error("Insufficient Balance")).hint
    assert not read(402, error("Insufficient Balance")).retryable


@pytest.mark.parametrize(
    ("sent", "status", "fields"),
    [
        (
            BadRequest("No", field="seed"),
            400,
            {"type": "invalid_request_error", "param": "seed", "code": None},
        ),
        (Unsupported("seed", format="anthropic"), 400, {"type": "invalid_request_error", "param": "seed"}),
        (BadRequest("No", code="tool_use_failed"), 400, {"code": "tool_use_failed"}),
        (ContextTooLong("No"), 400, {"code": "context_length_exceeded"}),
        (ContentRefused("No"), 400, {"code": "content_filter"}),
        (AuthError("No"), 401, {"type": "invalid_request_error", "code": "invalid_api_key"}),
        (ModelNotFound("No", field="model"), 404, {"code": "model_not_found", "param": "model"}),
        (RateLimited("No"), 429, {"type": "rate_limit_error", "code": "rate_limit_exceeded"}),
        (Overloaded("No", status=529), 429, {"type": "rate_limit_error"}),
        (Overloaded("No", status=500), 502, {"type": "server_error", "param": None}),
        (StepError("No"), 500, {"type": "server_error", "code": None}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_caller_gets_the_error_in_openais_shape(
    sent: TidyllmError, status: int, fields: dict[str, Any]
) -> None:
    found, body = openai_chat.encode_error(sent)
    assert found == status
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"].items() >= fields.items()
    assert body["error"]["message"] == str(sent)
