"""What gathers in one turn of an event loop and is sent to Redis at its end. It knows neither what, nor how."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from tidyllm.store.shared import SharedState

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Generic[T]):
    """One `T` for each event loop and turn: made when the first asks for it, sent along with what else leaves then."""

    def __init__(self, shared: SharedState, make: Callable[[], T], send: Callable[[T], None]) -> None:
        self._shared = shared
        self._make = make
        self._send = send
        self._gathers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = weakref.WeakKeyDictionary()

    def current(self) -> T:
        """That of this turn. :raises RuntimeError: no event loop runs here."""
        loop = asyncio.get_running_loop()
        gathered = self._gathers.get(loop)
        if gathered is None:
            gathered = self._gathers[loop] = self._make()
            self._shared.before(partial(self._end, loop))
        return gathered

    def send_now(self) -> None:
        """Send before the end of the turn: what comes next must find it done."""
        self._end(asyncio.get_running_loop())

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered = self._gathers.pop(loop, None)
        if gathered is not None:
            self._send(gathered)
