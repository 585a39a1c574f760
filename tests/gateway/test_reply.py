"""Errors in the words of the caller's format."""

from __future__ import annotations

import pytest

from tidyllm.access import Forbidden
from tidyllm.errors import PriceUnknown, StoreDown, TidyllmError
from tidyllm.gateway.reply import encode_error

FORBIDDEN = Forbidden("not for this.", what="model")


@pytest.mark.parametrize(
    ("error", "status", "openai", "anthropic"),
    [
        (PriceUnknown("key:a", what="m"), 402, ("insufficient_quota", "insufficient_quota"), "billing_error"),
        (FORBIDDEN, 403, ("invalid_request_error", "insufficient_permissions"), "permission_error"),
    ],
)
def test_money_and_permission_are_told_in_the_formats_own_words(
    error: TidyllmError, status: int, openai: tuple[str, str], anthropic: str
) -> None:
    for endpoint in ("openai_chat", "openai_responses"):
        told, body = encode_error(error, endpoint, "1")
        assert (told, body["error"]["type"], body["error"]["code"]) == (status, *openai)
    told, body = encode_error(error, "anthropic", "1")
    assert (told, body["error"]["type"]) == (status, anthropic)


def test_where_our_store_stands_is_told_to_no_caller() -> None:
    error = StoreDown("store postgresql://db.internal:5432/books cannot be used now.")
    for endpoint in ("openai_chat", "anthropic"):
        status, body = encode_error(error, endpoint, "1")
        assert status == 503
        assert "internal" not in str(body)
