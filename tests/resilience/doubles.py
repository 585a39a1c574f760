"""What the tests of wrappers share: time that jumps to the next timer, steps by script, and a hook that keeps events.

Knows steps and clocks, nothing of what a single test asserts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from collections.abc import Sequence as Pieces
from contextlib import aclosing
from typing import Any, TypeVar, cast

from tidyllm import clock
from tidyllm.core import Context, Event, Step
from tidyllm.errors import Overloaded
from tidyllm.testing import FakeClock

T = TypeVar("T")

TURNS = 40
"""Turns of the event loop after which everything that can happen without time passing has happened."""


class Jumps(FakeClock):
    """A clock that goes from timer to timer, so that everything happens at its own moment."""

    @property
    def time(self) -> float:
        return self.monotonic()

    @property
    def pending(self) -> int:
        """How many timers are set."""
        return len(self.timers)

    async def lapse(self, seconds: float) -> None:
        """Let this much time pass."""
        left = seconds
        await settle()
        while (timers := self.timers) and timers[0] <= left:
            left -= timers[0]
            self.advance(timers[0])
            await settle()
        self.advance(left)

    async def run(self, work: Awaitable[T]) -> T:
        """Run `work` to its end, however long it takes on this clock."""
        task = asyncio.ensure_future(work)
        try:
            await settle()
            while not task.done():
                assert self.timers, "it waits for nothing that time could bring"
                self.advance(self.timers[0])
                await settle()
            return task.result()
        finally:
            del task  # it holds its error, which holds this frame


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Events(list[Event]):
    """A hook that keeps what it hears."""

    def __call__(self, event: Event, /) -> None:
        self.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self if isinstance(event, kind)]


class Script(Step[Any, Any]):
    """A step that plays its part: each call takes the next act, the last one is repeated.

    An act is a value to return, an error to raise, or a function of the input (plain or async) that does either. A
    stream gives the value's characters if it is a text; an act that is a list gives its items, errors in it are raised
    and numbers are seconds to wait.
    """

    def __init__(self, *acts: Any, name: str = "script") -> None:
        super().__init__(name)
        self.acts = acts
        self.calls = 0
        self.running = 0
        self.cancelled = 0
        self.most_running = 0
        self.contexts: list[Context] = []

    async def invoke(self, x: Any, ctx: Context) -> Any:
        return self.join([piece async for piece in self.invoke_stream(x, ctx)])

    async def invoke_stream(self, x: Any, ctx: Context) -> AsyncGenerator[Any, None]:
        assert Context.current() is ctx, "whoever calls a step makes its context ambient"
        act = self.acts[min(self.calls, len(self.acts) - 1)]
        self.calls += 1
        self.contexts.append(ctx)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            for one in cast("list[Any]", act) if isinstance(act, list) else [act]:
                if isinstance(one, BaseException):
                    raise one
                if isinstance(one, int | float):
                    await clock.sleep(one)
                else:
                    yield one
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    def join(self, pieces: Pieces[Any]) -> Any:
        return "".join(pieces)

    @property
    def joins_like(self) -> object:
        return Script


async def collect(step: Step[Any, Any], x: Any, ctx: Context | None = None) -> list[Any]:
    """All pieces of a stream."""
    async with aclosing(step.stream(x, ctx)) as pieces:
        return [piece async for piece in pieces]


def overloaded(text: str = "busy", *, retry_after: float | None = None) -> Overloaded:
    return Overloaded(text, provider="main", model="m", retry_after=retry_after)
