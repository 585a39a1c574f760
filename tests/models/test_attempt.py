"""One attempt on the wire: exactly one record of its start and of its end, and money that is always settled."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.raw_server import Connection, answer, serve
from tests.models.upstreams import (
    CATALOG,
    CHAT,
    CHAT_STREAM,
    PRICES,
    Heard,
    data,
    forward,
    frames,
    json_body,
    model_at,
    play,
    stream_head,
)
from tidyllm import model
from tidyllm.core import AttemptFinished, AttemptStarted, Context, Reservation
from tidyllm.errors import BadRequest, LimitExceeded, ModelError, StreamInterrupted, Unreachable, Unsupported
from tidyllm.models import Catalog, Image, Message, Request, Tool
from tidyllm.models.asked import Asked
from tidyllm.models.bound import bound_usd, uncounted_usd
from tidyllm.models.pricing import cost_usd
from tidyllm.models.response import Usage

STREAM = stream_head("x-request-id: req-7") + frames(*CHAT_STREAM)


class Cap:
    """A budget that keeps what it was asked and told."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.reserved: list[Decimal | None] = []
        self.settled: list[Decimal | None] = []
        self.settling = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._refuses = refuses

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Reservation:
        if self._refuses:
            raise LimitExceeded(f"no money for {what}")
        self.reserved.append(at_most_usd)
        return self

    async def settle(self, cost_usd: Decimal | None) -> None:
        self.settling.set()
        await self.go_on.wait()
        self.settled.append(cost_usd)


class Watched:
    """A context with a budget and a hook."""

    def __init__(self, cap: Cap | None = None) -> None:
        self.cap = cap or Cap()
        self.heard = Heard()
        self.ctx = Context.new(hooks=(self.heard,), budget=self.cap)

    @property
    def finished(self) -> AttemptFinished:
        """The one end, after the one start."""
        starts, ends = self.heard.of(AttemptStarted), self.heard.of(AttemptFinished)
        assert len(starts) == len(ends) == 1
        assert starts[0].span_id == ends[0].span_id
        return ends[0]


async def test_a_whole_answer_is_recorded_and_settled() -> None:
    seen = Watched()
    request = Request("Hi", max_output_tokens=50, temperature=0.5, top_p=0.9)
    async with serve(play(json_body({**CHAT, "service_tier": "flex"}, "x-request-id: req-7"))) as server:
        await model_at(server)(request, seen.ctx)
    assert (
        server.requests[0].headers["traceparent"] == f"00-{seen.ctx.run_id}-{seen.finished.span_id:016x}-01"
    )
    record = seen.finished
    assert (record.operation, record.provider, record.target, record.model) == (
        "chat",
        "openai",
        "up",
        "priced",
    )
    assert record.error is None
    assert record.attributes == {
        "server_address": "127.0.0.1",
        "server_port": server.port,
        "stream": False,
        "status": 200,
        "request_id": "req-7",
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "input_tokens": 1000,
        "output_tokens": 100,
        "finish_reason": "stop",
        "response_id": "c-1",
        "response_model": CHAT["model"],
        "cost_usd": Decimal("0.001"),
    }
    assert seen.cap.settled == [Decimal("0.001")]


@pytest.mark.parametrize(
    "request_", ["Hi", forward(b'{"max_tokens": 50}', stream=True)], ids=["ours", "forwarded"]
)
async def test_a_stream_is_recorded_and_settled(request_: Any) -> None:
    seen = Watched()
    async with serve(play(STREAM)) as server:
        async for _ in model_at(server).stream(request_, seen.ctx):
            pass
    record = seen.finished
    assert record.first_piece is not None
    assert record.started <= record.first_piece <= record.ended
    assert record.attributes["cost_usd"] == Decimal("0.002")
    assert record.attributes["finish_reason"] == "stop"
    assert record.attributes["stream"] is True
    assert seen.cap.settled == [Decimal("0.002")]


@pytest.mark.parametrize(
    ("raw", "cost"),
    [
        (json_body({"error": {"message": "no"}}, status="400 Bad"), Decimal(0)),
        (json_body({"error": {"message": "no"}}, status="429 Slow"), Decimal(0)),
        (json_body({"error": {"message": "no"}}, status="500 Oh"), Decimal(0)),
        (answer(b"", status="504 Gateway Timeout"), None),
        (json_body({"error": {"message": "no"}}), None),
        (answer(b"nonsense"), None),
        (b"", None),
    ],
)
async def test_a_refusal_costs_nothing_and_what_may_have_been_billed_stays_in_doubt(
    raw: bytes, cost: Decimal | None
) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.write(raw)

    for stream in (False, True):
        seen = Watched()
        async with serve(handler) as server:
            with pytest.raises(ModelError):
                await _call(model_at(server), seen.ctx, stream=stream)
        assert seen.finished.error is not None
        assert seen.cap.settled == [cost]


