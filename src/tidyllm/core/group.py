"""Tasks that are all over when the one that waits for them goes on. It knows how they end, not what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

__all__ = ["failures", "finish", "note", "stop"]


async def finish(tasks: Sequence[asyncio.Task[Any]], *, fail_fast: bool) -> None:
    """Wait until all tasks are over, however this wait ends.

    A cancellation of the waiting task is passed on once to each task that still runs, and raised when they are over.
    With `fail_fast` the first task that fails (or is cancelled) has the others cancelled; its error is raised, and
    bears a note of each other failure.
    """
    loop = asyncio.get_running_loop()
    failed: list[asyncio.Task[Any]] = []
    running = len(tasks)
    stopping = False
    woken: asyncio.Future[None] | None = None

    def over(task: asyncio.Task[Any]) -> None:
        nonlocal running, stopping
        running -= 1
        # Asking for the exception also tells asyncio that somebody has seen it.
        if (not stopping) if task.cancelled() else task.exception() is not None:
            failed.append(task)
        if fail_fast and failed and not stopping:
            stopping = True
            _cancel(tasks)
        if not running and woken is not None and not woken.done():
            woken.set_result(None)

    for task in tasks:
        task.add_done_callback(over)
    outside: asyncio.CancelledError | None = None
    first: asyncio.Task[Any] | None = None
    try:
        while running:
            woken = loop.create_future()
            try:
                await woken
            except asyncio.CancelledError as error:
                outside, stopping = outside or error, True
                _cancel(tasks, *error.args)
        if outside is not None:
            raise outside
        if fail_fast and failed:
            first = failed[0]
            if not first.cancelled() and len(failed) > 1:
                note(cast("BaseException", first.exception()), failures(failed))
            first.result()
    finally:
        # The error that leaves here refers to this frame, and each of these to the error: without this, every failure
        # would be garbage that only the collector finds.
        outside = first = None
        tasks = ()
        failed.clear()


async def stop(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel the tasks that still run, and wait until all are over."""
    _cancel(tasks)
    await finish(tasks, fail_fast=False)


def _cancel(tasks: Sequence[asyncio.Task[Any]], *message: Any) -> None:
    for task in tasks:
        if not task.done():
            task.cancel(*message)


def failures(tasks: Sequence[asyncio.Task[Any]]) -> list[tuple[str, BaseException]]:
    """Which of these tasks, all over, failed by something else than a cancellation, and by what."""
    ended = [(task.get_name(), None if task.cancelled() else task.exception()) for task in tasks]
    return [(name, error) for name, error in ended if error is not None]


def note(error: BaseException, others: Sequence[tuple[str, BaseException]]) -> None:
    """Nothing is silent: failures beside the one that is raised are said there."""
    for name, other in others:
        text = f"{name} failed as well: {type(other).__name__}: {other}"
        if other is not error and text not in getattr(error, "__notes__", ()):
            error.add_note(text)
