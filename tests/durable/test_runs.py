"""A run is started, joined, watched, answered, forked, cancelled; what it gives is the same live and replayed."""

from __future__ import annotations

import asyncio
import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.durable.crash import Gate, crash_at
from tests.store.servers import databases, store_url
from tidyllm.core import Context, Parallel, Sequence, step
from tidyllm.durable import Runtime, now, register_type, signalled, sleep, workflow
from tidyllm.durable.place import beside, runs_location
from tidyllm.errors import (
    AnotherRuntime,
    BadRequest,
    ConfigError,
    NobodyToAsk,
    RunCancelled,
    RunError,
    RunFailed,
    RunInDoubt,
    RunNotFound,
    StepFailed,
    TidyllmError,
    TimeoutExceeded,
    UnregisteredType,
)
from tidyllm.store import Store


class Pair(msgspec.Struct, frozen=True):
    left: int
    right: tuple[str, ...]


@dataclasses.dataclass
class Plain:
    price: Decimal


ran: list[str] = []


@step
async def inc(x: int, ctx: Context) -> int:
    ran.append("/".join(ctx.path))
    return x + 1


@workflow
async def count(x: int, ctx: Context) -> int:
    for _ in range(3):
        x = await ctx.call(inc, x)
    return x


@pytest.mark.parametrize("dialect", databases())
async def test_a_run_gives_its_answer_to_whoever_asks_for_its_id(tmp_path: Path, dialect: str) -> None:
    async with Runtime(store_url(dialect, tmp_path)) as runtime:
        ran.clear()
        run = await runtime.start(count, 1, id="one")
        assert await run.result() == 4
        assert ran == ["count/inc", "count/inc#2", "count/inc#3"]
        assert await (await runtime.start(count, 1, id="one")).result() == 4
        assert await (await runtime.get("one")).result() == 4
        assert len(ran) == 3
        assert [event.path for event in [one async for one in run.events()]] == [*ran, ""]


async def test_an_id_belongs_to_one_flow_and_one_input(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(count, 1, id="one")).result()
        with pytest.raises(RunError, match="'one' is that of a run of 'count' with another input"):
            await runtime.start(count, 2, id="one")
        with pytest.raises(RunError, match="'one' is that of a run of 'count', not of 'inc'"):
            await runtime.start(inc, 1, id="one")
        with pytest.raises(RunNotFound, match="no run 'two'"):
            await runtime.get("two")


async def test_any_composed_step_is_a_program(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        program = Parallel(a=Sequence(inc, inc), b=inc, name="both")
        assert await (await runtime.start(program, 1)).result() == {"a": 3, "b": 2}
        assert await (await runtime.start(inc | inc, 1)).result() == (2, 2)


async def test_a_flow_outside_of_a_runtime_simply_runs() -> None:
    assert await count(1) == 4


async def test_what_was_recorded_is_not_run_again_after_a_crash(tmp_path: Path) -> None:
    gate = Gate()

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    @workflow
    async def program(x: int, ctx: Context) -> int:
        return await ctx.call(hold, await ctx.call(inc, x))

    ran.clear()
    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        assert await run.result() == 2
    assert (ran, gate.visits) == (["program/inc"], 2)


async def test_two_agents_that_call_one_step_keep_their_own_answers(tmp_path: Path) -> None:
    """The engine numbers steps by the order of calls; a crash that changes the order must not swap them."""
    gates = [Gate()]
    delays = {"left": 0.0, "right": 0.05}

    @step
    async def ask(who: str) -> str:
        await asyncio.sleep(delays[who])
        return f"for {who}"

    @step
    async def hold(x: str) -> str:
        await gates[0].wait()
        return x

    @workflow
    async def agent(who: str, ctx: Context) -> list[str]:
        return [await ctx.call(ask, who), await ctx.call(hold, who), await ctx.call(ask, who)]

    @workflow
    async def team(x: int, ctx: Context) -> list[list[str]]:
        # The one that was first is the last one now.
        names = ["left", "right"] if gates[0].visits == 0 else ["right", "left"]
        given = await asyncio.gather(*(ctx.call(agent, name, name) for name in names))
        return sorted(given)

    await crash_at(gates[0], tmp_path / "runs.db", team, 1, "one")
    delays.update(left=0.05, right=0.0)
    async with Runtime(tmp_path / "runs.db") as runtime:
        answer = await (await runtime.start(team, 1, id="one")).result()
    assert answer == [["for left", "left", "for left"], ["for right", "right", "for right"]]


# -- values and errors


@pytest.mark.parametrize(
    "value",
    [
        Pair(1, ("a",)),
        Plain(Decimal("1.5")),
        {"a": [1, None, 2.5]},
        (1, Pair(2, ())),
        [Pair(3, ("x", "y"))],
        "é\0",
    ],
)
async def test_a_value_without_declared_type_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    gate = Gate()

    @step
    async def give(x: int) -> Any:
        return value

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    shown: list[Any] = []

    @workflow
    async def program(x: int, ctx: Context) -> int:
        shown.append(await ctx.call(give, x))
        return await ctx.call(hold, x)

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(program, 1, id="one")).result()
    assert shown == [value, value]
    assert [type(one) for one in shown] == [type(value)] * 2


