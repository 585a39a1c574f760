"""`ctx.path` says where in the tree of calls a step runs, wherever it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from tests.core.trees import here
from tidyllm.core import Branch, Context, Parallel, Sequence, Step, Wrapper, step
from tidyllm.errors import StepError

Path = tuple[str, ...]
at = step(here)


Run = Step[int, Any]


def ambient(x: object) -> Path:
    current = Context.current()
    assert current is not None
    return current.path


async def test_a_step_that_runs_alone_is_the_whole_path() -> None:
    assert await at(1) == ("here",)
    assert await at(1, Context.new()) == ("here",)
    assert Context.current() is None


async def test_children_of_a_sequence_are_places_below_it() -> None:
    assert await Sequence(ambient, at, name="s")(1) == ("s", "here")


async def test_equal_names_in_one_combinator_get_numbers_in_order() -> None:
    three = Parallel(at, at, step(here, name="other"), at, name="p")
    assert await three(1) == (("p", "here"), ("p", "here#2"), ("p", "other"), ("p", "here#3"))


async def test_named_branches_of_a_parallel_are_places_of_their_names() -> None:
    assert await Parallel(left=at, right=ambient).named("p")(1) == {
        "left": ("p", "left"),
        "right": ("p", "right"),
    }


async def test_a_chosen_branch_is_the_place_of_its_key() -> None:
    choice = Branch({"x": at, 2: at}, by=lambda x: x, default=at, name="b")
    assert [await choice(key) for key in ("x", 2, "?")] == [("b", "x"), ("b", "2"), ("b", "default")]


async def test_keys_that_look_alike_are_different_places() -> None:
    choice = Branch({1: at, "1": at, "by": at, "default": at}, by=lambda x: x, default=at, name="b")
    places = [await choice(key) for key in (1, "1", "by", "default", "?")]
    assert len(set(places)) == 5


async def test_the_choice_itself_is_a_place() -> None:
    seen: list[Path] = []

    def choose(x: object, ctx: Context) -> int:
        seen.extend([ctx.path, ambient(x)])
        return 1

    await Branch({1: at}, by=choose, name="b")(0)
    await Branch({1: at}, by=step(choose), name="b")(0)
    assert seen == [("b", "by")] * 4


async def test_a_wrapper_is_no_place_of_its_own() -> None:
    assert await Sequence(Wrapper(Wrapper(at)), name="s")(1) == ("s", "here")


async def test_calls_by_name_are_numbered_in_a_row() -> None:
    async def outer(x: int, ctx: Context) -> list[Path]:
        return [
            await ctx.call(at, x),
            await ctx.call(at, x),
            await ctx.call(at, x, "third"),
            await ctx.call(at, x),
        ]

    assert await step(outer)(1) == [
        ("outer", "here"),
        ("outer", "here#2"),
        ("outer", "third"),
        ("outer", "here#3"),
    ]


async def test_a_plain_call_inside_a_step_is_a_call_of_that_step() -> None:
    async def inner(x: int) -> list[Path]:
        return [await at(x), await at(x)]

    async def outer(x: int, ctx: Context) -> list[Path]:
        return [*await step(inner)(x), await at(x, ctx), ambient(x)]

    assert await step(outer)(1) == [
        ("outer", "inner", "here"),
        ("outer", "inner", "here#2"),
        ("outer", "here"),
        ("outer",),
    ]


async def test_plain_calls_at_the_same_time_are_numbered_in_the_order_they_start() -> None:
    async def outer(x: int) -> list[Path]:
        return list(await asyncio.gather(at(x), at(x), at(x)))

    assert await step(outer)(1) == [("outer", "here"), ("outer", "here#2"), ("outer", "here#3")]


async def test_calls_by_name_at_the_same_time_need_different_names() -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def outer(x: int, ctx: Context) -> Any:
        return await asyncio.gather(
            ctx.call(step(slow), 1), ctx.call(step(slow), 2, "b"), ctx.call(step(slow), 3)
        )

    with pytest.raises(
        StepError, match=r"'slow' is already running in 'outer'.*different names.*name="
    ) as raised:
        await step(outer)(1)
    assert not raised.value.retryable


async def test_a_changed_context_counts_the_calls_of_its_place_together() -> None:
    async def outer(x: int, ctx: Context) -> list[Path]:
        changed = ctx.with_(tags={"a": "b"})
        assert changed.with_(tags={}).calls is ctx.calls
        return [await changed.call(at, x), await ctx.call(at, x), await changed.call(at, x)]

    assert await step(outer)(1) == [("outer", "here"), ("outer", "here#2"), ("outer", "here#3")]


async def test_a_thread_knows_its_place_and_calls_below_it() -> None:
    def blocking(x: int, ctx: Context) -> tuple[Path, Path, Path]:
        return ctx.path, ambient(x), at.run_sync(x)

    threaded = step(thread=True)(blocking)
    assert await Sequence(threaded, name="s")(1) == (
        ("s", "blocking"),
        ("s", "blocking"),
        ("s", "blocking", "here"),
    )


async def pieces(x: int, ctx: Context) -> AsyncIterator[Path]:
    for _ in range(x):
        assert ambient(x) == ctx.path
        yield ctx.path
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        (step(pieces), ("pieces",)),
        (Sequence(ambient, len, pieces, name="s"), ("s", "pieces")),
        (Branch({2: step(pieces)}, by=lambda x: x, name="b"), ("b", "2")),
        (Wrapper(step(pieces)), ("pieces",)),
    ],
)
async def test_a_generator_knows_its_place_and_its_reader_keeps_his(
    stream: Step[int, Any], path: Path
) -> None:
    for ctx in (None, Context.new()):
        async with aclosing(stream.stream(2, ctx)) as reading:
            async for piece in reading:
                assert piece == path
                assert Context.current() is None
    assert await stream(2) == [path, path]


async def test_branches_of_a_streamed_parallel_have_their_places() -> None:
    both = Parallel(pieces, at, name="p")
    seen = {piece async for piece in both.stream(1)}
    assert seen == {(0, ("p", "pieces")), (1, ("p", "here"))}


async def test_streams_inside_a_step_are_calls_of_it() -> None:
    async def outer(x: int, ctx: Context) -> AsyncIterator[Any]:
        async for piece in step(pieces).stream(x):
            assert ambient(x) == ("outer",)
            yield piece
        async for piece in ctx.stream(step(pieces), x, "second"):
            yield piece

    assert await step(outer)(1) == [("outer", "pieces"), ("outer", "second")]


class Custom(Step[int, Path]):
    """A step written as a class, without a stream of its own."""

    async def invoke(self, x: int, ctx: Context) -> Path:
        return ambient(x)


async def test_a_class_of_ones_own_streams_its_answer_at_its_place() -> None:
    assert [piece async for piece in Sequence(Custom(), name="s").stream(1)] == [("s", "Custom")]


async def test_a_second_attempt_has_places_of_its_own_and_the_same_record() -> None:
    async def outer(x: int, ctx: Context) -> list[Path]:
        again = ctx.place("again")
        assert again.span_id == ctx.span_id
        assert again.parent_span_id == ctx.parent_span_id
        async with aclosing(again.stream_here(step(pieces), 1)) as reading:
            first = [piece async for piece in reading]
        return [await again.run_here(at, x), await again.run_here(step(ambient), x), *first]

    assert await step(outer)(1) == [("outer", "again")] * 3


async def test_two_runs_have_different_ids_and_one_run_has_one() -> None:
    async def outer(x: int, ctx: Context) -> list[str]:
        async def inner(x: int, ctx: Context) -> str:
            return ctx.run_id

        return [ctx.run_id, await step(inner)(x), ctx.with_(tags={"a": "b"}).run_id]

    first, second = await step(outer)(1), await step(outer)(1)
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]
