"""Noticing that a client is gone, while a task answers him. It knows connections, not what is being answered."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from tidyllm.gateway.asgi import Receive, Scope
from tidyllm.gateway.protocol import connection_of

__all__ = ["ClientWatch"]


class ClientWatch:
    """`with ClientWatch(scope, receive) as watch:` cancels the task in which it runs when the client hangs up.

    `watch.gone` then tells this cancellation from others. The body must have been read before.
    """

    __slots__ = ("_connection", "_receive", "_task", "_watcher", "gone")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.gone = False
        self._connection = connection_of(scope)
        self._receive = receive
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._connection is not None:
            self._connection.on_gone = self._cancel
        else:  # another server than ours tells it only to one who waits
            self._watcher = asyncio.create_task(self._wait())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.on_gone = None
        elif self._watcher is not None:
            self._watcher.cancel()

    def _cancel(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel("the client is gone")

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._cancel()
