"""A step under a budget. It only puts the budget into the context: models below set money aside for each attempt."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, TypeVar, final

from tidyllm.core import Budget as AnyBudget
from tidyllm.core import Context, Wrapper
from tidyllm.errors import ConfigError
from tidyllm.money.budget import under

__all__ = ["Budgeted"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


@final
class Budgeted(Wrapper[I_contra, O_co]):
    """`Budgeted(step, budget)`: everything that happens inside `step` is paid from `budget`.

    A budget that is in force already stays in force: an attempt needs room in both. `step` is a step or a function.

    :raises ConfigError: `budget` is none.
    """

    def __init__(self, step: Any, budget: AnyBudget) -> None:
        super().__init__(step)
        if not hasattr(budget, "reserve"):
            raise ConfigError(
                f"{budget!r} is no budget.", where="Budgeted.budget", hint="Make one: Budget(5, 'month')."
            )
        self.budget = budget

    def _below(self, ctx: Context) -> Context:
        return ctx.with_(budget=under(self.budget, ctx.budget))

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        return await self._below(ctx).run_here(self.inner, x)

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        pieces = self._below(ctx).stream_here(self.inner, x)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def __repr__(self) -> str:
        return f"Budgeted({self.inner!r}, {self.budget!r})"
