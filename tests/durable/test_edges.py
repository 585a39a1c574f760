"""Values, databases and arguments at their edges: each is kept as it is, or refused in words."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import sqlite3
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from tests.cli.command import run as command
from tests.durable.crash import Gate, crash_at
from tidyllm.core import Context, step
from tidyllm.durable import Runtime, workflow
from tidyllm.durable.acts import cancel, prune
from tidyllm.durable.codec import Codec
from tidyllm.durable.database import connect
from tidyllm.durable.place import runs_location
from tidyllm.durable.types import UNKNOWN
from tidyllm.errors import RunDiverged, RunError, TimeoutExceeded, UnregisteredType


class Twice(Gate):
    """Where a step waits to be interrupted, in its first two lives."""

    async def wait(self) -> None:
        self.visits += 1
        if self.visits <= 2:
            self.reached.set()
            await asyncio.Event().wait()


async def test_each_death_in_a_call_is_asked_about(tmp_path: Path) -> None:
    gate = Twice()

    @step(in_doubt="ask")
    async def pay(x: int) -> int:
        await gate.wait()
        return x

    @workflow
    async def program(x: int, ctx: Context) -> int:
        return await ctx.call(pay, x)

    await crash_at(gate, tmp_path / "runs.db", program, 1, "one")
    gate.reached.clear()
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        await asked(run, "program/pay/in-doubt")
        await asyncio.wait_for(gate.reached.wait(), 20)
    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1, id="one")
        await asked(run, "program/pay/in-doubt#2")
        assert await run.result() == 1
    assert gate.visits == 3


async def asked(run: Any, path: str) -> None:
    """Wait for the question at `path`, and say that the call is to be made again."""
    while not (found := await run.questions()):
        await asyncio.sleep(0.01)
    assert [one.path for one in found] == [path]
    with pytest.raises(RunError, match=f"asks nothing at 'elsewhere'; open: {path}"):
        await run.approve("elsewhere", "rerun")
    await run.approve(path, "rerun")


@dataclasses.dataclass
class Base:
    a: int


@dataclasses.dataclass
class More(Base):
    b: int = 5


@step
async def more(x: int) -> Base:
    return More(x)


@step
async def wrong(x: int) -> int:
    return "x"  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(("one", "said"), [(more, "it would lose 'b'"), (wrong, "Expected `int`, got `str`")])
async def test_an_answer_that_is_not_what_was_declared_is_a_failure(
    tmp_path: Path, one: Any, said: str
) -> None:
    @workflow
    async def program(x: int, ctx: Context) -> str:
        try:
            return str(await ctx.call(one, x))
        except UnregisteredType as error:
            return error.message

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(program, 1)
        assert said in await run.result()
        assert [event.kind async for event in run.events()] == ["failed", "ended"]


@dataclasses.dataclass
class Leaf:
    a: int


@dataclasses.dataclass
class Named(Leaf):
    b: str


@dataclasses.dataclass
class Doubling:
    a: int

    def __post_init__(self) -> None:
        self.a *= 2


class Tree(msgspec.Struct):
    leaf: Leaf | None
    more: list[Tree] = []


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (list[Leaf], [Leaf(1), Named(1, "x")], "at [1]: as Leaf, which was declared, it would lose 'b'"),
        (dict[str, Any], {"x": [(1, 2)]}, "at ['x'][0]: no type is declared there, so a tuple"),
        (dict[str, Any], {"x": {1: 2}}, "at ['x']: the key 1 would come back as text"),
        (tuple[int, Any], (1, math.nan), "at [1]: nan has no form in JSON"),
        (Tree, Tree(None, [Tree(Named(1, "x"))]), "at .more[0].leaf: as Leaf"),
        (list[Doubling], [Doubling(1)], "another one at [0].a: its __post_init__ changes it"),
        (UNKNOWN, Doubling(1), "its 'a' is another one: its __post_init__ changes it"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused_with_its_place(
    kind: Any, value: Any, said: str
) -> None:
    with pytest.raises(UnregisteredType) as refused:
        Codec(kind, "it").encode(value)
    assert said in refused.value.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Tree, Tree(Leaf(1), [Tree(None)])),
        (dict[str, Any], {"x": [1, None, "a", {"y": 1.5}]}),
        (list[Leaf | str], [Leaf(1), "x"]),
        (UNKNOWN, {"x": (1, [Named(1, "x")])}),
    ],
)
def test_what_comes_back_as_it_was_is_kept(kind: Any, value: Any) -> None:
    codec = Codec(kind, "it")
    assert codec.decode(codec.encode(value)) == value


async def test_numbers_beyond_json_and_texts_that_look_like_ours_come_back(tmp_path: Path) -> None:
    values: list[Any] = [[math.inf, -math.inf], {"!blob": "x"}, {"!type": "os:system", "value": "true"}]

    @step
    async def give(x: int):
        return values[x]

    @workflow
    async def program(x: int, ctx: Context):
        found = await ctx.call(give, x)
        assert found == values[x]
        return found

    async with Runtime(tmp_path / "runs.db") as runtime:
        for number, value in enumerate(values):
            assert await (await runtime.start(program, number)).result() == value


class Socket: ...


@step
async def dial(x: int) -> Socket:
    return Socket()


@step
async def grid(x: int) -> dict[tuple[int, int], str]:
    return {(x, x): "here"}


def test_a_step_is_checked_wherever_its_program_names_it() -> None:
    steps = ModuleType("steps")
    steps.dial = dial  # pyright: ignore[reportAttributeAccessIssue]

    async def in_a_comprehension(x: int, ctx: Context) -> int:
        return len([await ctx.call(dial, n) for n in range(x)])

    async def in_a_module(x: int, ctx: Context) -> int:
        await ctx.call(steps.dial, x)
        return x

    async def by_its_keys(x: int, ctx: Context) -> int:
        return len(await ctx.call(grid, x))

    for function, said in (
        (in_a_comprehension, "'dial'"),
        (in_a_module, "'dial'"),
        (by_its_keys, "a key of a dict"),
    ):
        with pytest.raises(UnregisteredType, match=said):
            workflow(function)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["runs", "list", "--store", "runs.db", "--status", "running,done"],
            "is no status of a run; expected one of",
        ),
        (["runs", "list", "--store", "/"], "/ is a folder"),
        (["runs", "doctor", "broken:flow"], "'broken:flow' cannot be loaded: SyntaxError"),
        (["worker", "loud:flow"], "'loud:flow' cannot be loaded: ValueError: too loud"),
        (["runs", "list", "--store", "later.db"], "have schema 7, and this program knows 1"),
        (["worker", "good:flow", "--store", "later.db"], "have schema 7, and this program knows 1"),
        (["worker", "good:flow", "--store", "other.db"], "cannot be used for runs: no such column"),
    ],
)
async def test_bad_arguments_and_databases_are_told_in_words(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "broken.py").write_text("def flow(:\n")
    (tmp_path / "loud.py").write_text("raise ValueError('too loud')\n")
    (tmp_path / "good.py").write_text(
        "from tidyllm import step\n\n@step\nasync def flow(x: int) -> int:\n    return x\n"
    )
    for name, table in (
        ("runs.db", "tidyllm_runs (id)"),
        ("later.db", "tidyllm_runs (id)"),
        ("other.db", "tidyllm_runs (id)"),
    ):
        with sqlite3.connect(tmp_path / name) as file:
            file.execute(f"CREATE TABLE {table}")
    with sqlite3.connect(tmp_path / "later.db") as file:
        file.execute("CREATE TABLE tidyllm_schema (version INTEGER PRIMARY KEY)")
        file.execute("INSERT INTO tidyllm_schema VALUES (7)")
    ended = await command(tmp_path, *arguments)
    assert (ended.status in (1, 2), ended.traceback) == (True, False)
    assert said in " ".join(ended.err.split())


async def test_what_could_never_run_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    async with Runtime(tmp_path / "runs.db") as runtime:
        acts: list[tuple[str, Any]] = [
            ("is no id", lambda: runtime.start(wrong, 1, id="a\0b")),
            ("without a queue", lambda: runtime.start(wrong, 1, priority=3)),
            ("priority is -5", lambda: runtime.start(wrong, 1, queue="q", priority=-5)),
            ("is no number of seconds", lambda: runtime.start(wrong, 1, timeout=math.nan)),
            ("^concurrency is 0", lambda: runtime.queue("q", concurrency=0)),
            ("rate: the number of runs is 0", lambda: runtime.queue("q", rate=(0, 1.0))),
            ("rate: 0 is no time", lambda: runtime.queue("q", rate=(1, 0))),
            ("'nonsense' is no schedule", lambda: runtime.schedule("s", "nonsense", wrong, 1)),
            (
                "'Mars/X' is no time zone",
                lambda: runtime.schedule("s", "* * * * *", wrong, 1, timezone="Mars/X"),
            ),
        ]
        for said, act in acts:
            with pytest.raises(RunError, match=said):
                await act()


async def test_a_program_that_swallows_its_interruption_begins_no_other_step(tmp_path: Path) -> None:
    visits = 0

    @step
    async def long(x: int) -> int:
        nonlocal visits
        visits += 1
        await asyncio.Event().wait()
        return x

    @workflow
    async def stubborn(x: int, ctx: Context) -> int:
        for _ in range(3):
            try:
                await ctx.call(long, x)
            except (asyncio.CancelledError, TimeoutExceeded):
                continue
        return x

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(stubborn, 1, timeout=0.3)
        assert await run.result(20) == 1
    assert visits == 1


async def test_a_stopped_run_outlives_pruning_until_somebody_gives_it_up(tmp_path: Path) -> None:
    @step
    async def same(x: float) -> float:
        return x

    lives: list[float] = []

    @workflow
    async def moody(x: int, ctx: Context) -> float:
        lives.append(len(lives))
        found = await ctx.call(same, lives[-1])
        await ctx.ask("Go on?")
        return found

    async with Runtime(tmp_path / "runs.db") as runtime:
        run = await runtime.start(moody, 1, id="one")
        while not await run.questions():
            await asyncio.sleep(0.01)
    async with Runtime(tmp_path / "runs.db") as runtime:
        with pytest.raises(RunDiverged, match="with another input than was recorded"):
            await (await runtime.start(moody, 1, id="one")).result()
    at = connect(runs_location(tmp_path / "runs.db"))
    everything = ("done", "failed", "cancelled")
    assert prune(at, -3600, everything).runs == 0
    assert cancel(at, "one")
    assert not cancel(at, "one")
    assert prune(at, -3600, everything).runs == 1
    at.close()
