"""One step after the other. It knows the order, not what the steps do."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar, cast

from tidyllm.core.context import Context, reset_current, set_current
from tidyllm.core.step import Step, as_step, segments
from tidyllm.errors import StepError

__all__ = ["Sequence"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Sequence(Step[I_contra, O_co]):
    """`a >> b >> c`: each step gets the answer of the one before. Sequences inside it are unrolled."""

    def __init__(self, *steps: Any, name: str | None = None) -> None:
        """:raises StepError: there is no step, or something that cannot be one."""
        if not steps:
            raise StepError("a Sequence needs at least one step.")
        flat: list[Step[Any, Any]] = []
        for one in map(as_step, steps):
            # A sequence that was given a name is a unit of its own: it keeps its place in paths and records.
            flat.extend(one.steps if isinstance(one, Sequence) and not one._is_named else (one,))
        self.steps: tuple[Step[Any, Any], ...] = tuple(flat)
        self._is_named = name is not None
        self._children = tuple(zip(self.steps, segments([one.name for one in self.steps]), strict=True))
        super().__init__(name or repr(self))

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        value: Any = x
        scope = ctx.scope
        # `ctx.run_child` without its coroutine: the ambient context is set for each child and restored once.
        token = set_current(ctx)
        try:
            for step, segment in self._children:
                if scope.plain:
                    child = Context(scope, ctx, segment, 0, ctx.deadline)
                    set_current(child)
                    value = await step.invoke(value, child)
                else:
                    child = ctx.child(segment)
                    set_current(child)
                    value = await child.perform(step, value)
        finally:
            reset_current(token)
        return cast("O_co", value)

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

    @property
    def joins_like(self) -> object:
        return self.steps[-1].joins_like

    def named(self, name: str) -> Sequence[I_contra, O_co]:
        return Sequence(*self.steps, name=name)

    def __repr__(self) -> str:
        if self._is_named:
            return f"Sequence({', '.join(map(repr, self.steps))}, name={self.name!r})"
        return " >> ".join(bracketed(step) for step in self.steps)


def bracketed(step: Step[Any, Any]) -> str:
    """How a step is written as an operand of `>>` or `|`: expressions get brackets."""
    text = repr(step)
    return f"({text})" if " >> " in text or " | " in text else text