async def _call(asked: Any, ctx: Context, *, stream: bool, request: Any = "Hi") -> None:
    if stream:
        async for _ in asked.stream(request, ctx):
            pass
    else:
        await asked(request, ctx)


async def test_nothing_sent_is_an_attempt_that_cost_nothing() -> None:
    seen = Watched()
    async with serve(play(b"")) as server:
        pass
    with pytest.raises(Unreachable):
        await model_at(server)("Hi", seen.ctx)
    assert isinstance(seen.finished.error, Unreachable)
    assert seen.cap.settled == [Decimal(0)]


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_before_it_is_sent_was_no_attempt(stream: bool) -> None:
    seen = Watched()
    async with serve(play(json_body(CHAT))) as server:
        with pytest.raises(Unsupported):
            await _call(model_at(server, "anthropic"), seen.ctx, stream=stream, request=Request("Hi", seed=1))
        refused = Watched(Cap(refuses=True))
        with pytest.raises(LimitExceeded):
            await _call(model_at(server), refused.ctx, stream=stream)
    assert not seen.heard.of(AttemptStarted)
    assert not refused.heard.of(AttemptStarted)
    assert not seen.heard.of(AttemptFinished)
    assert seen.cap.settled == []
    assert not server.requests


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cancelled_attempt_ends_and_stays_in_doubt(stream: bool) -> None:
    async def handler(connection: Connection) -> None:
        await connection.request()
        await connection.left()

    seen = Watched()
    async with serve(handler) as server:
        task = asyncio.create_task(_call(model_at(server), seen.ctx, stream=stream))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert isinstance(seen.finished.error, asyncio.CancelledError)
    assert seen.cap.settled == [None]


async def test_a_call_cancelled_while_it_settles_is_settled_all_the_same() -> None:
    seen = Watched()
    seen.cap.go_on.clear()
    async with serve(play(json_body(CHAT))) as server:
        task = asyncio.create_task(_call(model_at(server), seen.ctx, stream=False))
        await seen.cap.settling.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    seen.cap.go_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen.cap.settled == [Decimal("0.002")]
    assert seen.finished.error is None


@pytest.mark.parametrize("request_", ["Hi", forward(b"{}", stream=True)], ids=["ours", "forwarded"])
async def test_a_reader_who_leaves_early_ends_the_attempt(request_: Any) -> None:
    seen = Watched()
    async with serve(play(STREAM)) as server:
        pieces = model_at(server).stream(request_, seen.ctx)
        await anext(pieces)
        await pieces.aclose()
    assert isinstance(seen.finished.error, asyncio.CancelledError)
    assert seen.finished.attributes["response_model"] == CHAT["model"]
    assert seen.cap.settled == [None]


async def test_a_cut_stream_stays_in_doubt_whatever_had_come() -> None:
    """The provider may have written, and billed, more than arrived."""
    usage = data({"id": "c", "model": "m", "choices": [], "usage": CHAT["usage"]})
    seen = Watched()
    async with serve(play(stream_head() + frames(CHAT_STREAM[0], usage, end=False))) as server:
        with pytest.raises(StreamInterrupted):
            await _call(model_at(server), seen.ctx, stream=True)
    assert isinstance(seen.finished.error, StreamInterrupted)
    assert seen.finished.attributes["input_tokens"] == 1000
    assert seen.cap.settled == [None]


async def test_each_attempt_of_a_retry_reserves_again() -> None:
    from tidyllm import Retry

    seen = Watched()
    async with serve(
        play(json_body({"error": {"message": "no"}}, status="500 Oh"), json_body(CHAT))
    ) as server:
        await Retry(model_at(server), base=0)("Hi", seen.ctx)
    assert len(seen.cap.reserved) == 2
    assert seen.cap.settled == [Decimal(0), Decimal("0.002")]
    assert len(seen.heard.of(AttemptStarted)) == len(seen.heard.of(AttemptFinished)) == 2


@pytest.mark.parametrize("abilities", [["embeddings"], []], ids=["named as such", "priced by hand"])
async def test_counting_tokens_is_free_and_embeddings_have_no_output(abilities: list[str]) -> None:
    info = {"prices": {"input": "1"}, "abilities": abilities}
    catalog = CATALOG.with_({"up/priced": info})
    seen = Watched()
    embeddings: Any = {"data": [], "model": "e", "usage": {"prompt_tokens": 1000, "total_tokens": 1000}}
    async with serve(play(json_body(embeddings), json_body({"input_tokens": 3}))) as server:
        asked = model_at(server)
        asked.info = catalog.find("up/priced")
        await asked(forward(b'{"input":"x"}', "openai_embeddings"), seen.ctx)  # pyright: ignore[reportArgumentType]
        assert seen.finished.operation == "embeddings"
        assert seen.cap.reserved[0] is not None
        assert seen.cap.settled == [Decimal("0.001")]
        count = Watched()
        await model_at(server, "anthropic")(forward(b"{}", "anthropic_count_tokens"), count.ctx)  # pyright: ignore[reportArgumentType]
    assert count.finished.operation == "count_tokens"
    assert count.cap.reserved == count.cap.settled == []