async def test_a_declared_type_is_the_same_live_and_replayed(tmp_path: Path) -> None:
    @step
    async def give(x: int) -> list[int]:
        return (x, x)  # type: ignore[return-value]  # the point of the test

    @workflow
    async def program(x: int, ctx: Context) -> str:
        return type(await ctx.call(give, x)).__name__

    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(program, 1)).result() == "list"


async def test_a_large_value_is_kept_once(tmp_path: Path) -> None:
    @step
    async def large(x: int) -> str:
        return "x" * 100_000

    @workflow
    async def program(x: int, ctx: Context) -> str:
        for _ in range(10):
            text = await ctx.call(large, x)
        return text  # pyright: ignore[reportPossiblyUnboundVariable]

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1)
        assert await run.result() == "x" * 100_000
    assert (tmp_path / "runs.db").stat().st_size < 700_000


class Socket:
    """Nothing that can be saved."""


def test_a_type_that_cannot_be_saved_is_refused_at_definition() -> None:
    async def takes(sock: Socket, ctx: Context) -> int:
        return 1

    async def gives(x: int, ctx: Context) -> list[Socket]:
        return []

    with pytest.raises(UnregisteredType, match="workflow 'takes': parameter 'sock' is Socket"):
        workflow(takes)
    with pytest.raises(
        UnregisteredType, match=r"workflow 'gives': its answer is list.*Socket has no form in JSON"
    ):
        workflow(gives)


@step
async def connect(x: int) -> Socket:
    return Socket()


def test_a_step_that_the_program_names_is_checked_as_well() -> None:
    async def program(x: int, ctx: Context) -> int:
        await ctx.call(connect, x)
        return x

    with pytest.raises(UnregisteredType, match="workflow 'program': what step 'connect' gives is Socket"):
        workflow(program)


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


async def test_a_registered_type_is_saved_as_its_owner_says(tmp_path: Path) -> None:
    register_type(Money, lambda money: money.cents, Money)

    @workflow
    async def program(x: Money, ctx: Context) -> Money:
        return Money(x.cents + 1)

    async with Runtime(tmp_path / "runs.db") as runtime:
        assert (await (await runtime.start(program, Money(1))).result()).cents == 2


class OursNot(Exception):
    pass


async def test_failures_are_recorded_and_come_again(tmp_path: Path) -> None:
    gate = Gate()
    errors: list[Exception] = [
        ValueError("a", 1),
        BadRequest("no such model", provider="p", model="m"),
        OursNot("words"),
    ]

    @step
    async def fail(x: int) -> int:
        raise errors[x]

    @step
    async def hold(x: int) -> int:
        await gate.wait()
        return x

    seen: list[list[Exception]] = []

    @workflow
    async def program(x: int, ctx: Context) -> int:
        mine: list[Exception] = []
        seen.append(mine)
        for number in range(3):
            try:
                await ctx.call(fail, number)
            except Exception as error:  # noqa: BLE001 - all of them are looked at below
                mine.append(error)
        return await ctx.call(hold, x)

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(program, 1, id="one")).result()
    assert (
        [type(one) for one in seen[0]]
        == [type(one) for one in seen[1]]
        == [ValueError, BadRequest, StepFailed]
    )
    assert [str(one) for one in seen[0]] == [str(one) for one in seen[1]]
    again = seen[1][1]
    assert isinstance(again, BadRequest)
    assert (again.provider, again.retryable) == ("p", False)


async def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    @workflow
    async def theirs(x: int, ctx: Context) -> int:
        raise OursNot("words")

    @workflow
    async def ours(x: int, ctx: Context) -> int:
        raise ConfigError("wrong", where="here")

    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(RunFailed, match="OursNot: words"):
            await (await runtime.start(theirs, 1)).result()
        with pytest.raises(ConfigError, match="here: wrong"):
            await (await runtime.start(ours, 1)).result()


# -- people, time, ends


@workflow
async def careful(x: int, ctx: Context) -> str:
    return f"{await ctx.ask('Delete?')} {await signalled('price', ctx, type=int)}"


