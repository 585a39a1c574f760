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


_Kept = dict[asyncio.AbstractEventLoop, tuple[T, AsyncGenerator[None]]]


class PerLoop(Generic[T]):
    """Keeps what `make` makes, and gives it to `close` when its loop ends, or when this object is dropped.

    `asyncio.run` and its like end the asynchronous generators of a loop before they close it, and a generator without
    an owner is ended too: one that waits here learns of both. A loop closed without this leaves its sockets to the
    garbage collector. Neither function may refer to the owner of this object, or it would not be dropped in time.
    """

    def __init__(self, make: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        self._make = make
        self._close = close
        # Each thread touches the entry of its own loop only, and each touch is one atomic operation.
        self._kept: _Kept[T] = {}

    def get(self) -> T:
        """The running loop's own; made at its first call."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        return kept[0] if kept is not None else self._begin(loop)

    async def aclose(self) -> None:
        """Close the running loop's own, if it has one; the next `get` makes another."""
        kept = self._kept.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept[1].aclose()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> T:
        for other in list(self._kept):
            if other.is_closed():
                self._kept.pop(other, None)
        made = self._make()
        end = _until_the_end(made, self._close)
        self._kept[loop] = made, end
        try:
            end.__anext__().send(None)  # up to its `yield`: the loop knows the generator from here on
        except StopIteration:
            pass
        return made


async def _until_the_end(made: T, close: Callable[[T], Awaitable[None]]) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        await close(made)
