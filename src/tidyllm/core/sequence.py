"""One step after the other. It knows the order, not what the steps do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar, overload

from tidyllm.core.ambient import set_current
from tidyllm.core.context import Context
from tidyllm.core.names import check_name, segments
from tidyllm.core.record import record
from tidyllm.core.step import Step, as_step, bracketed, joined_names
from tidyllm.errors import StepError

__all__ = ["Sequence"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")


class Sequence(Step[I_contra, O_co]):
    """`a >> b >> c`: each step gets the answer of the one before. Sequences inside it are unrolled.

    One that was given a name is a unit of its own: it keeps its place in paths and records.
    """

    @overload
    def __init__(self, a: Step[I_contra, O_co], /, *, name: str | None = None) -> None: ...
    @overload
    def __init__(self, a: Step[I_contra, A], b: Step[A, O_co], /, *, name: str | None = None) -> None: ...
    @overload
    def __init__(
        self, a: Step[I_contra, A], b: Step[A, B], c: Step[B, O_co], /, *, name: str | None = None
    ) -> None: ...
    @overload
    def __init__(self: Sequence[Any, Any], *steps: Any, name: str | None = None) -> None: ...
    def __init__(self, *steps: Any, name: str | None = None) -> None:
        """:raises StepError: there is no step, or something that cannot be one."""
        if not steps:
            raise StepError("a Sequence needs at least one step.", hint="Write Sequence(a, b) or a >> b.")
        flat: list[Step[Any, Any]] = []
        for one in map(as_step, steps):
            flat.extend(one.steps if isinstance(one, Sequence) and not one.is_named else (one,))
        self.steps: tuple[Step[Any, Any], ...] = tuple(flat)
        self.is_named = name is not None
        self.is_expression = not self.is_named and len(flat) > 1
        self._children = tuple(zip(self.steps, segments(one.name for one in self.steps), strict=True))
        self._calls = tuple((step.invoke, step.direct, segment) for step, segment in self._children)
        super().__init__(joined_names(flat, ">>") if name is None else name)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        value: Any = x
        scope = ctx.scope
        try:
            if scope.plain:
                # `ctx.run_child` without its coroutine: the ambient context is set for each, and restored once.
                deadline = ctx.deadline
                for invoke, direct, segment in self._calls:
                    child = (
                        Context(scope, ctx, segment)
                        if deadline is None
                        else Context(scope, ctx, segment, 0, deadline)
                    )
                    set_current(child)
                    value = await (invoke(value, child) if direct is None else direct(value))
            elif scope.caller is None:
                for step, segment in self._children:
                    set_current(child := ctx.child(segment))
                    value = await record(child, step, value)
            else:
                for step, segment in self._children:
                    value = await ctx.run_child(step, value, segment)
        finally:
            set_current(ctx)
        return value

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """The pieces of the last step; the steps before it run first."""
        value: Any = x
        for step, segment in self._children[:-1]:
            value = await ctx.run_child(step, value, segment)
        last, segment = self._children[-1]
        pieces = ctx.stream_child(last, value, segment)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def join(self, pieces: Pieces[Any]) -> O_co:
        return self.steps[-1].join(pieces)

    def split(self, answer: Any) -> Pieces[Any]:
        return self.steps[-1].split(answer)

    @property
    def joins_like(self) -> object:
        return self.steps[-1].joins_like

    def named(self, name: str) -> Sequence[I_contra, O_co]:
        return Sequence(*self.steps, name=check_name(name))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return (self.steps, self.is_named, self.name) == (other.steps, other.is_named, other.name)

    def __hash__(self) -> int:
        return hash((Sequence, self.steps, self.name))

    def __repr__(self) -> str:
        if self.is_expression:
            return " >> ".join(map(bracketed, self.steps))
        name = f", name={self.name!r}" if self.is_named else ""
        return f"Sequence({', '.join(map(repr, self.steps))}{name})"
