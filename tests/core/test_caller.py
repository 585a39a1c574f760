"""The seam: a runtime that stands between calls and steps sees every call once, and can answer in its place."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.trees import AnyStep, can_join, expressions
from tidyllm.core import Branch, CallFinished, Context, Event, Parallel, Sequence, Step, Wrapper, step
from tidyllm.errors import NobodyToAsk, StepError

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class Journal:
    """A caller that keeps every answer by path, and gives it again instead of running the step."""

    def __init__(self, kept: dict[tuple[str, ...], Any] | None = None) -> None:
        self.kept: dict[tuple[str, ...], Any] = dict(kept or {})
        self.asked: Counter[tuple[str, ...]] = Counter()
        self.ran: list[tuple[str, ...]] = []

    async def __call__(self, step: Step[I, O], x: I, child: Context, /) -> O:
        self.asked[child.path] += 1
        if child.path not in self.kept:
            self.ran.append(child.path)
            self.kept[child.path] = await child.record(step, x)
        return self.kept[child.path]


class StreamJournal(Journal):
    """One that keeps the pieces of a stream as they pass."""

    async def stream(self, step: Step[I, Any], x: I, child: Context, /) -> AsyncGenerator[Any, None]:
        self.asked[child.path] += 1
        if child.path in self.kept:
            for piece in step.split(self.kept[child.path]):
                yield piece
            return
        passed: list[Any] = []
        pieces = child.record_stream(step, x)
        try:
            async for piece in pieces:
                passed.append(piece)
                yield piece
        finally:
            await pieces.aclose()
        with contextlib.suppress(StepError):  # a choice between steps that join in different ways
            self.kept[child.path] = step.join(passed)


runs = Counter[str]()


def inc(x: int) -> int:
    runs["inc"] += 1
    return x + 1


async def double(x: int) -> int:
    runs["double"] += 1
    return x * 2


async def slow(x: int) -> int:
    await asyncio.sleep(0)
    return x * 2


async def words(x: int) -> AsyncIterator[str]:
    for n in range(x):
        runs["words"] += 1
        yield str(n)


async def outer(x: int, ctx: Context) -> int:
    by_name = await ctx.call(step(inc), x, "first")
    plain = await step(double)(by_name)
    in_thread = await asyncio.to_thread(step(inc).run_sync, plain)
    return in_thread + len([piece async for piece in step(words).stream(2)])


async def test_every_way_to_run_a_step_passes_the_caller_exactly_once() -> None:
    journal = Journal()
    program = Sequence(
        inc,
        Parallel(inc, double, outer, name="p"),
        Branch({3: Wrapper(step(len))}, by=len, name="b"),
        name="s",
    )
    assert await program(1, Context.new(caller=journal)) == 3
    assert {"/".join(path): count for path, count in journal.asked.items()} == {
        "s": 1,
        "s/inc": 1,
        "s/p": 1,
        "s/p/inc": 1,
        "s/p/double": 1,
        "s/p/outer": 1,
        "s/p/outer/first": 1,
        "s/p/outer/double": 1,
        "s/p/outer/inc": 1,
        "s/p/outer/words": 1,
        "s/b": 1,
        "s/b/by": 1,
        "s/b/3": 1,
    }


@given(expressions())
def test_any_program_gives_its_answer_again_without_running_anything(tree: AnyStep) -> None:
    async def main() -> None:
        live = Journal()
        answer = await tree("x", Context.new(caller=live))
        assert set(live.asked.values()) == {1}
        assert answer == await tree("x")
        # Only the places below are known: the program itself runs once more, and none of its steps does.
        resumed = Journal({path: kept for path, kept in live.kept.items() if len(path) > 1})
        assert await tree("x", Context.new(caller=resumed)) == answer
        assert [path for path in resumed.ran if len(path) > 1] == []

    asyncio.run(main())


@given(expressions(), st.sampled_from([Journal, StreamJournal]))
def test_a_stream_passes_the_caller_and_joins_to_the_same_answer(tree: AnyStep, kind: type[Journal]) -> None:
    async def main() -> None:
        live = kind()
        pieces = [piece async for piece in tree.stream("x", Context.new(caller=live))]
        assert set(live.asked.values()) == {1}
        assume(can_join(tree, pieces))
        assert tree.join(pieces) == await tree("x")
        again = [piece async for piece in tree.stream("x", Context.new(caller=kind(live.kept)))]
        assert tree.join(again) == tree.join(pieces)

    asyncio.run(main())


async def test_a_caller_that_knows_only_whole_calls_splits_the_answer() -> None:
    journal = Journal()
    program = Sequence(inc, words, name="s")
    assert [piece async for piece in program.stream(2, Context.new(caller=journal))] == ["012"]
    assert dict(journal.asked) == {("s",): 1, ("s", "inc"): 1, ("s", "words"): 1}


async def test_a_caller_of_streams_sees_the_pieces_as_they_come() -> None:
    journal = StreamJournal()
    program = Sequence(inc, words, name="s")
    assert [piece async for piece in program.stream(2, Context.new(caller=journal))] == ["0", "1", "2"]
    runs.clear()
    assert [piece async for piece in program.stream(2, Context.new(caller=StreamJournal(journal.kept)))] == [
        "012"
    ]
    assert runs == {}


async def test_hooks_hear_what_ran_and_not_what_was_kept() -> None:
    events: list[Event] = []
    journal = Journal()
    program = Sequence(inc, double, name="s")
    for _ in range(2):
        await program(1, Context.new(caller=journal, hooks=(events.append,)))
    assert [event.step.name for event in events if isinstance(event, CallFinished)] == ["inc", "double", "s"]


async def test_the_context_is_ambient_for_the_caller_and_the_step() -> None:
    seen: list[Any] = []

    async def caller(step: Step[I, O], x: I, child: Context, /) -> O:
        seen.append(Context.current() is child)
        return await child.record(step, x)

    def look(x: int, ctx: Context) -> None:
        seen.append(Context.current() is ctx)

    async def inside(x: int) -> None:
        await step(look)(x)

    await Sequence(look, Parallel(look, look), inside)(1, Context.new(caller=caller))
    _ = [piece async for piece in step(look).stream(1, Context.new(caller=caller))]
    assert set(seen) == {True}


async def test_plain_calls_at_the_same_time_are_refused_where_their_order_must_be_remembered() -> None:
    async def both(x: int) -> list[int]:
        return list(await asyncio.gather(step(slow)(x), step(slow)(x)))

    assert await step(both)(1, Context.new()) == [2, 2]
    with pytest.raises(StepError, match="'slow' is already running in 'both'"):
        await step(both)(1, Context.new(caller=Journal()))


async def test_a_caller_can_be_put_between_for_a_part_of_a_run() -> None:
    journal = Journal()

    async def outer(x: int, ctx: Context) -> int:
        return await ctx.with_(caller=journal).call(Sequence(inc, double, name="s"), x)

    assert await Sequence(outer, inc, name="whole")(1) == 5
    assert list(journal.asked) == [
        ("whole", "outer", "s"),
        ("whole", "outer", "s", "inc"),
        ("whole", "outer", "s", "double"),
    ]


async def test_an_error_of_a_step_passes_through_the_caller() -> None:
    def fail(x: int) -> int:
        raise ValueError("broken")

    journal = Journal()
    with pytest.raises(ValueError, match="broken"):
        await Sequence(inc, fail, name="s")(1, Context.new(caller=journal))
    assert journal.kept == {("s", "inc"): 2}


# -- questions


async def test_a_question_reaches_the_asker_with_a_place_of_its_own() -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    async def asker(question: str, ctx: Context, /) -> str:
        asked.append((question, ctx.path))
        return "yes"

    async def careful(x: int, ctx: Context) -> list[str]:
        return [await ctx.ask("Delete?"), await ctx.with_(tags={"a": "b"}).ask("Really?")]

    assert await step(careful)(1, Context.new(asker=asker)) == ["yes", "yes"]
    assert asked == [("Delete?", ("careful", "ask")), ("Really?", ("careful", "ask#2"))]


async def test_a_question_to_nobody_names_the_step_and_the_way_out() -> None:
    async def careful(x: int, ctx: Context) -> str:
        return await ctx.ask("Delete?")

    with pytest.raises(NobodyToAsk, match=r"'careful' asked 'Delete\?'.*asker="):
        await step(careful)(1)
