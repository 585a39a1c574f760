"""Functions as steps. It knows how to call a function, nothing of what it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from collections.abc import Sequence as Pieces
from typing import Any, Protocol, TypeVar, cast, overload

from tidyllm.core.context import Context
from tidyllm.core.generator import GeneratorStep
from tidyllm.core.signature import check_signature, is_async, is_generator, name_of, takes_ctx
from tidyllm.core.step import InDoubt, Step
from tidyllm.core.threads import in_thread
from tidyllm.errors import StepError

__all__ = ["FunctionStep", "GeneratorStep", "step", "step_of"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class FunctionStep(Step[I_contra, O_co]):
    """A step from a function `(x)` or `(x, ctx)`, plain or async. Made by `@step`."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        super().__init__(name_of(function) if name is None else name)
        self.function = function
        self.__doc__ = getattr(function, "__doc__", None)
        self._takes_ctx = takes_ctx(function)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self.function, self.name) == (other.function, other.name)

    def __hash__(self) -> int:
        return hash((self.function, self.name))


class AsyncFunction(FunctionStep[I_contra, O_co]):
    """An async function: its own coroutine is awaited, with nothing around it."""

    def __init__(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        super().__init__(function, name=name)
        self.direct = None if self._takes_ctx else function

    def invoke(self, x: I_contra, ctx: Context) -> Coroutine[Any, Any, O_co]:
        return self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)


class PlainFunction(FunctionStep[I_contra, O_co]):
    """A plain function: it runs inline, on the event loop. What it returns is awaited if it can be."""

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        answer = self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)
        return await answer if hasattr(answer, "__await__") else answer


class ThreadFunction(FunctionStep[I_contra, O_co]):
    """A plain function that blocks: it runs in a thread of its own, with the ambient context.

    When the step is cancelled the thread is left behind: it cannot be killed, runs to its end, and is not heard.
    """

    def invoke(self, x: I_contra, ctx: Context) -> Coroutine[Any, Any, O_co]:
        return in_thread(self.function, x, **({"ctx": ctx} if self._takes_ctx else {}))


class _Decorator(Protocol):
    @overload
    def __call__(self, function: Callable[[I], AsyncIterator[str]], /) -> GeneratorStep[I, str]: ...
    @overload
    def __call__(self, function: Callable[[I, Context], AsyncIterator[str]], /) -> GeneratorStep[I, str]: ...
    @overload
    def __call__(self, function: Callable[[I], AsyncIterator[P]], /) -> GeneratorStep[I, list[P]]: ...
    @overload
    def __call__(
        self, function: Callable[[I, Context], AsyncIterator[P]], /
    ) -> GeneratorStep[I, list[P]]: ...
    @overload
    def __call__(self, function: Callable[[I], Awaitable[O]], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Context], Awaitable[O]], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I], O], /) -> FunctionStep[I, O]: ...
    @overload
    def __call__(self, function: Callable[[I, Context], O], /) -> FunctionStep[I, O]: ...


class _Joining(Protocol[P_contra, O_co]):
    @overload
    def __call__(self, function: Callable[[I], AsyncIterator[P_contra]], /) -> GeneratorStep[I, O_co]: ...
    @overload
    def __call__(
        self, function: Callable[[I, Context], AsyncIterator[P_contra]], /
    ) -> GeneratorStep[I, O_co]: ...


