"""Async generator functions as steps that stream. It knows how pieces make an answer, nothing of what they are."""

from __future__ import annotations

import typing
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from collections.abc import Sequence as Pieces
from typing import Any, TypeVar, cast

from tidyllm.core.context import Context
from tidyllm.core.signature import name_of, takes_ctx
from tidyllm.core.step import Step

__all__ = ["GeneratorStep"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)


class GeneratorStep(Step[I_contra, O_co]):
    """A step from an async generator function: it streams what the function yields.

    `join` makes the answer from the pieces. By default text is concatenated and anything else is a list; the function's
    annotation decides (`AsyncIterator[str]` is text), and where it says nothing, the pieces do.
    """

    def __init__(
        self,
        function: Callable[..., AsyncIterator[Any]],
        *,
        name: str | None = None,
        join: Callable[[Pieces[Any]], O_co] | None = None,
    ) -> None:
        super().__init__(name_of(function) if name is None else name)
        self.function = function
        self.__doc__ = getattr(function, "__doc__", None)
        self._join = join
        self._takes_ctx = takes_ctx(function)
        self._is_text = _yields_text(function)

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        return self.join([piece async for piece in self.invoke_stream(x, ctx)])

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        pieces = self.function(x, ctx=ctx) if self._takes_ctx else self.function(x)
        try:
            async for piece in pieces:
                yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def join(self, pieces: Pieces[Any]) -> O_co:
        if self._join is not None:
            return self._join(pieces)
        is_text = self._is_text
        if is_text is None:
            is_text = bool(pieces) and all(isinstance(piece, str) for piece in pieces)
        return cast("O_co", "".join(pieces) if is_text else list(pieces))

    def split(self, answer: Any) -> Pieces[Any]:
        """A list, or the answer as one piece. With a `join` of your own, subclass this to say how to take it apart."""
        return cast("list[Any]", answer) if self._join is None and isinstance(answer, list) else [answer]

    @property
    def joins_like(self) -> object:
        return self._join or (GeneratorStep, self._is_text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GeneratorStep):
            return NotImplemented
        twin = cast("GeneratorStep[Any, Any]", other)
        return (self.function, self.name, self._join) == (twin.function, twin.name, twin._join)

    def __hash__(self) -> int:
        return hash((self.function, self.name))


def _yields_text(function: Callable[..., Any]) -> bool | None:
    """Whether the annotation says that pieces are text; None when it does not say."""
    try:
        told = typing.get_args(typing.get_type_hints(function).get("return"))
    except Exception:  # noqa: BLE001 - names in annotations may exist for the type checker only
        return None
    return None if not told or told[0] is Any or isinstance(told[0], TypeVar) else told[0] is str
