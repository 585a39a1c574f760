"""What passes between a program and its records: streams, wrappers, swallowed errors, growth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.durable.crash import Gate, crash_at
from tidyllm.core import Branch, Context, Parallel, Sequence, Wrapper, step
from tidyllm.durable import Runtime, workflow
from tidyllm.durable.views import tree
from tidyllm.errors import LeaseLost, RunCancelled, RunDiverged, StoreDown, UnregisteredType
from tidyllm.resilience import Retry, Timeout

made: list[str] = []


@step
async def words(x: int) -> AsyncIterator[str]:
    for n in range(x):
        made.append(str(n))
        yield str(n)


async def test_a_stream_passes_live_and_comes_again_whole(tmp_path: Path) -> None:
    gate = Gate()
    seen: list[list[str]] = []

    @workflow
    async def program(x: int, ctx: Context) -> str:
        async with aclosing(ctx.stream(words, x)) as pieces:
            seen.append([piece async for piece in pieces])
        await gate.wait()
        return "".join(seen[-1])

    made.clear()
    await crash_at(gate, tmp_path / "runs.db", program, 3, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(program, 3, id="one")).result() == "012"
    assert (seen, made) == ([["0", "1", "2"], ["012"]], ["0", "1", "2"])


async def test_a_stream_that_was_left_early_is_not_taken_for_whole(tmp_path: Path) -> None:
    @workflow
    async def program(x: int, ctx: Context) -> str:
        async with aclosing(ctx.stream(words, x)) as pieces:
            return await anext(pieces)

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 3, id="one")
        assert await run.result() == "0"
        assert (await runtime.query(lambda at: tree(at, "one"))).steps[0].children[0].state == "left"


async def test_a_program_that_swallows_a_lost_lease_goes_no_further(tmp_path: Path) -> None:
    reached, go = asyncio.Event(), asyncio.Event()
    calls: list[int] = []
    errors: list[Exception] = []

    @step
    async def count(x: int) -> int:
        calls.append(x)
        return x

    @workflow
    async def stubborn(x: int, ctx: Context) -> int:
        reached.set()
        await go.wait()
        for n in range(3):
            try:
                await ctx.call(count, n)
            except Exception as error:  # noqa: BLE001 - as an agent does with what its tools raise
                errors.append(error)
        return 1

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(stubborn, 1, id="one")
        await reached.wait()
        taken = "UPDATE {e}workflow_status SET owner_xid = 'other' WHERE workflow_uuid = 'one'"
        await runtime.query(lambda at: at.run(taken))
        go.set()
        while runtime.is_active("one"):
            await asyncio.sleep(0.01)
        assert calls == []
        assert all(isinstance(error, LeaseLost) for error in errors)
        assert await run.status() == "running"  # the other one's


async def test_a_wrapper_is_one_record_with_the_policy_of_what_it_wraps(tmp_path: Path) -> None:
    tries: list[int] = []

    @step(in_doubt="ask")
    async def shaky(x: int) -> int:
        tries.append(x)
        if len(tries) < 3:
            raise ConnectionError
        return x

    wrapped = Retry(Timeout(shaky, total=10), base=0.001)
    assert wrapped.in_doubt == Wrapper(wrapped).in_doubt == "ask"
    assert (step(words).in_doubt, Sequence(shaky, shaky).in_doubt) == ("rerun", "rerun")

    @workflow
    async def program(x: int, ctx: Context) -> int:
        return await ctx.call(wrapped, x)

    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(program, 1)).result() == 1
        rows = await runtime.query(lambda at: at.rows("SELECT path, policy FROM {s}tidyllm_steps"))
    assert (len(tries), rows) == (3, [("program/shaky", "ask")])


async def test_combinators_leave_no_records_of_their_own(tmp_path: Path) -> None:
    @step
    async def inc(x: int) -> int:
        return x + 1

    program = Sequence(
        inc, Parallel(a=inc, b=inc, name="p"), Branch({1: sum_}, by=lambda _: 1, name="c"), name="s"
    )
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(program, 1)).result() == 6
        rows = await runtime.query(lambda at: at.rows("SELECT path FROM {s}tidyllm_steps ORDER BY path"))
    assert [row[0] for row in rows] == ["s/c/1", "s/c/by", "s/inc", "s/p/a", "s/p/b"]


@step(name="sum")
async def sum_(x: dict[str, int]) -> int:
    return sum(x.values())


async def test_the_database_grows_by_the_same_for_every_step(tmp_path: Path) -> None:
    @step
    async def grow(history: str) -> str:
        return "x" * 500

    @workflow
    async def program(steps: int, ctx: Context) -> int:
        history = ""
        for _ in range(steps):  # each step is given all that was before, as agents do
            history += await ctx.call(grow, history)
        return len(history)

    async with Runtime(tmp_path / "runs.db") as runtime:
        sizes: list[int] = []
        for steps in (200, 400):
            before = await runtime.query(_pages)
            assert await (await runtime.start(program, steps)).result() == steps * 500
            sizes.append(await runtime.query(_pages) - before)
    assert sizes[1] < sizes[0] * 2.3


def _pages(at: Any) -> int:
    at.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(at.rows("PRAGMA page_count")[0][0])


class Local:
    """Without a form in JSON."""


async def test_a_value_that_cannot_be_saved_says_which_step_gave_it(tmp_path: Path) -> None:
    @step
    async def give(x: int) -> Any:
        return Local()

    @workflow
    async def program(x: int, ctx: Context) -> int:
        await ctx.call(give, x)
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(
            UnregisteredType, match="step 'give': its answer gave a Local that cannot be saved"
        ):
            await (await runtime.start(program, 1)).result()


async def test_a_flow_inside_of_a_flow_and_a_start_inside_of_a_run(tmp_path: Path) -> None:
    @step
    async def inc(x: int) -> int:
        return x + 1

    @workflow
    async def inner(x: int, ctx: Context) -> int:
        return await ctx.call(inc, x)

    async with Runtime(tmp_path / "runs.db") as runtime:

        @workflow
        async def outer(x: int, ctx: Context) -> int:
            here = await ctx.call(inner, x)
            other = await runtime.start(inner, here, id="child")
            return await other.result()

        assert await (await runtime.start(outer, 1)).result() == 3
        assert (await runtime.query(lambda at: tree(at, "child"))).run.status == "done"


async def test_many_runs_at_once_share_commits(tmp_path: Path) -> None:
    @step
    async def inc(x: int) -> int:
        return x + 1

    @workflow
    async def program(x: int, ctx: Context) -> int:
        for _ in range(5):
            x = await ctx.call(inc, x)
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        runs = await asyncio.gather(*(runtime.start(program, n, id=f"run-{n}") for n in range(30)))
        assert [await run.result() for run in runs] == [n + 5 for n in range(30)]


async def test_a_program_that_cancels_itself_is_a_cancelled_run(tmp_path: Path) -> None:
    @workflow
    async def program(x: int, ctx: Context) -> int:
        ctx.cancel("enough")
        await asyncio.sleep(10)
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(RunCancelled):
            await (await runtime.start(program, 1)).result(20)


@pytest.mark.parametrize("url", ["postgresql://a:b@127.0.0.1:1/x", "/proc/nothing/runs.db"])
async def test_a_database_that_is_away_is_said_in_one_sentence(url: str) -> None:
    with pytest.raises(StoreDown, match=r"cannot be (reached|made)"):
        async with Runtime(url):
            pass


def test_a_divergence_keeps_its_fields() -> None:
    from tidyllm.durable.codec import decode_error, encode_error

    error = RunDiverged("words", step="a", recorded_version="1", version="2", run_id="r")
    again = decode_error(encode_error(error), step="")
    assert isinstance(again, RunDiverged)
    assert (str(again), again.__dict__) == (str(error), error.__dict__)
