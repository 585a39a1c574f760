"""Each error has the status that tells a caller whose fault it was and whether waiting helps."""

from __future__ import annotations

import pytest

from tidyllm import errors
from tidyllm.models.status import http_status

CASES: list[tuple[errors.TidyllmError, int]] = [
    (errors.AuthError("no key"), 401),
    (errors.BadRequest("no messages", field="messages"), 400),
    (errors.ContextTooLong("9,000 tokens"), 400),
    (errors.Unsupported("seed", format="anthropic"), 400),
    (errors.ContentRefused("filtered"), 400),
    (errors.ConfigError("no such route"), 400),
    (errors.ModelNotFound("gpt-9"), 404),
    (errors.RateLimited("slow down", status=429), 429),
    (errors.LimitExceeded("no slot"), 429),
    (errors.Overloaded("overloaded", status=529), 429),
    (errors.Overloaded("broken", status=500), 502),
    (errors.Unreachable("no connection"), 502),
    (errors.BadAnswer("no JSON"), 502),
    (errors.StreamInterrupted("cut"), 502),
    (errors.BreakerOpen("main", failures=5, window=10, retry_after=3), 503),
    (errors.Refused("draining"), 503),
    (errors.StoreDown("no connection"), 503),
    (errors.StoreError("corrupt"), 500),
    (errors.TimeoutExceeded("total", 60, what="main"), 504),
    (errors.NotCached("nothing is kept"), 504),
    (errors.StepError("name used twice"), 500),
    (errors.ModelError("who knows"), 500),
]


@pytest.mark.parametrize(("error", "status"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_has_its_status(error: errors.TidyllmError, status: int) -> None:
    assert http_status(error) == status
