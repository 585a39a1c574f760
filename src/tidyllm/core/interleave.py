"""Several streams read at the same time, given out as one. It knows streams, not what makes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from collections.abc import Sequence as Many
from typing import Any, NamedTuple, TypeAlias

from tidyllm.core.group import failures, finish, note, stop

__all__ = ["interleave"]

Stream: TypeAlias = AsyncGenerator[Any, None]


class _Given(NamedTuple):
    number: int
    piece: Any
    is_end: bool
    error: BaseException | None


class _Counter:
    """Where streams lay down their pieces and the reader takes them: first come, first served, one of each stream.

    A queue with a limit would not do: who gives all the time keeps those who wait from ever getting a place.
    """

    def __init__(self) -> None:
        self._given: deque[tuple[_Given, asyncio.Future[None]]] = deque()
        self._reader: asyncio.Future[None] | None = None

    async def give(self, given: _Given) -> None:
        """Lay a piece down, and return when it was taken."""
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given.append((given, taken))
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
        await taken

    async def take(self) -> _Given:
        """The piece that has lain there longest."""
        while not self._given:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        given, taken = self._given.popleft()
        if not taken.done():
            taken.set_result(None)
        return given


async def interleave(
    streams: Many[Callable[[], Stream]], *, at_once: int, fail_fast: bool
) -> AsyncGenerator[tuple[int, Any, Exception | None], None]:
    """`(number, piece, None)` from all streams as they come; each is made when its turn comes, `at_once` of them.

    A failure is raised when the reader gets to it, after the pieces that came before it; without `fail_fast` it is
    `(number, None, error)`, and the other streams go on. When the reader leaves, all streams are closed first.
    One piece of each stream is on its way at a time: it goes on only when the reader has taken that.
    """
    counter = _Counter()
    gate = asyncio.Semaphore(at_once)
    tasks: list[asyncio.Task[None]] = []
    try:
        for number, make in enumerate(streams):
            read = _read(number, make, gate, counter, fail_fast)
            tasks.append(asyncio.create_task(read, name=f"stream {number}"))
        running = len(tasks)
        while running:
            number, piece, is_end, error = await counter.take()
            running -= is_end
            if not is_end:
                yield number, piece, None
            elif isinstance(error, Exception) and not fail_fast:
                yield number, None, error
            elif error is not None:
                raise error
        await finish(tasks, fail_fast=False)
    except BaseException as error:
        await stop(tasks)
        others = failures(tasks)
        if others and isinstance(error, GeneratorExit):
            raise others[0][1] from None  # the reader left, and a stream could not be closed
        note(error, others)
        raise
    finally:
        tasks.clear()  # they hold the error whose traceback holds this frame


async def _read(
    number: int, make: Callable[[], Stream], gate: asyncio.Semaphore, counter: _Counter, fail_fast: bool
) -> None:
    error: BaseException | None = None
    await gate.acquire()
    try:
        await _pass_on(number, make(), counter)
    except asyncio.CancelledError as cancelled:
        if _stopped():
            raise
        error = cancelled  # of its own doing: the reader must hear of it, or it would wait for ever
    except Exception as failure:
        if _stopped():
            raise
        error = failure
    if error is None or not fail_fast:
        gate.release()  # else nobody else is to start: all will be stopped
    try:
        await counter.give(_Given(number, None, True, error))
    except asyncio.CancelledError:
        if error is None:
            raise
        raise error from None  # the reader stops for another reason, and notes this one
    finally:
        error = None


async def _pass_on(number: int, stream: Stream, counter: _Counter) -> None:
    try:
        async for piece in stream:
            await counter.give(_Given(number, piece, False, None))
    finally:
        await stream.aclose()


def _stopped() -> bool:
    """Whether the reader told this task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