# -- the bound

INFO = CATALOG.find("up/priced")


def bound(body: bytes, **fields: Any) -> Decimal | None:
    return bound_usd(body, Asked.of(fields), INFO)


@given(
    body=st.binary(max_size=5_000).filter(lambda body: b'"' not in body),
    most=st.integers(1, 5_000),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    tiers=st.tuples(st.sampled_from([None, "flex", "default", "auto"]), st.sampled_from(["default", "flex"])),
)
def test_no_bill_is_above_the_bound(
    body: bytes, most: int, share: tuple[float, float], tiers: tuple[str | None, str]
) -> None:
    tier, served = tiers
    used, answered = share
    fields = {"max_tokens": most} if tier is None else {"max_tokens": most, "service_tier": tier}
    usage = Usage(input_tokens=int(len(body) * used), output_tokens=int(most * answered))
    cost = cost_usd(usage, INFO, tier=served if tier else None)
    limit = bound(body, **fields)
    assert limit is not None
    assert cost is not None
    assert cost <= limit


def test_the_bound_counts_every_answer_and_the_models_own_limit() -> None:
    assert bound(b"x" * 100, max_tokens=10) == Decimal("0.0002")
    assert bound(b"x" * 100, max_tokens=10, n=3) == Decimal("0.0004")
    assert bound(b"x" * 100) == Decimal("0.0101")
    assert bound(b"x" * 100, options={"num_predict": 10}) == Decimal("0.0002")
    assert bound_usd(b"x", Asked(), None) is None


@pytest.mark.parametrize(
    ("format", "fields", "most"),
    [
        ("openai_chat", {"max_output_tokens": 1}, None),
        ("openai_chat", {"max_output_tokens": 1, "max_tokens": 70}, 70),
        ("openai_chat", {"max_completion_tokens": 1, "max_tokens": 70}, 70),
        ("openai_responses", {"max_tokens": 1, "max_output_tokens": 70}, 70),
        ("openai_responses", {"max_completion_tokens": 1}, None),
        ("anthropic", {"max_completion_tokens": 1, "max_tokens": 70}, 70),
        ("anthropic", {"options": {"num_predict": 1}}, None),
        ("ollama", {"max_tokens": 1}, None),
        ("ollama", {"max_tokens": 1, "options": {"num_predict": 70}}, 70),
        ("ollama", {"options": {"num_predict": -1}}, -1),
        ("", {"max_tokens": 1, "max_output_tokens": 70}, 70),
        ("", {"max_tokens": 1, "options": {"num_predict": -2}}, -2),
        ("openai_chat", {"max_tokens": 10**40}, 10**15),
        ("openai_chat", {"max_tokens": float("inf")}, None),
    ],
)
def test_only_caps_that_the_format_knows_count_and_of_several_the_largest(
    format: str, fields: dict[str, Any], most: int | None
) -> None:
    assert Asked.of(fields, format).max_tokens == most


def test_no_number_blocks_an_account() -> None:
    window_only = CATALOG.with_(
        {"up/x": {"prices": {"input": "1", "output": "1"}, "context_window_tokens": 500}}
    ).find("up/x")
    assert bound_usd(b"x" * 100, Asked(max_tokens=10**12), window_only) == Decimal("0.0006")
    for field, fields in (
        ("n", {"n": 1_001}),
        ("max_tool_calls", {"max_tool_calls": 10**9, "tools": [{"type": "web_search"}]}),
        ("max_tool_calls", {"tools": [{"type": "web_search", "max_uses": 1_001}]}),
    ):
        with pytest.raises(BadRequest, match="may be 1,000 at most") as caught:
            bound(b"x", max_tokens=1, **fields)
        assert caught.value.field == field


def test_a_cap_above_what_the_catalogue_says_of_the_output_is_set_aside_whole() -> None:
    """A provider may have raised it since, or raise it for a header (`output-128k-…`)."""
    prices = {"input": "0", "output": "1"}
    behind = CATALOG.with_(
        {"up/x": {"prices": prices, "context_window_tokens": 200_000, "max_output_tokens": 64_000}}
    ).find("up/x")
    assert bound_usd(b"x", Asked(), behind) == Decimal("0.064")
    assert bound_usd(b"x", Asked(max_tokens=128_000), behind) == Decimal("0.128")
    assert bound_usd(b"x", Asked(max_tokens=10**9), behind) == Decimal("0.2")


