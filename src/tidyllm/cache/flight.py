"""One call for equal questions at once. It knows tasks and who waits for them, not what is asked.

The call runs in a task of its own, which ends early only when nobody waits for it any more: whoever began it may be
cancelled, or run into his deadline, while others still want the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from tidyllm.errors import BreakerOpen, LimitExceeded, ModelError, Refused, TimeoutExceeded
from tidyllm.errors.twin import twin
from tidyllm.models.per_loop import PerLoop

__all__ = ["Flights", "for_all", "stop"]

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiting = 0


class Flights(Generic[T]):
    """The calls that are under way, by key; those of each event loop for itself."""

    def __init__(self) -> None:
        self._loops: PerLoop[dict[bytes, _Flight[T]]] = PerLoop(dict, _nothing)

    async def join(self, key: bytes, lead: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """The answer of the call that is under way for `key`, or of `lead()`; and whether this caller led.

        An error goes to those who joined when it would be theirs as well (`for_all`), or when two calls in a row failed
        alike; else one of them leads.
        """
        flights = self._loops.get()
        before: type[BaseException] | None = None
        while True:
            flight = flights.get(key)
            leads = flight is None
            if flight is None:
                flight = flights[key] = _Flight(asyncio.ensure_future(lead()))
                flight.task.add_done_callback(lambda task, flight=flight: _landed(flights, key, flight))
            await self._wait(flights, key, flight)
            task = flight.task
            if task.cancelled():
                if leads:
                    raise asyncio.CancelledError("the call was cancelled from inside")
                continue
            error = task.exception()
            try:
                if error is None:
                    return task.result(), leads
                if leads:
                    raise error
                if for_all(error) or (type(error) is before and not _personal(error)):
                    raise twin(error) from error.__cause__
                before = type(error)
            finally:
                del error, task, flight  # an error refers to this frame: kept here, it would be a circle

    async def _wait(self, flights: dict[bytes, _Flight[T]], key: bytes, flight: _Flight[T]) -> None:
        flight.waiting += 1
        try:
            await asyncio.wait((flight.task,))
        except BaseException:
            if flight.waiting == 1:
                if flights.get(key) is flight:
                    del flights[key]  # who comes now makes a call of his own
                await stop(flight.task)
            raise
        finally:
            flight.waiting -= 1


def _landed(flights: dict[bytes, _Flight[T]], key: bytes, flight: _Flight[T]) -> None:
    if flights.get(key) is flight:
        del flights[key]
    if not flight.task.cancelled():
        flight.task.exception()  # it was left by all: asyncio would complain that nobody asked


async def stop(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait until it has ended, however it does."""
    task.cancel()
    await asyncio.wait((task,))


def for_all(error: BaseException) -> bool:
    """Whether everyone who asked the same at the same time would have got this error.

    What a provider said of the request, and what our breakers, limits and clocks said of the target. Not what belongs
    to one caller: his budget, his deadline.
    """
    if isinstance(error, TimeoutExceeded):
        return error.clock != "deadline"
    return isinstance(error, ModelError | BreakerOpen | LimitExceeded)


def _personal(error: BaseException) -> bool:
    return isinstance(error, Refused | TimeoutExceeded | asyncio.CancelledError)


async def _nothing(flights: dict[bytes, _Flight[Any]]) -> None:
    """Tasks end with their loop."""
