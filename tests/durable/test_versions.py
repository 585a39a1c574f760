"""A program that has changed since its run began: refused by the name of the step, or let in by `versioned`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.durable.crash import Gate, crash_at
from tidyllm.core import Context, step
from tidyllm.durable import Flow, Runtime, versioned, workflow
from tidyllm.durable.database import connect
from tidyllm.durable.place import runs_location
from tidyllm.durable.replay import Replay, above, join
from tidyllm.durable.tables import DONE
from tidyllm.durable.views import stranded
from tidyllm.errors import RunDiverged

Program = Callable[[int, Context], Awaitable[Any]]

gate = Gate()


@step
async def a(x: int) -> int:
    return x + 1


@step
async def b(x: int) -> int:
    return x * 10


@step
async def c(x: int) -> int:
    return x + 100


@step
async def hold(x: int) -> int:
    await gate.wait()
    return x


async def old(x: int, ctx: Context) -> int:
    x = await ctx.call(a, x)
    x = await ctx.call(b, x)
    return await ctx.call(hold, x)


async def recovered(folder: Path, program: Program, *, first: Program = old, **version: str) -> Any:
    """What `program` gives as the new version of a run that crashed in `first`."""
    global gate  # noqa: PLW0603 - the steps above look at it
    gate = Gate()
    await crash_at(gate, folder / "runs.db", workflow(first, name="program"), 1, "one")
    async with Runtime(folder / "runs.db") as runtime:
        flow: Flow[Any, Any] = workflow(program, name="program", **version)
        return await (await runtime.start(flow, 1, id="one")).result()


async def test_a_step_put_between_recorded_ones_is_refused_by_name(tmp_path: Path) -> None:
    async def new(x: int, ctx: Context) -> int:
        x = await ctx.call(a, x)
        x = await ctx.call(c, x)
        x = await ctx.call(b, x)
        return await ctx.call(hold, x)

    with pytest.raises(RunDiverged, match=r"asks for 'program/c'.* where 'program/b' was recorded") as caught:
        await recovered(tmp_path, new, version="two")
    assert (caught.value.step, caught.value.version) == ("program/c", "two")
    assert caught.value.recorded_version == workflow(old, name="program").version


async def test_a_step_left_out_is_refused_by_name(tmp_path: Path) -> None:
    async def shorter(x: int, ctx: Context) -> int:
        return await ctx.call(a, x)

    with pytest.raises(RunDiverged, match="ended without 'program/b'"):
        await recovered(tmp_path, shorter)


async def test_another_step_in_the_same_place_is_refused(tmp_path: Path) -> None:
    async def new(x: int, ctx: Context) -> int:
        x = await ctx.call(c, x, "a")
        return await ctx.call(hold, x)

    with pytest.raises(RunDiverged, match=r"asks for step 'c' at 'program/a', where step 'a' was recorded"):
        await recovered(tmp_path, new)


async def test_another_input_is_refused_also_in_the_same_version(tmp_path: Path) -> None:
    times = iter([1, 2])

    async def shifty(x: int, ctx: Context) -> int:
        await ctx.call(a, next(times))
        return await ctx.call(hold, x)

    with pytest.raises(RunDiverged, match=r"calls 'program/a' with another input .* does not repeat itself"):
        await recovered(tmp_path, shifty, first=shifty)


async def test_a_step_behind_versioned_lets_old_runs_live(tmp_path: Path) -> None:
    async def new(x: int, ctx: Context) -> int:
        x = await ctx.call(a, x)
        if versioned("check"):
            x = await ctx.call(c, x)
        x = await ctx.call(b, x)
        return await ctx.call(hold, x)

    assert await recovered(tmp_path, new) == 20
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(workflow(new, name="program"), 1, id="two")).result() == 1020


async def test_steps_at_the_end_may_be_added(tmp_path: Path) -> None:
    async def new(x: int, ctx: Context) -> int:
        return await ctx.call(c, await old(x, ctx))

    assert await recovered(tmp_path, new) == 120


def plainly() -> Program:
    async def f(x: int, ctx: Context) -> int:
        return await ctx.call(a, x)

    return f


def otherwise() -> Program:
    async def f(x: int, ctx: Context) -> int:
        # The same, with a comment and other line ends.
        return await ctx.call(
            a,
            x,
        )

    return f


def test_comments_and_layout_are_no_change() -> None:
    assert workflow(plainly()).version == workflow(otherwise()).version
    assert workflow(plainly()).version != workflow(old).version


async def test_a_stopped_run_is_listed_with_what_to_do_and_goes_on_when_mended(tmp_path: Path) -> None:
    async def new(x: int, ctx: Context) -> int:
        x = await ctx.call(a, x)
        return await ctx.call(c, x)

    with pytest.raises(RunDiverged):
        await recovered(tmp_path, new)
    at = connect(runs_location(tmp_path / "runs.db"))
    found = stranded(at)
    at.close()
    assert [one.id for one in found] == ["one"]
    assert "asks for 'program/c'" in found[0].why
    assert "tidyllm runs fork one" in found[0].do
    async with Runtime(tmp_path / "runs.db") as runtime:
        assert await (await runtime.start(workflow(old, name="program"), 1, id="one")).result() == 20


PARTS = st.lists(
    st.text(st.characters(exclude_characters="#"), min_size=1, max_size=4), min_size=1, max_size=4
)


@given(PARTS, PARTS)
def test_different_places_have_different_paths(one: list[str], other: list[str]) -> None:
    assert (join(one) == join(other)) == (
        [p.replace("/", "%2F") for p in one] == [p.replace("/", "%2F") for p in other]
    )
    assert len(above(join(one))) == len(one) - 1


@given(st.lists(st.sampled_from(["r/a", "r/b", "r/b/c", "r/d/e"]), unique=True))
def test_the_same_program_asks_for_all_its_records_in_any_order(paths: list[str]) -> None:
    rows = [(path, n, "s", None, DONE, 1, "rerun", 0.0, "1", None) for n, path in enumerate(paths)]
    replay = Replay("run", "1", "2", rows)
    for path in paths:
        assert replay.take(path, "s", None) is not None
    replay.finish()
    assert not replay.is_past("r")