def test_a_model_of_ones_own_machine_costs_nothing_however_long_its_answers_may_be() -> None:
    own = Catalog.default().find("ollama/any")
    assert own is not None
    assert own.max_output_tokens is None
    assert bound_usd(b"x", Asked(), own) == 0


FEES = CATALOG.with_({"up/priced": {**PRICES, "fees": {"web_search": "0.01"}}})
SEARCHES: dict[str, Any] = {"tools": [{"type": "web_search"}], "max_tool_calls": 3, "max_output_tokens": 50}


def test_tools_of_the_provider_without_known_fees_have_no_bound() -> None:
    assert bound(b"x", **SEARCHES) is None
    with_fees = bound_usd(b"x", Asked.of(SEARCHES), FEES.find("up/priced"))
    without = bound_usd(b"x", Asked.of({**SEARCHES, "max_tool_calls": 0}), FEES.find("up/priced"))
    assert with_fees is not None
    assert without is not None
    assert with_fees >= Decimal("0.03") > without


def test_a_prompt_that_is_kept_at_the_provider_may_have_tools_in_it() -> None:
    """Without them it has the bound of what is read from elsewhere: the window."""
    stored = {"prompt": {"id": "pmpt_1"}, "max_output_tokens": 50}
    body = b'{"prompt": {"id": "pmpt_1"}}'
    assert bound(body, **stored) is None
    assert bound(body, **stored, max_tool_calls=0) == Decimal("0.0105")
    assert Asked.of({"model": "any", "prompt": {"id": "pmpt_1"}}).own_calls is None, (
        "with no other field, too"
    )


def test_a_model_that_searches_by_itself_has_no_bound() -> None:
    searching = CATALOG.with_({"up/priced": {**PRICES, "searches": True}}).find("up/priced")
    assert bound_usd(b"x", Asked(max_tokens=50), searching) is None
    known = CATALOG.find("openai/gpt-5-search-api")
    assert known is not None
    assert known.searches


def test_a_budget_takes_tools_that_no_usage_counts_as_used() -> None:
    asked = Asked.of(SEARCHES)
    assert uncounted_usd(asked, FEES.find("up/priced"), "openai_responses") == Decimal("0.03")
    assert uncounted_usd(asked, FEES.find("up/priced"), "anthropic") == 0
    assert uncounted_usd(Asked(), FEES.find("up/priced"), "openai_responses") == 0


async def test_what_no_usage_counts_is_settled_with_the_tokens() -> None:
    seen = Watched()
    async with serve(play(json_body(CHAT))) as server:
        priced = model_at(server)
        priced.info = FEES.find("up/priced")
        call: Any = forward(b'{"tools": [{"type": "web_search"}], "max_tool_calls": 3}')
        await priced(call, seen.ctx)
    assert seen.cap.settled == [Decimal("0.032")]


def test_a_tier_without_a_price_has_no_bound() -> None:
    assert bound(b"x", max_tokens=1, service_tier="unheard-of") is None


def test_what_is_not_text_in_the_body_is_bounded_by_the_window() -> None:
    for body in (
        b'{"type":"image_url"}',
        b'{"previous_response_id":"r"}',
        b'{"file_id":"f"}',
        b'{"images":[]}',
    ):
        assert bound(b'{"x":' + body.replace(b'"type":', b"") + b":1}", max_tokens=1) == Decimal("0.01001"), (
            body
        )
    assert bound(b'{"content":"a \\"file_id\\" in a text"}', max_tokens=1) == Decimal("0.000047")
    assert bound(b'{"tools":[]}', max_tokens=1) == Decimal("0.001022")
    no_window = CATALOG.with_({"up/x": {"prices": {"input": "1", "output": "1"}}}).find("up/x")
    assert bound_usd(b'{"file_id":1}', Asked(max_tokens=1), no_window) is None


@given(st.binary(max_size=200))
def test_any_fields_can_be_looked_at(body: bytes) -> None:
    import msgspec

    raw = {name: msgspec.Raw(body) for name in ("max_tokens", "options", "n", "service_tier", "temperature")}
    Asked.of(raw)


async def test_a_request_with_an_image_and_tools_reserves_enough() -> None:
    seen = Watched()
    request = Request(
        (Message.user("What?", Image(data=b"png", media_type="image/png")),), tools=(Tool("t"),)
    )
    async with serve(play(json_body(CHAT))) as server:
        await model_at(server)(request, seen.ctx)
    assert seen.cap.reserved == [Decimal("0.02")]


async def test_an_unwatched_call_without_a_budget_keeps_no_books() -> None:
    reply = await model("offline/echo")("Hi", Context.new(hooks=()))
    assert reply.text == "Hi"
