"""Functions as steps: what can be one, how it is called, and what is said of what cannot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Sequence as Pieces
from functools import partial
from typing import Any

import pytest

from tidyllm.core import Context, GeneratorStep, Step, as_step, step
from tidyllm.errors import StepError


class Adds:
    """An object that is called."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x: int) -> int:
        return x + self.n

    async def later(self, x: int) -> int:
        return x + self.n


class AddsLater(Adds):
    """An object that is called as a coroutine."""

    async def __call__(self, x: int) -> int:  # type: ignore[override]
        return x + self.n


def add(n: int, x: int) -> int:
    return x + n


def with_default(x: int, n: int = 1) -> int:
    return x + n


def with_everything(x: int, *args: Any, **kwargs: Any) -> int:
    return x + 1


def with_ctx_first(ctx: Context, x: int) -> int:
    raise AssertionError("never called")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (Adds(1), "Adds"),
        (AddsLater(1), "AddsLater"),
        (Adds(1).later, "later"),
        (partial(add, 1), "add"),
        (with_default, "with_default"),
        (with_everything, "with_everything"),
        (lambda x: Adds(1).later(x), "lambda"),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    ],
)
async def test_whatever_is_called_with_one_argument_is_a_step(function: Any, name: str) -> None:
    made = as_step(function)
    assert (await made(1), made.name) == (2, name)


async def test_built_in_functions_and_classes_are_steps() -> None:
    assert await (step(str) >> len >> float)(123) == 3.0
    assert await step(max)([1, 3, 2]) == 3


async def test_a_decorated_function_keeps_its_words_and_stays_at_hand() -> None:
    @step
    def shout(x: str) -> str:
        """Makes it loud."""
        return x.upper()

    assert (shout.name, shout.__doc__) == ("shout", "Makes it loud.")
    assert shout.function("a") == await shout("a") == "A"


async def test_options_are_given_to_the_decorator_or_beside_the_function() -> None:
    @step(name="loud")
    def shout(x: str) -> str:
        return x.upper()

    assert (shout.name, await shout("a")) == ("loud", "A")
    assert step(len, name="size").name == "size"
    assert step(shout) is shout
    assert step(shout, name="louder").name == "louder"


async def test_a_function_gets_the_context_by_declaring_it() -> None:
    def after(x: int, ctx: Context) -> bool:
        return ctx is Context.current()

    async def keyword(x: int, *, ctx: Context) -> bool:
        return ctx is Context.current()

    for function in (after, keyword):
        made: Step[int, bool] = as_step(function)
        assert await made(1)


class Both:
    """Two methods with the same name for their input, one of them with the context."""

    async def plain(self, x: int) -> int:
        return x

    async def placed(self, x: int, ctx: Context) -> tuple[str, ...]:
        return ctx.path


async def test_methods_are_steps_when_they_are_bound() -> None:
    assert await step(Both().plain)(1) == 1
    assert await step(Both().placed)(1) == ("placed",)
    unbound: Any = Both.plain
    with pytest.raises(
        StepError, match=r"plain\(self, x.*cannot be a step: missing a required argument: 'x'"
    ):
        step(unbound)


@pytest.mark.parametrize("function", [add, with_ctx_first, lambda: 1])
def test_functions_of_other_arguments_are_refused(function: Any) -> None:
    with pytest.raises(StepError, match="one argument, and a second one only if it is named ctx"):
        step(function)


@pytest.mark.parametrize("wrong", [5, None, "text", [len]])
def test_what_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(StepError, match=r"is neither a step nor a function.*Write a function"):
        as_step(wrong)
    if wrong is not None:
        with pytest.raises(StepError, match="is no function"):
            step(wrong)


def total(pieces: Pieces[int]) -> int:
    return sum(pieces)


async def generates(x: int) -> AsyncIterator[int]:
    yield x


async def coroutine(x: int) -> int:
    return x


@pytest.mark.parametrize("function", [generates, coroutine, Adds(1).later, AddsLater(1)])
def test_async_functions_cannot_be_moved_to_a_thread(function: Any) -> None:
    with pytest.raises(StepError, match="is async and cannot be moved to a thread"):
        step(thread=True)(function)


def test_join_is_for_streams() -> None:
    joining: Any = step(join=total)
    with pytest.raises(StepError, match="does not stream, so there is nothing to join"):
        joining(coroutine)
    assert isinstance(step(join=total)(generates), GeneratorStep)


@pytest.mark.parametrize("options", [{"thread": True}, {"join": total}])
def test_a_step_cannot_be_made_again_with_other_options(options: Any) -> None:
    again: Any = step(**options)
    with pytest.raises(StepError, match="is a step already"):
        again(step(coroutine))


def test_equal_functions_make_equal_steps() -> None:
    assert step(coroutine) == step(coroutine)
    assert hash(step(coroutine)) == hash(step(coroutine))
    assert step(generates) == step(generates)
    assert hash(step(generates)) == hash(step(generates))
    assert step(generates) != step(join=total)(generates)
    assert step(generates) != step(coroutine)
    assert step(thread=True)(len) != step(len)


async def test_what_a_plain_function_returns_is_awaited_if_it_can_be() -> None:
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(5)

    def gives(x: int) -> asyncio.Future[int]:
        return future

    assert await step(gives)(1) == 5
