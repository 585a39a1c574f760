"""Functions as steps. It knows how to call a function, nothing of what it does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from collections.abc import Sequence as Pieces
from typing import Any, Protocol, TypeVar, cast, overload

from tidyllm.core.context import Context, reset_current, set_current
from tidyllm.core.step import Step
from tidyllm.errors import StepError

__all__ = ["FunctionStep", "GeneratorStep", "step"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class FunctionStep(Step[I_contra, O_co]):
    """A step from a function `(x)` or `(x, ctx)`, plain or async. Made by `@step`."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        super().__init__(name or _name_of(function))
        self.function = function
        self.__doc__ = getattr(function, "__doc__", None)
        self._takes_ctx = _takes_ctx(function)

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        token = set_current(ctx)
        try:
            piece = await self.invoke(x, ctx)
        finally:
            reset_current(token)
        yield piece


class AsyncFunction(FunctionStep[I_contra, O_co]):
    """An async function: its own coroutine is awaited, with nothing around it."""

    def invoke(self, x: I_contra, ctx: Context) -> Coroutine[Any, Any, O_co]:
        return self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)


class PlainFunction(FunctionStep[I_contra, O_co]):
    """A plain function: it runs inline, on the event loop."""

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        result = self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)
        return cast("O_co", await result if inspect.isawaitable(result) else result)


class ThreadFunction(FunctionStep[I_contra, O_co]):
    """A plain function that blocks: it runs in a thread, with the ambient context.

    When the step is cancelled the thread is left behind: it cannot be killed and runs to its end, its result thrown away.
    """

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        given = {"ctx": ctx} if self._takes_ctx else {}
        return await asyncio.to_thread(self.function, x, **given)


class GeneratorStep(Step[I_contra, O_co]):
    """A step from an async generator function: it streams what the function yields.

    `join` makes the answer from the pieces; by default text is concatenated and anything else is a list.
    """

    def __init__(
        self,
        function: Callable[..., AsyncGenerator[Any, None]],
        *,
        name: str | None = None,
        join: Callable[[Pieces[Any]], O_co] | None = None,
    ) -> None:
        super().__init__(name or _name_of(function))
        self.function = function
        self.__doc__ = getattr(function, "__doc__", None)
        self._join = join
        self._takes_ctx = _takes_ctx(function)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        return self.join([piece async for piece in self.invoke_stream(x, ctx)])

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        pieces = self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)
        try:
            while True:
                # A generator shares its reader's context variables: ours is set only while its body runs.
                token = set_current(ctx)
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                finally:
                    reset_current(token)
                yield piece
        finally:
            await pieces.aclose()

    def join(self, pieces: Pieces[Any]) -> O_co:
        if self._join is not None:
            return self._join(pieces)
        if pieces and all(isinstance(piece, str) for piece in pieces):
            return cast("O_co", "".join(pieces))
        return cast("O_co", list(pieces))

    @property
    def joins_like(self) -> object:
        return self._join or GeneratorStep.join


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[[I], Awaitable[O]], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Context], Awaitable[O]], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I], AsyncGenerator[Any, None]], /) -> GeneratorStep[I, Any]: ...
    @overload
    def __call__(self, function: Callable[[I], O], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Context], O], /) -> FunctionStep[I, O]: ...


@overload
def step(function: Callable[[I], Awaitable[O]], /) -> FunctionStep[I, O]: ...
@overload
def step(function: Callable[[I, Context], Awaitable[O]], /) -> FunctionStep[I, O]: ...
@overload
def step(function: Callable[[I], AsyncGenerator[Any, None]], /) -> GeneratorStep[I, Any]: ...
@overload
def step(function: Callable[[I], O], /) -> FunctionStep[I, O]: ...
@overload
def step(function: Callable[[I, Context], O], /) -> FunctionStep[I, O]: ...
@overload
def step(
    *, name: str | None = None, thread: bool = False, join: Callable[[Pieces[Any]], Any] | None = None
) -> _Decorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    join: Callable[[Pieces[Any]], Any] | None = None,
) -> Any:
    """Make a step of a function: `@step`, `@step(name=…)`, or `step(function)`.

    The function takes the input and, if it names a parameter `ctx`, the context. An async generator function becomes a
    step that streams; `join` says how its pieces make the answer.

    - `name`: default: the function's own.
    - `thread`: run a plain function in a thread, because it blocks.

    :raises StepError: it is no function of one argument, or `thread` is asked for an async one.
    """
    if function is None:
        return lambda later: step_of(later, name=name, thread=thread, join=join)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    return step_of(function, name=name, thread=thread, join=join)


def step_of(
    function: Callable[..., Any],
    *,
    name: str | None,
    thread: bool,
    join: Callable[[Pieces[Any]], Any] | None,
) -> Step[Any, Any]:
    """The step for `function`; see `step`."""
    if isinstance(function, Step):
        return cast("Step[Any, Any]", function.named(name) if name else function)
    _check_signature(function)
    if inspect.isasyncgenfunction(function):
        return GeneratorStep(function, name=name, join=join)
    if thread and _is_coroutine_function(function):
        raise StepError(f"{_name_of(function)!r} is async and cannot be moved to a thread.", hint="Drop thread=True.")
    if _is_coroutine_function(function):
        return AsyncFunction(function, name=name)
    return (ThreadFunction if thread else PlainFunction)(function, name=name)


def _check_signature(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions tell nothing: they are called with one argument
        return
    try:
        signature.bind(None, **({"ctx": None} if "ctx" in signature.parameters else {}))
    except TypeError as error:
        raise StepError(
            f"{_name_of(function)}{signature} cannot be a step: {error}.",
            hint="A step takes one argument, and a second one only if it is named ctx.",
        ) from None


def _takes_ctx(function: Callable[..., Any]) -> bool:
    try:
        return "ctx" in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _is_coroutine_function(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
    )


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    return "lambda" if name == "<lambda>" else name or type(function).__name__
