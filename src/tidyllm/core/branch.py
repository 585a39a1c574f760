"""A choice between steps. It knows how the choice is made known, not why."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Mapping
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar

from tidyllm.core.ambient import reset_current, set_current
from tidyllm.core.context import Context
from tidyllm.core.names import segments
from tidyllm.core.step import Step, as_step
from tidyllm.errors import StepError

__all__ = ["Branch"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
K = TypeVar("K", bound=Hashable)


class Branch(Step[I_contra, O_co]):
    """`Branch({"fast": a, "premium": b}, by=choose)`: `choose(x)` names the branch that runs.

    - `by`: a function of the input (plain or async, `ctx` if it declares it) or a step; it returns a key. A predicate
      goes with the keys True and False: `Branch({True: shorten, False: keep}, by=is_long)`.
    - `default`: runs for a key that has no branch; without it such a key raises `StepError`.

    A step as `by` is a call of its own. A function is part of this call's record, unless a runtime that must remember
    the choice stands in between.
    """

    def __init__(
        self,
        branches: Mapping[
            K, Step[I_contra, O_co] | Callable[[I_contra], Awaitable[O_co]] | Callable[[I_contra], O_co]
        ],
        *,
        by: Step[I_contra, K]
        | Callable[[I_contra], Awaitable[K]]
        | Callable[[I_contra], K]
        | Callable[[I_contra, Context], Awaitable[K]]
        | Callable[[I_contra, Context], K],
        default: Step[I_contra, O_co]
        | Callable[[I_contra], Awaitable[O_co]]
        | Callable[[I_contra], O_co]
        | None = None,
        name: str | None = None,
    ) -> None:
        """:raises StepError: there is no branch, or something that cannot be a step."""
        if not branches:
            raise StepError(
                "a Branch needs at least one branch.", hint="Write Branch({'a': step}, by=choose)."
            )
        self.branches: dict[Any, Step[Any, Any]] = {key: as_step(value) for key, value in branches.items()}
        self.default = None if default is None else as_step(default)
        self.by: Step[Any, Any] = as_step(by)
        self.is_named = name is not None
        self._by_is_step = isinstance(by, Step)
        # The choice and the default come first, so that no key can take their places.
        places = segments(["by", "default", *map(str, self.branches)])[2:]
        self._places = dict(zip(self.branches, places, strict=True))
        super().__init__(f"Branch({', '.join(map(str, self.branches))})" if name is None else name)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        step, place = self._find(await self._choose(x, ctx), ctx)
        return await ctx.run_child(step, x, place)

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
        """:raises StepError: the branches join their pieces in different ways, and nobody knows which one it was."""
        if self._all_alike():
            return self._any().join(pieces)
        raise StepError(
            f"the branches of {self.name!r} join their pieces in different ways.",
            hint="Join them where the branch is known, or give all branches steps that stream alike.",
        )

    def split(self, answer: Any) -> Pieces[Any]:
        return self._any().split(answer) if self._all_alike() else super().split(answer)

    @property
    def joins_like(self) -> object:
        return self._any().joins_like if self._all_alike() else self

    def _steps(self) -> list[Step[Any, Any]]:
        return [*self.branches.values(), *([] if self.default is None else [self.default])]

    def _any(self) -> Step[Any, Any]:
        return next(iter(self.branches.values()))

    def _all_alike(self) -> bool:
        like = self._any().joins_like
        return all(step.joins_like == like for step in self._steps())

    async def _choose(self, x: I_contra, ctx: Context) -> Any:
        if self._by_is_step or ctx.scope.caller is not None:
            return await ctx.run_child(self.by, x, "by")
        at = ctx.place("by")
        token = set_current(at)
        try:
            return await self.by.invoke(x, at)
        finally:
            reset_current(token)

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
            f"{ctx.where}: the choice was {key!r}, but the branches are {', '.join(map(repr, self.branches))}.",
            hint="Add a branch for it, or pass default=….",
        )

    def named(self, name: str) -> Branch[I_contra, O_co]:
        twin = super().named(name)
        twin.is_named = True
        return twin

    def _identity(self) -> tuple[object, ...]:
        return self.branches, self.by, self.default, self._by_is_step, self.is_named, self.name

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Branch) else NotImplemented

    def __hash__(self) -> int:
        return hash((Branch, tuple(self.branches.items()), self.by, self.name))

    def __repr__(self) -> str:
        inside = ", ".join(f"{key!r}: {step!r}" for key, step in self.branches.items())
        default = "" if self.default is None else f", default={self.default!r}"
        name = f", name={self.name!r}" if self.is_named else ""
        return f"Branch({{{inside}}}, by={self.by!r}{default}{name})"
