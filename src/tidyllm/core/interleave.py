"""Several streams read at the same time, given out as one. It knows streams, not what makes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from collections.abc import Sequence as Many
from typing import Any, TypeAlias

from tidyllm.core.group import failures, finish, note, stop

__all__ = ["interleave"]

Stream: TypeAlias = AsyncGenerator[Any, None]
Ready: TypeAlias = "asyncio.Queue[tuple[int, Any, BaseException | None]]"
_END = object()


async def interleave(
    streams: Many[Callable[[], Stream]], *, at_once: int, fail_fast: bool
) -> AsyncGenerator[tuple[int, Any, Exception | None], None]:
    """`(number, piece, None)` from all streams as they come; each is made when its turn comes, `at_once` of them.

    A failure is raised when the reader gets to it, after the pieces that came before it; without `fail_fast` it is
    `(number, None, error)`, and the other streams go on. When the reader leaves, all streams are closed first.
    One piece is on its way at a time: a stream goes on only when the reader has taken what it gave.
    """
    ready: Ready = asyncio.Queue(1)
    gate = asyncio.Semaphore(at_once)
    tasks: list[asyncio.Task[None]] = []
    try:
        for number, make in enumerate(streams):
            task = asyncio.create_task(_read(number, make, gate, ready), name=f"stream {number}")
            tasks.append(task)
        running = len(tasks)
        while running:
            number, piece, error = await ready.get()
            running -= piece is _END
            if piece is not _END:
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


async def _read(number: int, make: Callable[[], Stream], gate: asyncio.Semaphore, ready: Ready) -> None:
    error: BaseException | None = None
    async with gate:
        try:
            await _pass_on(number, make(), ready)
        except asyncio.CancelledError as cancelled:
            if _stopped():
                raise
            error = cancelled  # of its own doing: the reader must hear of it, or it would wait for ever
        except Exception as failure:
            if _stopped():
                raise
            error = failure
    try:
        await ready.put((number, _END, error))
    except asyncio.CancelledError:
        if error is None:
            raise
        raise error from None  # the reader stops for another reason, and notes this one
    finally:
        error = None


async def _pass_on(number: int, stream: Stream, ready: Ready) -> None:
    try:
        async for piece in stream:
            await ready.put((number, piece, None))
    finally:
        await stream.aclose()


def _stopped() -> bool:
    """Whether the reader told this task to stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
