"""A step turns one value into another. It knows nothing of models, storage or the network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from collections.abc import Sequence as Pieces
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from tidyllm.core.context import Context, get_current, run_in, run_root, stream_root
from tidyllm.core.sync import run_sync
from tidyllm.errors import StepError

if TYPE_CHECKING:
    from tidyllm.core.parallel import Parallel
    from tidyllm.core.sequence import Sequence

__all__ = ["Step", "as_step"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
P = TypeVar("P")
J = TypeVar("J")


class Step(ABC, Generic[I_contra, O_co]):
    """`await step(x)`, `step.run_sync(x)`, `step.stream(x)`; compose with `>>` (then) and `|` (side by side).

    To write one, subclass and define `invoke(x, ctx)`; a step that can deliver in pieces also defines
    `invoke_stream(x, ctx)` and `join(pieces)`. For a plain function `@step` is shorter.
    """

    name: str = ""

    def __init__(self, name: str | None = None) -> None:
        self.name = name or type(self).__name__

    @abstractmethod
    def invoke(self, x: I_contra, ctx: Context) -> Coroutine[Any, Any, O_co]:
        """Turn `x` into the answer (write it as `async def`). `ctx` is the place of this very call, and the ambient one.

        Wrappers call `inner.invoke(x, ctx)`, so that a wrapped step is one record; combinators call their children
        with `ctx.run_child`. The answer is returned, failures are raised; cancellation is never caught.
        """

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """The answer in pieces; here: the whole answer as one piece."""
        yield await self.invoke(x, ctx)

    def join(self, pieces: Pieces[Any]) -> O_co:
        """The answer that these pieces of one stream make up.

        :raises StepError: there is not exactly one piece, and this step knows no way to join several.
        """
        if len(pieces) != 1:
            raise StepError(f"{self.name!r} gives its answer as one piece, but {len(pieces)} were to be joined.")
        return cast("O_co", pieces[0])

    @property
    def joins_like(self) -> object:
        """Steps with an equal value here join pieces in the same way (a choice between them can join, too)."""
        return type(self).join

    # -- calling

    def __call__(self, x: I_contra, ctx: Context | None = None) -> Coroutine[Any, Any, O_co]:
        """Run it: in `ctx`, else in the context of the step that is running, else as a run of its own."""
        ambient = get_current()
        if ctx is None:
            return run_root(self, x) if ambient is None else self.invoke(x, ambient)
        if ctx is ambient:
            return self.invoke(x, ctx)
        return run_in(ctx, self, x) if ctx.entered else ctx.call(self, x)

    def stream(self, x: I_contra, ctx: Context | None = None) -> AsyncGenerator[Any, None]:
        """The answer in pieces. Close it (`contextlib.aclosing`) when you leave before its end."""
        ctx = ctx or get_current()
        if ctx is None:
            return stream_root(self, x)
        return self.invoke_stream(x, ctx) if ctx.entered else ctx.stream(self, x)

    def run_sync(self, x: I_contra, ctx: Context | None = None) -> O_co:
        """Run it from a script, a thread or a notebook cell, and wait. Works while an event loop runs as well."""
        return run_sync(lambda: self(x, ctx))

    # -- composing

    @overload
    def __rshift__(self, other: Step[O_co, P]) -> Sequence[I_contra, P]: ...
    @overload
    def __rshift__(self, other: Callable[[O_co], Awaitable[P]]) -> Sequence[I_contra, P]: ...
    @overload
    def __rshift__(self, other: Callable[[O_co], P]) -> Sequence[I_contra, P]: ...
    @overload
    def __rshift__(self, other: Callable[[O_co, Context], Awaitable[P]]) -> Sequence[I_contra, P]: ...
    @overload
    def __rshift__(self, other: Callable[[O_co, Context], P]) -> Sequence[I_contra, P]: ...
    def __rshift__(self, other: Any) -> Any:
        """`a >> b`: the answer of `a` is the input of `b`."""
        from tidyllm.core.sequence import Sequence

        return Sequence(self, other) if callable(other) else NotImplemented

    @overload
    def __rrshift__(self, other: Callable[[J], Awaitable[I_contra]]) -> Sequence[J, O_co]: ...  # pyright: ignore[reportGeneralTypeIssues]
    @overload
    def __rrshift__(self, other: Callable[[J], I_contra]) -> Sequence[J, O_co]: ...  # pyright: ignore[reportGeneralTypeIssues]
    def __rrshift__(self, other: Any) -> Any:
        from tidyllm.core.sequence import Sequence

        return Sequence(other, self) if callable(other) else NotImplemented

    @overload
    def __or__(self, other: Step[I_contra, P]) -> Parallel[I_contra, tuple[O_co, P]]: ...  # pyright: ignore[reportGeneralTypeIssues]
    @overload
    def __or__(self, other: Callable[[I_contra], Awaitable[P]]) -> Parallel[I_contra, tuple[O_co, P]]: ...
    @overload
    def __or__(self, other: Callable[[I_contra], P]) -> Parallel[I_contra, tuple[O_co, P]]: ...
    def __or__(self, other: Any) -> Any:
        """`a | b`: both get the same input, at the same time; the answer is a tuple."""
        from tidyllm.core.parallel import Parallel

        return Parallel(self, other) if callable(other) else NotImplemented

    @overload
    def __ror__(self, other: Callable[[I_contra], Awaitable[P]]) -> Parallel[I_contra, tuple[P, O_co]]: ...
    @overload
    def __ror__(self, other: Callable[[I_contra], P]) -> Parallel[I_contra, tuple[P, O_co]]: ...
    def __ror__(self, other: Any) -> Any:
        from tidyllm.core.parallel import Parallel

        return Parallel(other, self) if callable(other) else NotImplemented

    def named(self, name: str) -> Self:
        """The same step under another name (in paths, records and error messages)."""
        twin = copy.copy(self)
        twin.name = name
        return twin

    def __repr__(self) -> str:
        return self.name


def as_step(value: Any) -> Step[Any, Any]:
    """A step from a step or a function.

    :raises StepError: it can be neither.
    """
    if isinstance(value, Step):
        return cast("Step[Any, Any]", value)
    if callable(value):
        from tidyllm.core.function import step

        return step(value)
    raise StepError(
        f"{value!r} (a {type(value).__name__}) is neither a step nor a function.",
        hint="Write a function of one argument, or subclass Step.",
    )


def segments(names: Pieces[str]) -> tuple[str, ...]:
    """Names made unique in order: `a`, `b`, `a#2`. Adding a step leaves the places of the others as they were."""
    seen: dict[str, int] = {}
    unique: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(unique)
