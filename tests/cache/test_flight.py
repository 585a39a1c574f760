"""Equal questions at once: one call, whoever is cancelled, and errors only for those whose errors they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.cache.samples import CHAT_ANSWER, CHAT_PIECES, ask, asked, listened, lookups, run, stream
from tests.models.raw_server import Connection, serve
from tests.models.upstreams import model_at
from tidyllm.cache import AnswerCache, Cache
from tidyllm.core import Context, Step, step
from tidyllm.errors import BudgetExceeded, ContentRefused, Overloaded, TidyllmError, TimeoutExceeded
from tidyllm.models import Response
from tidyllm.testing import scripted


class Gate(Step[Any, Any]):
    """Waits for `opened`, then answers with the next of `outcomes`, or raises it; `calls` counts."""

    def __init__(self, *outcomes: Any) -> None:
        super().__init__("gate")
        self.outcomes = list(outcomes)
        self.calls = 0
        self.ended = 0
        self.begun = asyncio.Event()
        self.opened = asyncio.Event()

    async def invoke(self, x: Any, ctx: Context) -> Any:
        self.calls += 1
        self.begun.set()
        try:
            await self.opened.wait()
        finally:
            self.ended += 1
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    async def invoke_stream(self, x: Any, ctx: Context) -> AsyncGenerator[Any, None]:
        self.calls += 1
        try:
            yield "a"
            self.begun.set()
            await self.opened.wait()
            outcome = self.outcomes.pop(0)
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
        finally:
            self.ended += 1


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


def slow(answer: bytes) -> tuple[asyncio.Event, Any]:
    """A server's handler that answers once the event is set."""
    event = asyncio.Event()

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            await event.wait()
            await connection.write(answer)

    return event, handler


@pytest.mark.parametrize("streamed", [False, True])
async def test_ten_at_once_make_one_call(streamed: bool) -> None:
    event, handler = slow(CHAT_PIECES if streamed else CHAT_ANSWER)
    async with serve(handler) as server:
        cached = AnswerCache(model_at(server))
        read = stream if streamed else ask
        tasks = [asyncio.ensure_future(read(cached, asked(stream=streamed))) for _ in range(10)]
        while not server.requests:
            await settle()
        event.set()
        answers: list[Any] = list(await asyncio.gather(*tasks))
    assert len(server.requests) == 1
    wholes: list[Response] = [cached.join(one) if streamed else one for one in answers]
    assert [one.cached for one in wholes] == [False] + [True] * 9
    assert {one.saved_usd for one in wholes[1:]} == {wholes[0].cost_usd}
    assert (cached.counts.misses, cached.counts.joined) == (1, 9)


async def test_other_questions_do_not_wait_for_each_other() -> None:
    gate = Gate(1, 2)
    cached = Cache(gate)
    tasks = [asyncio.ensure_future(cached(x)) for x in ("a", "b")]
    await settle()
    assert gate.calls == 2
    gate.opened.set()
    assert sorted(await asyncio.gather(*tasks)) == [1, 2]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_leader_who_is_cancelled_does_not_cancel_the_others(streamed: bool) -> None:
    gate = Gate("b")
    cached = Cache(gate)
    read = stream if streamed else ask
    leader, *others = (asyncio.ensure_future(read(cached, "x")) for _ in range(4))
    await gate.begun.wait()
    await settle()
    leader.cancel()
    await settle()
    gate.opened.set()
    assert await asyncio.gather(*others) == [["a", "b"] if streamed else "b"] * 3
    assert (gate.calls, leader.cancelled()) == (1, True)


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_call_ends_when_nobody_waits_any_more(streamed: bool) -> None:
    gate = Gate("b", "c")
    cached = Cache(gate)
    read = stream if streamed else ask
    tasks = [asyncio.ensure_future(read(cached, "x")) for _ in range(3)]
    await gate.begun.wait()
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (gate.calls, gate.ended) == (1, 1)
    gate.opened.set()
    assert await read(cached, "x") == (["a", "b"] if streamed else "b")
    assert gate.calls == 2


async def test_a_leader_whose_run_is_cancelled_or_late_does_not_stop_the_others() -> None:
    gate = Gate("a")
    cached = Cache(gate)
    ctx, late = Context.new(), Context.new(deadline=0.01)
    leaders = [asyncio.ensure_future(cached("x", one)) for one in (ctx, late)]
    follower = asyncio.ensure_future(cached("x"))
    await settle()
    ctx.cancel("enough")
    done, _ = await asyncio.wait(leaders)
    gate.opened.set()
    assert await follower == "a"
    assert gate.calls == 1
    assert {type(None if one.cancelled() else one.exception()) for one in done} == {
        type(None),
        TimeoutExceeded,
    }


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (ContentRefused("no"), 1),
        (Overloaded("busy"), 1),
        (TimeoutExceeded("total", 5, what="it"), 1),
        (BudgetExceeded("a", what="m", asked_usd="1", limit_usd="1", spent_usd="1", reserved_usd="0"), 2),
        (ValueError("odd"), 2),
    ],
)
async def test_an_error_goes_only_to_those_who_would_get_the_same(error: Exception, calls: int) -> None:
    gate = Gate(error, "fine")
    cached = Cache(gate)
    leader, *others = (asyncio.ensure_future(cached("x")) for _ in range(4))
    await settle()
    gate.opened.set()
    outcomes = await asyncio.gather(leader, *others, return_exceptions=True)
    assert outcomes[0] is error
    assert gate.calls == calls
    if calls == 1:
        assert all(type(one) is type(error) and one is not error for one in outcomes[1:])
    else:
        assert outcomes[1:] == ["fine"] * 3


