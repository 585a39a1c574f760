"""A choice between steps. It knows how the choice is made known, not why."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar, cast

from tidyllm.core.context import Context
from tidyllm.core.step import Step, as_step
from tidyllm.errors import StepError

__all__ = ["Branch"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
K = TypeVar("K", bound=Hashable)


class Branch(Step[I_contra, O_co]):
    """`Branch({"fast": a, "premium": b}, by=choose)`: `choose(x)` names the branch that runs.

    - `by`: a function of the input (plain or async) or a step; it returns a key. A predicate goes with the keys True
      and False: `Branch({True: shorten, False: keep}, by=is_long)`.
    - `default`: runs for a key that has no branch; without it such a key raises `StepError`.
    """

    def __init__(
        self,
        branches: Mapping[K, Step[I_contra, O_co] | Callable[[I_contra], Awaitable[O_co]] | Callable[[I_contra], O_co]],
        *,
        by: Step[I_contra, K] | Callable[[I_contra], Awaitable[K]] | Callable[[I_contra], K],
        default: Step[I_contra, O_co] | Callable[[I_contra], Awaitable[O_co]] | Callable[[I_contra], O_co] | None = None,
        name: str | None = None,
    ) -> None:
        """:raises StepError: there is no branch."""
        if not branches:
            raise StepError("a Branch needs at least one branch.")
        self.branches: dict[Any, Step[Any, Any]] = {key: as_step(value) for key, value in branches.items()}
        self.default = None if default is None else as_step(default)
        self.by = by
        self._places = {key: str(key) for key in self.branches}
        super().__init__(name or repr(self))

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        key = await self._choose(x, ctx)
        step, place = self._find(key, ctx)
        return cast("O_co", await ctx.run_child(step, x, place))

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        """The pieces of the branch that was chosen."""
        step, place = self._find(await self._choose(x, ctx), ctx)
        pieces = ctx.stream_child(step, x, place)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def join(self, pieces: Pieces[Any]) -> O_co:
        """:raises StepError: the branches join their pieces in different ways, and there is more than one piece."""
        steps = [*self.branches.values(), *([self.default] if self.default else [])]
        if all(step.joins_like == steps[0].joins_like for step in steps):
            return cast("O_co", steps[0].join(pieces))
        return super().join(pieces)

    @property
    def joins_like(self) -> object:
        ways = [step.joins_like for step in self.branches.values()]
        return ways[0] if all(way == ways[0] for way in ways) else self

    async def _choose(self, x: I_contra, ctx: Context) -> Any:
        if isinstance(self.by, Step):
            return await ctx.run_child(cast("Step[Any, Any]", self.by), x, "by")
        chosen: Any = self.by(x)
        return await chosen if inspect.isawaitable(chosen) else chosen

    def _find(self, key: Any, ctx: Context) -> tuple[Step[Any, Any], str]:
        try:
            step = self.branches.get(key)
        except TypeError:  # not hashable
            step = None
        if step is not None:
            return step, self._places[key]
        if self.default is not None:
            return self.default, "default"
        raise StepError(
            f"{'/'.join(ctx.path)}: the choice was {key!r}, but the branches are "
            f"{', '.join(map(repr, self.branches))}.",
            hint="Add a branch for it, or pass default=….",
        )

    def __repr__(self) -> str:
        inside = ", ".join(f"{key!r}: {step!r}" for key, step in self.branches.items())
        by = self.by if isinstance(self.by, Step) else getattr(self.by, "__name__", type(self.by).__name__)
        default = f", default={self.default!r}" if self.default else ""
        return f"Branch({{{inside}}}, by={by}{default})"
