from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.observe.events import attempt, call, place
from tidyllm.core import BreakerChanged, Event, FellBack, Progress, Retrying, install, step
from tidyllm.errors import ConfigError, Overloaded, RateLimited
from tidyllm.observe import Logs
from tidyllm.observe.logging import Format, Level
from tidyllm.resilience import Retry

BUSY = Overloaded("the provider is busy; key sk-abcdefgh.", request_id="req_1")


class Page:
    """Logs written to memory."""

    def __init__(self, format: Format = "json", level: Level = "info") -> None:
        self.stream = io.StringIO()
        self.logs = Logs(format=format, level=level, stream=self.stream)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@contextmanager
def page(format: Format = "json", level: Level = "info") -> Generator[Page]:
    one = Page(format, level)
    try:
        yield one
    finally:
        one.logs.close()


def written(event: Event, level: Level = "info") -> dict[str, Any] | None:
    """The line for one event, without the time."""
    with page(level=level) as one:
        one.logs(event)
        lines = one.lines
    assert len(lines) <= 1
    for line in lines:
        assert list(line)[:3] == ["time", "level", "event"]
        assert line.pop("time").endswith("Z")
    return lines[0] if lines else None


CTX = place("fast")
WHERE = {"run_id": CTX.run_id, "path": "fast"}


def test_a_failed_run_is_one_line_with_its_facts() -> None:
    line = written(call("fast", ctx=CTX, error=BUSY)) or {}
    assert "sk-abcdefgh" not in line.pop("message")
    facts = {"step": "fast", "seconds": 0.25, "error": "Overloaded"}
    assert line == {"level": "error", "event": "call failed", **WHERE, **facts}


def test_a_call_within_another_tells_nothing_of_its_own() -> None:
    assert written(call(ctx=place("outer", "inner"), error=BUSY), "debug") is None


def test_a_failed_attempt_is_a_warning() -> None:
    line = written(attempt(ctx=CTX, error=RateLimited("slow down."), status=429, first_piece=100.1)) or {}
    assert (line["level"], line["event"], line["error"], line["status"]) == (
        "warning",
        "attempt failed",
        "RateLimited",
        429,
    )
    assert (line["provider"], line["target"], line["model"], line["seconds"]) == (
        "openai",
        "main",
        "gpt-5.1",
        0.5,
    )


def test_what_went_well_is_told_at_debug_only() -> None:
    for event in (call(ctx=CTX), attempt(ctx=CTX)):
        assert written(event) is None
    line = written(attempt(ctx=CTX, input_tokens=812, cost_usd=0.0125), "debug") or {}
    assert (line["event"], line["input_tokens"], line["cost_usd"]) == ("attempt", 812, 0.0125)
    assert (written(call(ctx=CTX), "debug") or {})["event"] == "call"


def test_a_caller_who_left_is_no_failure() -> None:
    gone = asyncio.CancelledError()
    assert (written(call(ctx=CTX, error=gone)) or {})["event"] == "call cancelled"
    assert written(attempt(ctx=CTX, error=gone)) is None
    assert (written(attempt(ctx=CTX, error=gone), "debug") or {})["event"] == "attempt cancelled"


def test_retries_fallbacks_and_breakers_are_told() -> None:
    retry = written(Retrying(CTX, "a", 1, BUSY, 0.5)) or {}
    assert (retry["level"], retry["step"], retry["attempt"], retry["delay"]) == ("info", "a", 1, 0.5)
    fallback = written(FellBack(CTX, "a", "b", BUSY)) or {}
    assert (fallback["level"], fallback["source"], fallback["target"]) == ("warning", "a", "b")
    for state, level in (("open", "warning"), ("half_open", "warning"), ("closed", "info")):
        line = written(BreakerChanged(CTX, "main", state)) or {}
        assert (line["level"], line["breaker"], line["state"]) == (level, "main", state)


def test_other_events_are_ignored() -> None:
    assert written(Progress(CTX, 1, 2), "debug") is None


async def test_a_real_run_tells_its_story() -> None:
    tries: list[int] = []

    @step
    def flaky(x: int) -> int:
        tries.append(x)
        if len(tries) < 3:
            raise BUSY
        return x

    with page(level="debug") as one:
        remove = install(one.logs)
        try:
            await Retry(flaky, attempts=3, base=0.0)(1)
        finally:
            remove()
    assert [line["event"] for line in one.lines] == ["retry", "retry", "call"]
    assert len({line["run_id"] for line in one.lines}) == 1


def test_records_of_our_loggers_take_the_same_way() -> None:
    with page() as one:
        logging.getLogger("tidyllm.gateway").info("reloaded with %s", "Bearer abcdefgh")
        logging.getLogger("tidyllm.gateway").debug("not told")
        logging.getLogger("somebody.else").warning("not ours")
        logging.getLogger("tidyllm.gateway").log(35, "between two levels")
    line, odd = one.lines
    assert (odd["level"], odd["event"]) == ("warning", "between two levels")
    assert (line["logger"], line["level"], line["event"]) == (
        "tidyllm.gateway",
        "info",
        "reloaded with Bearer ***",
    )


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_is_told_without_variables_and_keys(format: Format) -> None:
    with page(format) as one:
        secret = "sk-local-variable"
        try:
            raise BUSY
        except Overloaded:
            logging.getLogger("tidyllm").exception("it failed")
    text = one.stream.getvalue()
    assert "Traceback" in text
    assert "test_logging.py" in text
    assert "sk-abcdefgh" not in text
    assert text.count(secret) == 0


def test_a_record_that_cannot_be_written_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with page() as one:
        one.stream.close()
        logging.getLogger("tidyllm").warning("nobody reads this")
    assert "Logging error" in capsys.readouterr().err


def test_text_that_is_no_unicode_is_written() -> None:
    line = written(attempt("gpt\ud800", ctx=CTX, error=BUSY)) or {}
    assert line["model"] == "gpt?"


def test_the_console_is_for_people() -> None:
    with page("console") as one:
        one.logs(call("fast", ctx=CTX, error=BUSY))
    text = one.stream.getvalue()
    assert "call failed" in text
    assert "step=fast" in text
    assert "\x1b" not in text  # colours only where somebody looks


def test_closing_leaves_logging_as_it_was() -> None:
    logger = logging.getLogger("tidyllm")
    before = (logger.level, logger.propagate, list(logger.handlers))
    with page(level="debug"):
        assert not logger.propagate
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


@pytest.mark.parametrize(("format", "level"), [("yaml", "info"), ("json", "loud")])
def test_formats_and_levels_that_are_none_are_refused(format: Any, level: Any) -> None:
    with pytest.raises(ConfigError, match="is none of"):
        Logs(format=format, level=level)
