"""Streams: their pieces join to the answer, nothing is held back, and every combinator passes them on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from collections.abc import Sequence as Pieces
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.trees import AnyStep, can_join, expressions, leaves, read, same
from tidyllm.core import Branch, Context, Failed, Ok, Parallel, Sequence, Step, Wrapper, as_step, step
from tidyllm.errors import StepError

if TYPE_CHECKING:
    from tidyllm.core.context import Context as OnlyForCheckers


async def letters(x: object) -> AsyncIterator[str]:
    for letter in str(x):
        yield letter


async def numbers(x: object) -> AsyncIterator[int]:
    for n in range(3):
        yield n


def total(pieces: Pieces[int]) -> int:
    return sum(pieces)


streaming = leaves() | st.sampled_from([step(letters), step(numbers), step(join=total)(numbers)])


@given(expressions(streaming), st.booleans())
def test_the_pieces_of_a_stream_join_to_the_answer(tree: AnyStep, watched: bool) -> None:
    async def main() -> tuple[list[Any], Any]:
        ctx = Context.new(hooks=(lambda event: None,) if watched else ())
        return [piece async for piece in tree.stream("xy", ctx)], await tree("xy")

    pieces, answer = asyncio.run(main())
    assume(can_join(tree, pieces))
    assert tree.join(pieces) == answer


@given(expressions(leaves() | st.sampled_from([step(letters), step(numbers)])))
def test_an_answer_that_is_split_joins_to_itself(tree: AnyStep) -> None:
    answer = asyncio.run(tree("xy"))
    pieces = list(tree.split(answer))
    assume(can_join(tree, pieces))
    assert tree.join(pieces) == answer


async def test_a_sequence_streams_its_last_step() -> None:
    async def upper(x: str) -> str:
        return x.upper()

    assert [piece async for piece in (step(letters) >> upper >> letters).stream("ab")] == ["A", "B"]
    assert [piece async for piece in (step(letters) >> upper).stream("ab")] == ["AB"]


async def test_a_parallel_streams_pieces_with_their_branch() -> None:
    pieces = [piece async for piece in Parallel(text=letters, count=numbers).stream("ab")]
    assert [piece for branch, piece in pieces if branch == "text"] == ["a", "b"]
    assert [piece for branch, piece in pieces if branch == "count"] == [0, 1, 2]


async def test_branches_of_a_streamed_parallel_take_turns() -> None:
    pieces = [branch async for branch, _ in (step(numbers) | numbers).stream(0)]
    assert pieces != sorted(pieces)


async def test_no_more_streams_are_open_than_the_limit() -> None:
    open_now: list[int] = []
    most: list[int] = []

    async def stream(x: int) -> AsyncIterator[int]:
        open_now.append(x)
        for n in range(3):
            most.append(len(open_now))
            yield n
        open_now.remove(x)

    _ = [piece async for piece in Parallel(stream, stream, stream, limit=2).stream(1)]
    assert max(most) == 2


async def broken(x: object) -> AsyncIterator[int]:
    yield 1
    raise ValueError("broken")


async def test_a_broken_stream_ends_a_parallel_after_the_pieces_before_it() -> None:
    seen: list[Any] = []
    closed: list[str] = []

    async def endless(x: object) -> AsyncIterator[str]:
        try:
            while True:
                await asyncio.sleep(0)
                yield "more"
        finally:
            closed.append("endless")

    with pytest.raises(ValueError, match="broken"):
        await read(Parallel(broken, endless).stream(0), seen)
    assert (0, 1) in seen
    assert closed == ["endless"]


async def test_a_stream_that_waited_for_the_limit_never_starts_after_a_failure() -> None:
    started: list[str] = []

    async def late(x: object) -> AsyncIterator[int]:
        started.append("late")
        yield 1

    with pytest.raises(ValueError, match="broken"):
        _ = [piece async for piece in Parallel(broken, late, limit=1).stream(0)]
    assert started == []


async def test_streams_that_break_at_the_same_time_are_noted() -> None:
    async def fails(x: object) -> AsyncIterator[int]:
        raise KeyError("too")
        yield 1

    with pytest.raises(KeyError, match="too") as raised:
        _ = [piece async for piece in Parallel(fails, broken, fails).stream(0)]
    assert raised.value.__notes__ == ["stream 2 failed as well: KeyError: 'too'"]


async def test_collected_streams_end_in_outcomes() -> None:
    both = Parallel(letters, broken, collect=True)
    pieces = [piece async for piece in both.stream("ab")]
    assert [piece for branch, piece in pieces if branch == 0] == [Ok("a"), Ok("b")]
    first, last = [piece for branch, piece in pieces if branch == 1]
    assert first == Ok(1)
    assert isinstance(last, Failed)
    answer = both.join(pieces)
    assert answer == (Ok("ab"), last)
    assert both.join(both.split(answer)) == answer


@pytest.mark.parametrize("collect", [False, True])
async def test_a_stream_that_cancels_itself_ends_the_whole_as_cancelled(collect: bool) -> None:
    async def cancels(x: object) -> AsyncIterator[int]:
        raise asyncio.CancelledError("mine")
        yield 1

    with pytest.raises(asyncio.CancelledError, match="mine"):
        _ = [piece async for piece in Parallel(cancels, numbers, collect=collect).stream(0)]
    assert asyncio.all_tasks() == {asyncio.current_task()}


def wrapped(source: AnyStep) -> dict[str, AnyStep]:
    return {
        "alone": source,
        "sequence": Sequence(str, source),
        "choice": Branch({1: source}, by=same),
        "wrapper": Wrapper(source),
        "parallel": Parallel(source, source),
        "bounded": Parallel(source, limit=1, collect=True),
    }


@pytest.mark.parametrize("kind", wrapped(step(same)))
@pytest.mark.parametrize("watched", [False, True])
async def test_nothing_holds_a_piece_back(kind: str, watched: bool) -> None:
    """The source makes its second piece only after the reader has acknowledged the first."""
    acknowledged = asyncio.Event()

    async def source(x: object) -> AsyncIterator[int]:
        yield 1
        await acknowledged.wait()
        yield 2

    ctx = Context.new(hooks=(lambda event: None,) if watched else ())
    pieces = wrapped(step(source))[kind].stream(1, ctx)
    await anext(pieces)
    acknowledged.set()
    await anext(pieces)
    await pieces.aclose()


async def test_a_fast_stream_waits_for_its_reader() -> None:
    made = 0

    async def fast(x: object) -> AsyncIterator[int]:
        nonlocal made
        for made in range(1_000):
            yield made

    pieces = Parallel(fast, fast).stream(0)
    for _ in range(10):
        await anext(pieces)
        await asyncio.sleep(0)
    assert made < 20
    await pieces.aclose()


# -- joining


class Custom(Step[str, str]):
    """A step that streams in its own way and joins nothing."""

    async def invoke(self, x: str, ctx: Context) -> str:
        return x

    async def invoke_stream(self, x: str, ctx: Context) -> AsyncGenerator[Any, None]:
        yield x
        yield x


def test_a_step_that_cannot_join_says_how_to() -> None:
    with pytest.raises(
        StepError, match=r"'Custom' gives its answer as one piece, but 2 .* defines join\(pieces\)"
    ):
        Custom().join(["a", "b"])


async def untold(x: object) -> Any:
    yield x
    yield x


async def listed(x: object) -> AsyncIterator[str | int]:
    yield "a"
    yield "b"


async def wrong(x: object) -> AsyncIterator[OnlyForCheckers]:
    yield OnlyForCheckers.new()


@pytest.mark.parametrize(
    ("function", "pieces", "answer"),
    [
        (letters, ["a", "b"], "ab"),
        (letters, [], ""),
        (numbers, [1, 2], [1, 2]),
        (numbers, [], []),
        (listed, ["a", "b"], ["a", "b"]),
        (untold, ["a", "b"], "ab"),
        (untold, ["a", 1], ["a", 1]),
        (untold, [], []),
        (wrong, ["a", "b"], "ab"),
    ],
)
def test_text_is_concatenated_and_anything_else_listed(
    function: Any, pieces: list[Any], answer: object
) -> None:
    made: AnyStep = as_step(function)
    assert made.join(pieces) == answer


async def test_a_generator_can_join_in_its_own_way() -> None:
    summed = step(join=total)(numbers)
    assert await summed(0) == 3
    assert summed.split(3) == [3]


def test_a_choice_joins_when_its_branches_join_alike() -> None:
    alike = Branch({1: step(letters), 2: Wrapper(step(letters))}, by=len, default=letters)
    assert alike.join(["a", "b"]) == "ab"
    different = Branch({1: step(letters), 2: step(numbers)}, by=len)
    with pytest.raises(StepError, match="different ways"):
        different.join(["a", "b"])
    assert different.joins_like is different
    assert Branch({1: alike}, by=len).joins_like == step(letters).joins_like


def test_parallels_of_alike_branches_join_alike() -> None:
    assert Parallel(letters, numbers).joins_like == Parallel(Wrapper(step(letters)), numbers).joins_like
    assert Parallel(letters, numbers).joins_like != Parallel(letters, letters).joins_like
    assert Parallel(letters, numbers).joins_like != Parallel(letters, numbers, collect=True).joins_like


class Plain:
    """An iterator without `aclose`, as a function annotated so may return."""

    def __init__(self) -> None:
        self.left = [1, 2]

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> int:
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop(0)


class Streams:
    """An object that is called as an async generator."""

    async def __call__(self, x: int) -> AsyncIterator[int]:
        yield x
        yield x + 1


async def test_an_object_called_as_a_generator_streams() -> None:
    assert [piece async for piece in step(Streams()).stream(1)] == [1, 2]
    assert step(Streams()).name == "Streams"
