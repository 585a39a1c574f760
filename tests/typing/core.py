"""What type checkers know of steps. Never executed: `make check` reads it, and each ignored line must be an error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from collections.abc import Sequence as Pieces
from typing import Any, assert_type

from tidyllm.core import (
    Branch,
    Context,
    Failed,
    FunctionStep,
    GeneratorStep,
    Ok,
    Parallel,
    Sequence,
    Step,
    Wrapper,
    as_step,
    step,
)


@step
async def size(x: str) -> int:
    return len(x)


@step
def half(x: int, ctx: Context) -> float:
    return x / 2


@step(name="upper")
async def loud(x: str, ctx: Context) -> str:
    return x.upper()


@step(thread=True)
def slow(x: int) -> bytes:
    return bytes(x)


@step
async def letters(x: str) -> AsyncIterator[str]:
    for letter in x:
        yield letter


@step
async def numbers(x: int, ctx: Context) -> AsyncIterator[int]:
    for n in range(x):
        yield n


def total(pieces: Pieces[int]) -> float:
    return sum(pieces)


@step(join=total)
async def summed(x: int) -> AsyncIterator[int]:
    yield x


def plain(x: float) -> str:
    return str(x)


async def later(x: float) -> str:
    return str(x)


def placed(x: float, ctx: Context) -> str:
    return str(x)


async def placed_later(x: float, ctx: Context) -> str:
    return str(x)


class Custom(Step[str, list[int]]):
    async def invoke(self, x: str, ctx: Context) -> list[int]:
        return [len(x)]


def decorated() -> None:
    assert_type(size, FunctionStep[str, int])
    assert_type(half, FunctionStep[int, float])
    assert_type(loud, FunctionStep[str, str])
    assert_type(slow, FunctionStep[int, bytes])
    assert_type(letters, GeneratorStep[str, str])
    assert_type(numbers, GeneratorStep[int, list[int]])
    assert_type(summed, GeneratorStep[int, float])
    assert_type(step(plain), FunctionStep[float, str])
    assert_type(step(later, name="x"), FunctionStep[float, str])
    assert_type(step(placed, thread=True), FunctionStep[float, str])
    assert_type(step(placed_later), FunctionStep[float, str])
    assert_type(size.named("x"), FunctionStep[str, int])


async def called(ctx: Context) -> None:
    assert_type(await size("x"), int)
    assert_type(await size("x", ctx), int)
    assert_type(size.run_sync("x"), int)
    assert_type(await ctx.call(size, "x"), int)
    assert_type(await ctx.call(half, 1, "name"), float)
    assert_type(await letters("x"), str)
    assert_type(await Custom()("x"), list[int])
    assert_type(size.join([1]), int)
    await size(1)  # pyright: ignore[reportArgumentType]
    size.run_sync(1)  # pyright: ignore[reportArgumentType]
    await ctx.call(size, 1)  # pyright: ignore[reportArgumentType]
    await size("x", "not a context")  # pyright: ignore[reportArgumentType]


def then() -> None:
    assert_type(size >> half, Sequence[str, float])
    assert_type(size >> half >> plain, Sequence[str, str])
    assert_type(size >> half >> later >> size, Sequence[str, int])
    assert_type(size >> half >> placed, Sequence[str, str])
    assert_type(size >> half >> placed_later, Sequence[str, str])
    assert_type(size >> (half >> plain), Sequence[str, str])
    assert_type(plain >> size, Sequence[float, int])
    assert_type(later >> size, Sequence[float, int])
    assert_type(placed >> size, Sequence[float, int])
    assert_type(placed_later >> size, Sequence[float, int])
    assert_type(letters >> size, Sequence[str, int])
    assert_type(Custom() >> len >> half, Sequence[str, float])
    assert_type(Sequence(size, half), Sequence[str, float])
    assert_type(Sequence(size, half, step(plain)), Sequence[str, str])
    assert_type((size >> half).named("x"), Sequence[str, float])
    half >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size >> half >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size >> letters  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size >> Custom()  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    half >> (size >> half)  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    numbers >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    loud >> plain  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    loud >> later  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    loud >> placed  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    loud >> placed_later  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    plain >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    later >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    placed >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size >> 5  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def beside() -> None:
    assert_type((size | loud).run_sync("x"), tuple[int, str])
    assert_type((size | loud | letters).run_sync("x"), tuple[int, str, str])
    assert_type((size | loud | letters | Custom()).run_sync("x"), tuple[int, str, str, list[int]])
    assert_type((size | (loud | letters)).run_sync("x"), tuple[int, tuple[str, str]])
    assert_type((size >> half | plain_of_text).run_sync("x"), tuple[float, str])
    assert_type((plain_of_text | size).run_sync("x"), tuple[str, int])
    assert_type((size | loud >> size).run_sync("x"), tuple[int, int])
    assert_type((size >> (half | slow)).run_sync("x"), tuple[float, bytes])
    size | half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size | loud | half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    half | (size | loud)  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    plain_of_text | half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    size | None  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
    (size | loud) >> half  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def plain_of_text(x: str) -> str:
    return x


def parallel() -> None:
    assert_type(Parallel(size, loud).run_sync("x"), tuple[int, str])
    assert_type(Parallel(size, loud, letters, limit=2).run_sync("x"), tuple[int, str, str])
    assert_type((Parallel(size, loud) | size).run_sync("x"), tuple[tuple[int, str], int])
    assert_type(Parallel(left=size, right=size).run_sync("x"), dict[str, int])
    assert_type(Parallel({"left": size}, limit=1).run_sync("x"), dict[str, int])
    collected = Parallel(size, loud, collect=True).run_sync("x")
    assert_type(collected, tuple[Ok[int] | Failed, Ok[str] | Failed])
    Parallel(size, loud).run_sync(1)  # pyright: ignore[reportArgumentType]


def branch() -> None:
    assert_type(Branch({"a": size, "b": size}, by=plain_of_text), Branch[str, int])
    assert_type(Branch({"a": size}, by=loud, default=size), Branch[str, int])
    assert_type(Branch({1: size}, by=size).run_sync("x"), int)
    assert_type(Branch({True: half}, by=is_big) >> later, Sequence[int, str])
    Branch({1: size}, by=half)  # pyright: ignore[reportArgumentType]
    Branch({1: size, 2: half}, by=size)  # pyright: ignore[reportArgumentType]


def is_big(x: int) -> bool:
    return x > 9


def wrapped() -> None:
    assert_type(Wrapper(size), Wrapper[str, int])
    assert_type(Wrapper(Wrapper(size) >> half) >> plain, Sequence[str, str])
    Wrapper(size) >> size  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


def wide(narrow: Step[object, bool]) -> Step[str, int]:
    """A step that takes more and gives less fits where one that takes less and gives more is wanted."""
    return narrow


def narrow(wide: Step[str, int]) -> Step[object, bool]:
    return wide  # pyright: ignore[reportReturnType]


def unknown(anything: Any) -> None:
    assert_type(as_step(anything), Step[Any, Any])
    step(5)  # pyright: ignore[reportArgumentType, reportCallIssue]
    step(lambda: 1)  # pyright: ignore[reportArgumentType, reportCallIssue]


async def seam(ctx: Context) -> None:
    ctx.deadline = 5  # pyright: ignore[reportAttributeAccessIssue]
    Context.new(deadline="soon")  # pyright: ignore[reportArgumentType]
    assert_type(await ctx.ask("Delete?"), str)
    async for piece in ctx.stream(letters, "x"):
        assert_type(piece, Any)
