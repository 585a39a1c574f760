"""A step around one other step. It passes everything through; what wraps overrides what it must see."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar

from tidyllm.core.context import Context
from tidyllm.core.step import Step, as_step

__all__ = ["Wrapper"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class Wrapper(Step[I_contra, O_co]):
    """Base of all that takes a step and is a step. It bears the name of the step inside and is no record."""

    def __init__(
        self,
        inner: Step[I_contra, O_co] | Callable[[I_contra], Awaitable[O_co]] | Callable[[I_contra], O_co],
        *,
        name: str | None = None,
    ) -> None:
        """:raises StepError: `inner` is neither a step nor a function."""
        self.inner: Step[I_contra, O_co] = as_step(inner)
        super().__init__(self.inner.name if name is None else name)
        self.in_doubt = self.inner.in_doubt

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        return await self.inner.invoke(x, ctx)

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        pieces = self.inner.invoke_stream(x, ctx)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    def join(self, pieces: Pieces[Any]) -> O_co:
        return self.inner.join(pieces)

    def split(self, answer: Any) -> Pieces[Any]:
        return self.inner.split(answer)

    @property
    def joins_like(self) -> object:
        return self.inner.joins_like

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"
