"""The types of the wrappers, for pyright to check; never executed. Each ignored error is one that must be reported."""

from __future__ import annotations

from typing import assert_type

from tidyllm.core import Context, Sequence, Step, step
from tidyllm.resilience import CircuitBreaker, Done, Fallback, Hedge, Limit, Retry, Saga, Timeout


@step
async def length(x: str) -> int:
    return len(x)


async def half(x: int) -> float:
    return x / 2


async def double(x: float) -> float:
    return x * 2


def plain(x: str, ctx: Context) -> int:
    return len(x)


async def undo_length(done: Done[str, int]) -> None: ...


async def undo_half(done: Done[int, float]) -> None: ...


assert_type(Retry(length), Retry[str, int])
assert_type(Retry(half), Retry[int, float])
assert_type(Timeout(plain, 5), Timeout[str, int])
assert_type(Fallback(length, plain), Fallback[str, int])
assert_type(CircuitBreaker(half), CircuitBreaker[int, float])
assert_type(Limit(length, 5), Limit[str, int])
assert_type(Hedge(length, 5), Hedge[str, int])
assert_type(Retry(CircuitBreaker(Timeout(length, 5))) >> half, Sequence[str, float])
assert_type(Retry(length).run_sync("x"), int)

Retry(length) >> length  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]
Retry(length)(5)  # pyright: ignore[reportArgumentType, reportUnusedCoroutine]

assert_type(Saga((length, undo_length)), Saga[str, int])
assert_type(Saga((length, undo_length), half), Saga[str, float])
assert_type(Saga(length, (half, undo_half), (double, None)), Saga[str, float])
whole: Step[str, float] = Saga[str, float](length, half, double, (double, None))

Saga(length, length)  # pyright: ignore[reportArgumentType]
Saga((length, undo_half))  # pyright: ignore[reportArgumentType]