async def test_a_step_that_fails_in_the_same_way_twice_is_not_asked_by_each_in_turn() -> None:
    gate = Gate(*(ValueError("odd") for _ in range(20)))
    cached = Cache(gate)
    tasks = [asyncio.ensure_future(cached("x")) for _ in range(20)]
    await settle()
    gate.opened.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, ValueError) for one in outcomes)
    assert gate.calls == 2


async def test_budgets_of_others_are_asked_one_by_one() -> None:
    def refusal() -> BudgetExceeded:
        return BudgetExceeded("a", what="m", asked_usd="1", limit_usd="1", spent_usd="1", reserved_usd="0")

    gate = Gate(refusal(), refusal(), refusal(), "fine")
    cached = Cache(gate)
    tasks = [asyncio.ensure_future(cached("x")) for _ in range(5)]
    await settle()
    gate.opened.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, BudgetExceeded) for one in outcomes) == 3
    assert outcomes.count("fine") == 2


async def test_readers_of_a_stream_that_breaks_all_learn_of_it() -> None:
    gate = Gate(ContentRefused("no"))
    cached = Cache(gate)
    tasks = [asyncio.ensure_future(stream(cached, "x")) for _ in range(3)]
    await gate.begun.wait()
    await settle()
    gate.opened.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in outcomes] == [ContentRefused] * 3
    assert len({id(one) for one in outcomes}) == 3


async def test_who_joins_a_stream_late_gets_all_of_it() -> None:
    gate = Gate("b")
    cached = Cache(gate)
    first = asyncio.ensure_future(stream(cached, "x"))
    await gate.begun.wait()
    ctx, heard = listened()
    second = asyncio.ensure_future(stream(cached, "x", ctx))
    await settle()
    gate.opened.set()
    assert await asyncio.gather(first, second) == [["a", "b"], ["a", "b"]]
    assert (gate.calls, lookups(heard)) == (1, ["joined"])


async def test_a_reader_who_leaves_early_leaves_the_rest_to_the_others() -> None:
    gate = Gate("b")
    cached = Cache(gate)
    first = cached.stream("x")
    second = asyncio.ensure_future(stream(cached, "x"))
    assert await anext(first) == "a"
    await settle()
    await first.aclose()
    gate.opened.set()
    assert await second == ["a", "b"]
    assert (gate.calls, gate.ended) == (1, 1)


async def test_a_stream_that_outgrows_its_bound_waits_for_the_slowest_reader_and_loses_nothing() -> None:
    made: list[int] = []

    class Long(Step[Any, Any]):
        async def invoke(self, x: Any, ctx: Context) -> Any:
            raise NotImplementedError

        async def invoke_stream(self, x: Any, ctx: Context) -> AsyncGenerator[Any, None]:
            for number in range(1_000):
                made.append(number)
                yield number

    cached = Cache(Long(), max_entry_bytes=640)
    slow_one, fast = cached.stream("x"), cached.stream("x")
    assert await asyncio.gather(anext(slow_one), anext(fast)) == [0, 0]
    await settle()
    assert len(made) < 20
    rest = asyncio.ensure_future(_rest(fast))
    assert await _rest(slow_one) == await rest == list(range(1, 1_000))
    assert (len(made), cached.counts.not_kept) == (1_000, 1)


async def _rest(pieces: AsyncGenerator[Any, None]) -> list[Any]:
    return [piece async for piece in pieces]


async def test_calls_of_two_event_loops_do_not_wait_for_each_other() -> None:
    model = scripted("a", "b")
    cached = AnswerCache(model)
    results = await asyncio.gather(
        asyncio.to_thread(lambda: asyncio.run(_one(cached))),
        asyncio.to_thread(lambda: asyncio.run(_one(cached))),
    )
    assert set(results) <= {"a", "b"}


async def _one(cached: AnswerCache) -> str:
    return (await cached("Hi")).text


async def test_no_cache_makes_a_call_of_its_own_while_another_is_under_way() -> None:
    gate = Gate("a", "b")
    cached = Cache(gate)
    tasks = [asyncio.ensure_future(cached("x", ctx)) for ctx in (run(), run(control="no-cache"))]
    await settle()
    assert gate.calls == 2
    gate.opened.set()
    assert sorted(await asyncio.gather(*tasks)) == ["a", "b"]


async def test_a_step_that_cancels_itself_ends_its_caller_only() -> None:
    @step
    async def odd(x: str) -> str:
        calls.append(x)
        if len(calls) == 1:
            await asyncio.sleep(0)
            raise asyncio.CancelledError("by itself")
        return x

    calls: list[str] = []
    cached = Cache(odd)
    outcomes = await asyncio.gather(cached("x"), cached("x"), return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1] == "x"


def test_every_error_of_ours_is_either_everyones_or_ones_own() -> None:
    from tidyllm.cache.flight import for_all

    assert for_all(Overloaded("busy"))
    assert not for_all(TimeoutExceeded("deadline", 1, what="x"))
    assert not for_all(TidyllmError("odd"))