@overload
def step(
    function: Callable[[I], AsyncIterator[str]],
    /,
    *,
    name: str | None = None,
    in_doubt: InDoubt | None = None,
) -> GeneratorStep[I, str]: ...
@overload
def step(
    function: Callable[[I, Context], AsyncIterator[str]],
    /,
    *,
    name: str | None = None,
    in_doubt: InDoubt | None = None,
) -> GeneratorStep[I, str]: ...
@overload
def step(
    function: Callable[[I], AsyncIterator[P]], /, *, name: str | None = None, in_doubt: InDoubt | None = None
) -> GeneratorStep[I, list[P]]: ...
@overload
def step(
    function: Callable[[I, Context], AsyncIterator[P]],
    /,
    *,
    name: str | None = None,
    in_doubt: InDoubt | None = None,
) -> GeneratorStep[I, list[P]]: ...
@overload
def step(
    function: Callable[[I], Awaitable[O]], /, *, name: str | None = None, in_doubt: InDoubt | None = None
) -> FunctionStep[I, O]: ...
@overload
def step(
    function: Callable[[I, Context], Awaitable[O]], /, *, name: str | None = None
) -> FunctionStep[I, O]: ...
@overload
def step(
    function: Callable[[I], O],
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    in_doubt: InDoubt | None = None,
) -> FunctionStep[I, O]: ...
@overload
def step(
    function: Callable[[I, Context], O],
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    in_doubt: InDoubt | None = None,
) -> FunctionStep[I, O]: ...
@overload
def step(
    *, join: Callable[[Pieces[P]], O], name: str | None = None, in_doubt: InDoubt | None = None
) -> _Joining[P, O]: ...
@overload
def step(*, name: str | None = None, thread: bool = False, in_doubt: InDoubt | None = None) -> _Decorator: ...
def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    thread: bool = False,
    join: Callable[[Pieces[Any]], Any] | None = None,
    in_doubt: InDoubt | None = None,
) -> Any:
    """Make a step of a function: `@step`, `@step(name=…)`, or `step(function)`.

    The function takes the input and, if it names a parameter `ctx`, the context. An async generator function becomes a
    step that streams; `join` says how its pieces make the answer (default: text is concatenated, else a list).

    - `name`: default: the function's own.
    - `thread`: run a plain function in a thread, because it blocks.
    - `in_doubt`: what a durable runtime does with a call that was in flight at a crash; default: make it again.

    :raises StepError: it is no function of one argument, or an option does not go with its kind.
    """
    if function is not None:
        return _doubted(step_of(function, name=name, thread=thread, join=join), in_doubt)

    def decorate(later: Callable[..., Any]) -> Step[Any, Any]:
        return _doubted(step_of(later, name=name, thread=thread, join=join), in_doubt)

    return decorate


def _doubted(one: Step[Any, Any], in_doubt: InDoubt | None) -> Step[Any, Any]:
    if in_doubt is None or in_doubt == one.in_doubt:
        return one
    if in_doubt not in ("rerun", "ask", "fail"):
        raise StepError(f"in_doubt={in_doubt!r} is none of 'rerun', 'ask' and 'fail'.")
    twin = one.named(one.name)
    twin.in_doubt = in_doubt
    return twin


def step_of(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    thread: bool = False,
    join: Callable[[Pieces[Any]], Any] | None = None,
) -> Step[Any, Any]:
    """The step for `function`; see `step`."""
    if isinstance(function, Step):
        known = cast("Step[Any, Any]", function)
        if thread or join:
            raise StepError(
                f"{known.name!r} is a step already.", hint="Give thread=… and join=… to its first @step."
            )
        return known if name is None else known.named(name)
    if not callable(function):
        raise StepError(
            f"{function!r} (a {type(function).__name__}) is no function.", hint="Write @step above one."
        )
    check_signature(function)
    generates, coroutine = is_generator(function), is_async(function)
    if thread and (generates or coroutine):
        raise StepError(
            f"{name_of(function)!r} is async and cannot be moved to a thread.", hint="Drop thread=True."
        )
    if join and not generates:
        raise StepError(
            f"{name_of(function)!r} does not stream, so there is nothing to join.",
            hint="Drop join=…, or write it as an async generator.",
        )
    if generates:
        return GeneratorStep(function, name=name, join=join)
    if coroutine:
        return AsyncFunction(function, name=name)
    return (ThreadFunction if thread else PlainFunction)(function, name=name)
