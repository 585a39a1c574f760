"""Who hears the events of agents. It knows functions and one queue, not what the events mean."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from tidyllm.agents.agent_events import AgentEvent, Observer

__all__ = ["Listeners", "Pipe"]

_failed: set[int] = set()


class Listeners:
    """Functions that get each event, in order. One that raises is reported once, and disturbs nothing."""

    __slots__ = ("functions",)

    def __init__(self, *functions: Observer | None) -> None:
        self.functions = tuple(one for one in functions if one is not None)

    def __bool__(self) -> bool:
        return bool(self.functions)

    def and_those(self, others: Listeners) -> Listeners:
        """These, then the others; each once."""
        more = [one for one in others.functions if one not in self.functions]
        return Listeners(*self.functions, *more) if more else self

    def tell(self, event: AgentEvent) -> None:
        """Hand the event on."""
        for function in self.functions:
            try:
                function(event)
            except Exception:
                if id(function) not in _failed:
                    _failed.add(id(function))
                    logging.getLogger("tidyllm").exception(
                        "observer %r failed on %s; the agent goes on", function, type(event).__name__
                    )


class Pipe:
    """Events on their way to one reader. The agent waits where it can (`room`) while the reader lags behind."""

    def __init__(self, most: int = 64) -> None:
        self._events: deque[AgentEvent] = deque()
        self._most = most
        self._came = asyncio.Event()
        self._taken = asyncio.Event()

    def put(self, event: AgentEvent) -> None:
        """One more; it never waits."""
        self._events.append(event)
        self._came.set()

    async def room(self) -> None:
        """Wait until the reader has caught up."""
        while len(self._events) >= self._most:
            self._taken.clear()
            await self._taken.wait()

    async def get(self, over: Callable[[], bool]) -> AgentEvent | None:
        """The next one; None when all have been read and it is `over`."""
        while not self._events:
            if over():
                return None
            self._came.clear()
            await self._came.wait()
        event = self._events.popleft()
        self._taken.set()
        return event

    def wake(self) -> None:
        """Let the reader look whether it is over."""
        self._came.set()
