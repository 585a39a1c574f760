"""One object for each event loop. It knows when a loop ends, and nothing of what it keeps.

Sockets belong to the loop that opened them, while a model is called from many: the program's own, the background
loop of `run_sync`, a fresh one for each `asyncio.run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["PerLoop"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Keeps what `make` makes, and gives it to `close` when its loop ends.

    `asyncio.run` and its like end the asynchronous generators of a loop before they close it; a generator that waits
    here is told that way. A loop closed without this leaves its sockets to the garbage collector.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        # Each thread touches the entry of its own loop only, and each touch is one atomic operation.
        self._kept: dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]] = {}

    def get(self) -> T:
        """The running loop's own; made at its first call."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        return kept[0] if kept is not None else self._begin(loop)

    async def aclose(self) -> None:
        """Close the running loop's own, if it has one; the next `get` makes another."""
        kept = self._kept.get(asyncio.get_running_loop())
        if kept is not None:
            await kept[1].aclose()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> T:
        for other in list(self._kept):
            if other.is_closed():
                self._kept.pop(other, None)
        made = self._make()
        end = self._end(loop, made)
        self._kept[loop] = made, end
        try:
            end.__anext__().send(None)  # up to its `yield`: the loop knows the generator from here on
        except StopIteration:
            pass
        return made

    async def _end(self, loop: asyncio.AbstractEventLoop, made: T) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._kept.pop(loop, None)
            await self._close(made)
