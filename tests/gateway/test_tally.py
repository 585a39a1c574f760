"""What one request used, counted from its events."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tidyllm.core import AttemptFinished, AttemptStarted, Context
from tidyllm.errors import RateLimited, Unreachable
from tidyllm.gateway.tally import Tally

NEVER_SENT = Unreachable("no one")
NEVER_SENT.sent = False
TOLD = {"input_tokens": 7, "output_tokens": 3, "status": 200}


def tallied(error: BaseException | None, attributes: Mapping[str, Any], operation: str = "chat") -> Tally:
    tally, ctx = Tally(), Context.new()
    tally(AttemptStarted(ctx, 1, "offline", "off", "echo"))
    assert tally.used is None, "it is under way"
    tally(AttemptFinished(ctx, 1, operation, "offline", "off", "echo", 0, 1, error, None, attributes))
    return tally


def test_an_answer_used_what_its_provider_told() -> None:
    assert tallied(None, TOLD).used == 10
    assert tallied(None, {"input_tokens": 7}, "embeddings").used == 7
    assert tallied(None, {}, "count_tokens").used == 0
    assert Tally().used == 0


def test_what_was_left_or_broke_may_have_used_more_than_it_told() -> None:
    assert tallied(asyncio.CancelledError(), {"status": 200}).used is None
    assert tallied(asyncio.CancelledError(), TOLD).used is None
    assert tallied(asyncio.CancelledError(), {}).used is None
    assert tallied(None, {"status": 200}).used is None


@pytest.mark.parametrize("error", [RateLimited("slow down", status=429), NEVER_SENT])
def test_what_a_provider_refused_or_never_saw_used_nothing(error: Exception) -> None:
    assert tallied(error, {"status": 429} if isinstance(error, RateLimited) else {}).used == 0