async def test_a_question_and_a_signal_wait_across_a_crash(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(careful, 1, id="one")
        await run.signal("price", 7)
        while not (asked := await run.questions()):
            await asyncio.sleep(0.01)
        assert [(one.path, one.text) for one in asked] == [("careful/ask", "Delete?")]
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.resume("one", careful)
        with pytest.raises(RunError, match=r"no question is open"):
            await (await runtime.start(count, 1)).approve()
        await run.approve(answer="go")
        assert await run.result() == "go 7"


async def test_where_nobody_can_be_asked_a_question_fails(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db", ask=False) as runtime:
        with pytest.raises(NobodyToAsk):
            await (await runtime.start(careful, 1)).result()


async def test_a_run_is_cancelled_in_the_middle_and_can_be_resumed(tmp_path: Path) -> None:
    gate = Gate()

    @workflow
    async def program(x: int, ctx: Context) -> int:
        await ctx.call(inc, x)
        await gate.wait()
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        await gate.reached.wait()
        await run.cancel()
        with pytest.raises(RunCancelled):
            await run.result()
        assert await run.status() == "cancelled"
        assert await (await runtime.resume("one")).result() == 1


async def test_a_timeout_interrupts(tmp_path: Path) -> None:
    @workflow
    async def program(x: int, ctx: Context) -> int:
        await asyncio.Event().wait()
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, timeout=0.1)
        with pytest.raises(TimeoutExceeded):
            await run.result()


async def test_sleep_and_time_are_those_of_the_first_life(tmp_path: Path) -> None:
    gate = Gate()
    times: list[float] = []

    @workflow
    async def program(x: int, ctx: Context) -> float:
        times.append(await now(ctx))
        await sleep(0.01, ctx)
        await gate.wait()
        return times[-1]

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(program, 1, id="one")).result() == times[0]


async def test_a_fork_keeps_what_was_before_the_step(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(count, 1, id="one")
        await run.result()
        ran.clear()
        fork = await run.fork("count/inc#2", id="two")
        assert (await fork.result(), ran) == (4, ["count/inc#2", "count/inc#3"])
        with pytest.raises(RunNotFound, match="has no step 'count/no'"):
            await run.fork("count/no")


async def test_a_fork_from_the_flow_itself_does_everything_again(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(count, 1, id="one")
        await run.result()
        ran.clear()
        fork = await run.fork("count", id="two")
        assert (await fork.result(), ran) == (4, ["count/inc", "count/inc#2", "count/inc#3"])


async def test_a_key_is_the_same_in_every_life_and_another_in_every_call(tmp_path: Path) -> None:
    gate = Gate()
    keys: list[str | None] = []

    @step
    async def pay(x: int, ctx: Context) -> int:
        keys.append(ctx.idempotency_key)
        if x == 2:
            await gate.wait()
        return x

    @workflow
    async def program(x: int, ctx: Context) -> int:
        await ctx.call(pay, 1)
        return await ctx.call(pay, 2)

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(program, 1, id="one")).result()
    assert len(keys) == 3
    assert keys[1] == keys[2] != keys[0]


@pytest.mark.parametrize(("policy", "visits"), [("rerun", 2), ("ask", 2), ("fail", 1)])
async def test_what_was_in_flight_follows_its_policy(tmp_path: Path, policy: Any, visits: int) -> None:
    gate = Gate()

    @step(in_doubt=policy)
    async def command(x: int) -> int:
        await gate.wait()
        return x

    @workflow
    async def program(x: int, ctx: Context) -> int:
        return await ctx.call(command, x)

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        if policy == "ask":
            while not (asked := await run.questions()):
                await asyncio.sleep(0.01)
            assert asked[0].path == "program/command/in-doubt"
            await run.approve(answer="rerun")
        if policy == "fail":
            with pytest.raises(RunInDoubt, match="'program/command' was in flight"):
                await run.result()
        else:
            assert await run.result() == 1
    assert gate.visits == visits


async def test_one_process_has_one_database_of_runs(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "a.db") as runtime:
        await (await runtime.start(count, 1)).result()
        async with Runtime(tmp_path / "a.db") as twin:
            assert await (await twin.start(count, 1)).result() == 4
        with pytest.raises(AnotherRuntime, match=r"a\.db already, and cannot run others in .*b\.db"):
            Runtime(tmp_path / "b.db")
    async with Runtime(tmp_path / "b.db") as other:
        assert await (await other.start(count, 1)).result() == 4


def test_runs_lie_beside_the_store(tmp_path: Path) -> None:
    assert runs_location(tmp_path / "store.db").path == tmp_path / "runs.db"
    assert runs_location(tmp_path / "mine.db").path == tmp_path / "mine.db"
    Store.open(tmp_path / "books.db").close()
    assert runs_location(tmp_path / "books.db").path == tmp_path / "runs.db"
    assert beside(tmp_path / "books.db").path == beside(tmp_path / "none.db").path == tmp_path / "runs.db"
    with pytest.raises(ConfigError, match="in memory"):
        runs_location("sqlite://")


async def test_nothing_but_json_is_in_the_database(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        await (await runtime.start(count, 1)).result()
        kinds = await runtime.query(
            lambda at: at.rows("SELECT DISTINCT serialization FROM {e}workflow_status")
        )
    assert kinds == [("tidyllm_json",)]
    assert issubclass(RunFailed, TidyllmError)
