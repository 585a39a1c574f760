"""A step turns one value into another. It knows nothing of models, storage or the network."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from collections.abc import Sequence as Pieces
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar, cast, overload

from tidyllm.core import events
from tidyllm.core.ambient import get_current, reset_current, set_current
from tidyllm.core.context import Context
from tidyllm.core.names import check_name
from tidyllm.core.root import run_watched, stream_root
from tidyllm.core.scope import PLAIN
from tidyllm.core.sync import run_sync
from tidyllm.errors import StepError

if TYPE_CHECKING:
    from tidyllm.core.parallel import Beside
    from tidyllm.core.sequence import Sequence

__all__ = ["InDoubt", "Step", "as_step", "bracketed"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
P = TypeVar("P")
J = TypeVar("J")

InDoubt: TypeAlias = Literal["rerun", "ask", "fail"]
"""What to do with a call that was in flight when its process died: make it again, ask a person, or fail."""


class Step(ABC, Generic[I_contra, O_co]):
    """`await step(x)`, `step.run_sync(x)`, `step.stream(x)`; compose with `>>` (then) and `|` (side by side).

    To write one, subclass and define `invoke(x, ctx)`; a step that can deliver in pieces also defines
    `invoke_stream(x, ctx)`, `join(pieces)` and `split(answer)`. For a plain function `@step` is shorter.
    """

    name: str = ""
    is_expression: bool = False
    """Written with an operator (`a >> b`): as an operand of another one it needs brackets."""
    direct: Callable[[Any], Coroutine[Any, Any, Any]] | None = None
    """An async function that does the same as `invoke` and asks for no context: called without a frame in between."""
    in_doubt: InDoubt = "rerun"
    """What a durable runtime does with a call of this step that was in flight at a crash."""

    def __init__(self, name: str | None = None) -> None:
        """:raises StepError: `name` is empty, or ends in `#` and a number."""
        self.name = type(self).__name__ if name is None else check_name(name)

    @abstractmethod
    def invoke(self, x: I_contra, ctx: Context) -> Coroutine[Any, Any, O_co]:
        """Turn `x` into the answer (write it as `async def`). `ctx` is the place of this very call, and ambient.

        Wrappers call `inner.invoke(x, ctx)`, so that a wrapped step is one record; combinators call their children
        with `ctx.run_child`. The answer is returned, failures are raised; cancellation is never caught.
        """

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """The answer in pieces; here: the whole answer as one piece. `ctx` is ambient while a piece is made.

        Whoever calls it closes it. When it is closed early it closes what it reads from, at once.
        """
        yield await self.invoke(x, ctx)

    def join(self, pieces: Pieces[Any]) -> O_co:
        """The answer that these pieces of one stream make up.

        :raises StepError: there is not exactly one piece, and this step knows no way to join several.
        """
        if len(pieces) != 1:
            raise StepError(
                f"{self.name!r} gives its answer as one piece, but {len(pieces)} were to be joined.",
                hint="A step that streams several pieces defines join(pieces).",
            )
        return cast("O_co", pieces[0])

    def split(self, answer: Any) -> Pieces[Any]:
        """Pieces that `join` to this answer, for an answer that was kept whole; here: the answer as one piece."""
        return [answer]

    @property
    def joins_like(self) -> object:
        """Steps with an equal value here join pieces in the same way, so that a choice between them can join, too.

        A choice between steps that differ in this is its own value: it cannot join.
        """
        return type(self).join

    # -- calling

    async def __call__(self, x: I_contra, ctx: Context | None = None) -> O_co:
        """Run it as a call below `ctx`, else below the step that is running, else as a run of its own."""
        at = get_current() if ctx is None else ctx
        if at is not None:
            return await at.nested(self, x)
        if events.installed:
            return await run_watched(self, x)
        # The shortest way, which most calls of a library go: nobody watches, and nobody set a limit.
        root = Context(PLAIN, None, self.name)
        token = set_current(root)
        try:
            return await self.invoke(x, root)
        finally:
            reset_current(token)

    def stream(self, x: I_contra, ctx: Context | None = None) -> AsyncGenerator[Any, None]:
        """The answer in pieces. Close it (`contextlib.aclosing`) when you leave before its end."""
        at = get_current() if ctx is None else ctx
        return stream_root(self, x) if at is None else at.nested_stream(self, x)

    def run_sync(self, x: I_contra, ctx: Context | None = None) -> O_co:
        """Run it from a script, a thread or a notebook cell, and wait. Works while an event loop runs as well.

        Ctrl-C cancels it. Deadline and cancellation of a run around it reach it, also from another loop.
        """
        at = get_current() if ctx is None else ctx
        here = at.detached() if at is not None and at.entered else at
        return run_sync(lambda: self(x, here))

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
    def __rshift__(self, other: Any) -> Sequence[I_contra, Any]:
        """`a >> b`: the answer of `a` is the input of `b`."""
        from tidyllm.core.sequence import Sequence

        return Sequence(self, other) if callable(other) else NotImplemented

    @overload
    def __rrshift__(self, other: Callable[[J], Awaitable[I_contra]]) -> Sequence[J, O_co]: ...
    @overload
    def __rrshift__(self, other: Callable[[J], I_contra]) -> Sequence[J, O_co]: ...
    @overload
    def __rrshift__(self, other: Callable[[J, Context], Awaitable[I_contra]]) -> Sequence[J, O_co]: ...
    @overload
    def __rrshift__(self, other: Callable[[J, Context], I_contra]) -> Sequence[J, O_co]: ...
    def __rrshift__(self, other: Any) -> Sequence[Any, O_co]:
        from tidyllm.core.sequence import Sequence

        return Sequence(other, self) if callable(other) else NotImplemented

    @overload
    def __or__(self, other: Step[I_contra, P]) -> Beside[I_contra, tuple[O_co, P]]: ...
    @overload
    def __or__(self, other: Callable[[I_contra], Awaitable[P]]) -> Beside[I_contra, tuple[O_co, P]]: ...
    @overload
    def __or__(self, other: Callable[[I_contra], P]) -> Beside[I_contra, tuple[O_co, P]]: ...
    @overload
    def __or__(
        self, other: Callable[[I_contra, Context], Awaitable[P]]
    ) -> Beside[I_contra, tuple[O_co, P]]: ...
    @overload
    def __or__(self, other: Callable[[I_contra, Context], P]) -> Beside[I_contra, tuple[O_co, P]]: ...
    def __or__(self, other: Any) -> Beside[I_contra, Any]:
        """`a | b`: both get the same input, at the same time; the answer is a tuple."""
        from tidyllm.core.parallel import Beside

        return Beside(self, other) if callable(other) else NotImplemented

    @overload
    def __ror__(self, other: Callable[[I_contra], Awaitable[P]]) -> Beside[I_contra, tuple[P, O_co]]: ...
    @overload
    def __ror__(self, other: Callable[[I_contra], P]) -> Beside[I_contra, tuple[P, O_co]]: ...
    @overload
    def __ror__(
        self, other: Callable[[I_contra, Context], Awaitable[P]]
    ) -> Beside[I_contra, tuple[P, O_co]]: ...
    @overload
    def __ror__(self, other: Callable[[I_contra, Context], P]) -> Beside[I_contra, tuple[P, O_co]]: ...
    def __ror__(self, other: Any) -> Beside[I_contra, Any]:
        from tidyllm.core.parallel import Beside

        return Beside(other, self) if callable(other) else NotImplemented

    def named(self, name: str) -> Self:
        """The same step under another name (in paths, records and error messages).

        :raises StepError: `name` is empty, or ends in `#` and a number.
        """
        twin = copy.copy(self)
        twin.name = check_name(name)
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
        from tidyllm.core.function import step_of

        return step_of(value)
    raise StepError(
        f"{value!r} (a {type(value).__name__}) is neither a step nor a function.",
        hint="Write a function of one argument, or subclass Step.",
    )


def joined_names(steps: Iterable[Step[Any, Any]], sign: str) -> str:
    """The default name of an expression: the names of its steps. Wrappers and options show in its repr only, so that
    records and metrics have short names."""
    return f" {sign} ".join(f"({one.name})" if one.is_expression else one.name for one in steps)


def bracketed(step: Step[Any, Any]) -> str:
    """How a step is written as an operand of `>>` or `|`: expressions get brackets."""
    return f"({step!r})" if step.is_expression else repr(step)
