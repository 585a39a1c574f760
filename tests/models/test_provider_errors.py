"""What the errors of all formats have in common, and that an error inside of an answer has no HTTP status."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidyllm.errors import (
    AuthError,
    BadAnswer,
    BadRequest,
    ModelError,
    Overloaded,
    RateLimited,
    TidyllmError,
    Unreachable,
)
from tidyllm.models.formats import provider_format
from tidyllm.models.provider_errors import by_status, json_body, sentence, shown
from tidyllm.models.sse import Event
from tidyllm.models.status import http_status

CHAT, RESPONSES, ANTHROPIC, OLLAMA = "openai_chat", "openai_responses", "anthropic", "ollama"

BUSY: list[tuple[str, dict[str, Any], type[ModelError]]] = [
    (CHAT, {"error": {"message": "busy", "type": "server_error"}}, Overloaded),
    (CHAT, {"error": {"message": "busy", "code": 429}}, RateLimited),
    (CHAT, {"choices": [{"error": {"message": "busy", "code": 502}}]}, Overloaded),
    (RESPONSES, {"status": "failed", "error": {"message": "busy", "code": "server_error"}}, Overloaded),
    (RESPONSES, {"type": "error", "error": {"message": "busy", "code": "rate_limit_exceeded"}}, RateLimited),
    (ANTHROPIC, {"type": "error", "error": {"message": "busy", "type": "overloaded_error"}}, Overloaded),
    (ANTHROPIC, {"type": "error", "error": {"message": "busy", "type": "rate_limit_error"}}, RateLimited),
    (OLLAMA, {"error": "busy"}, Overloaded),
    (OLLAMA, {"error": "busy", "status": 429}, RateLimited),
]


def raised(format: str, data: dict[str, Any], *, stream: bool) -> ModelError:
    """The error in an answer, or in the first event of a stream."""
    known = provider_format(format)
    event = Event(msgspec.json.encode(data).decode(), "error" if format in {RESPONSES, ANTHROPIC} else "")
    with pytest.raises(ModelError) as caught:
        known.stream_decoder().feed(event) if stream else known.decode_response(data)
    return caught.value


@pytest.mark.parametrize(("format", "data", "kind"), BUSY)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_inside_of_an_answer_or_a_stream_has_no_status(
    format: str, data: dict[str, Any], kind: type[ModelError], stream: bool
) -> None:
    """HTTP had said 200: tokens may have been used, and must not be settled as nothing."""
    if format == RESPONSES and not stream and "status" not in data:
        data = {**data, "status": "failed"}
    error = raised(format, data, stream=stream)
    assert type(error) is kind
    assert (error.status, error.provider_message) == (None, "busy")
    assert "HTTP" not in error.message
    assert "an error" in error.message


def test_a_sentence_says_what_was_said() -> None:
    assert sentence(500, None, "busy") == "the provider answered HTTP 500: busy."
    assert sentence(429, "slow_down", "Wait!") == "the provider answered HTTP 429 (slow_down): Wait!"
    assert sentence(None, "api_error", "") == "the provider answered an error (api_error) without a word."


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, BadAnswer), (400, BadRequest), (401, AuthError), (403, AuthError), (404, BadRequest), (408, Unreachable),
        (418, BadRequest), (429, RateLimited), (499, Unreachable), (500, Overloaded), (529, Overloaded),
    ],
)  # fmt: skip
def test_a_status_has_a_class(status: int, kind: type[ModelError]) -> None:
    error = by_status(status, "words", field="f", status=status, code="c")
    assert type(error) is kind
    assert (error.message, error.status, error.code) == ("words", status, "c")
    if isinstance(error, BadRequest):
        assert error.field == "f"


def test_bodies_that_are_no_json_are_shown() -> None:
    assert json_body(b"<p>") is None
    assert json_body(b"[" * 100_000) is None
    assert shown(b"<p>Bad\n  Gateway</p>" + b"x" * 500).startswith("<p>Bad Gateway</p>xxx")
    assert len(shown(b"x" * 5_000)) == 300


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Overloaded("busy", status=529), 429),
        (Overloaded("busy", code="overloaded_error"), 429),
        (Overloaded("busy", code="engine_overloaded_error"), 429),
        (Overloaded("broken"), 502),
    ],
)
def test_a_provider_that_is_too_busy_lets_the_caller_wait(error: TidyllmError, status: int) -> None:
    assert http_status(error) == status
