"""Requests and tokens per minute, and calls at once, for keys and teams. It knows backends only by what they answer.

A call enters before it goes on and leaves when it is over. What it will use is counted when it enters; when it leaves,
the truth takes its place. A place is held by a lease that this process renews: when the process dies, the place is free
again after `lease_seconds`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import count
from random import getrandbits
from types import TracebackType
from typing import Literal, Protocol, Self

from tidyllm import clock
from tidyllm.access.key import Key, Subject
from tidyllm.access.limits_local import LocalLimits
from tidyllm.access.window import Denied
from tidyllm.errors import ConfigError, LimitExceeded, StoreDown

__all__ = ["Backend", "Lease", "Limits"]

_log = logging.getLogger("tidyllm.access")


class Backend(Protocol):
    """Where it is counted. Each call is one step that happens whole or not at all."""

    @property
    def leases(self) -> bool:
        """Whether places end by themselves unless they are renewed."""
        ...

    async def enter(
        self, subjects: Sequence[Subject], tokens: int, place: str, lease_seconds: float
    ) -> tuple[int, ...] | Denied:
        """Let a call in on all subjects, or on none; for each, the second in which it was counted.

        Whoever is cancelled in it was let in nowhere: what he was given meanwhile is given back.

        :raises StoreDown: nobody can tell.
        """
        ...

    async def leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        """The call is over; `counted` tokens were counted in `seconds`, and `used` were used.

        It happens also when whoever waits for it is cancelled.

        :raises StoreDown: nobody can write it down.
        """
        ...

    async def renew(self, places: Sequence[tuple[Subject, str]], lease_seconds: float) -> None:
        """These places are held from now on for another `lease_seconds`.

        :raises StoreDown: nobody can write it down.
        """
        ...

    async def aclose(self) -> None:
        """Return when what was begun has ended."""
        ...


class Lease:
    """A call that was let in. Leave it exactly once; as `async with` it is left at the end of the block."""

    __slots__ = ("_backend", "_counted", "_limits", "_place", "_seconds", "_subjects", "used")

    def __init__(
        self,
        limits: Limits | None,
        backend: Backend | None,
        subjects: tuple[Subject, ...],
        seconds: tuple[int, ...],
        *,
        place: str,
        counted: int,
    ) -> None:
        self._limits = limits
        self._backend = backend
        self._subjects = subjects
        self._seconds = seconds
        self._place = place
        self._counted = counted
        self.used: int | None = None
        """Tokens that the call really used; None: as many as were counted."""

    async def leave(self) -> None:
        """Give the place back and set the count of tokens right. It never fails; a second time does nothing."""
        limits, backend = self._limits, self._backend
        self._limits = None
        if limits is None or backend is None:
            return
        limits.left(self._place)
        used = self._counted if self.used is None else max(self.used, 0)
        if used == self._counted and all(one.concurrency is None for one in self._subjects):
            return
        try:
            await backend.leave(self._subjects, self._seconds, self._place, self._counted, used)
        except StoreDown as error:
            _log.debug("a place was not given back, it ends by itself: %s", error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()


class Limits:
    """Lets calls in while there is room.

    - `backend`: `LocalLimits()` for one worker, `StoreLimits(store)` or `RedisLimits(shared)` for many.
    - `on_store_down`: what to do while the backend cannot be reached. `refuse`: every limited call is refused with
      `StoreDown`. `allow`: each process applies the limits by itself, so that n workers may let in n times as much.
    - `on_degraded`: called with True when the backend is lost, and with False when it is back. `degraded` is whether it
      is lost now, `degraded_calls` how many calls were decided without it.
    - `lease_seconds`: after that long the places of a killed process are free. 60, because a process may be stopped for
      seconds; they are renewed three times as often.
    - `retry_seconds`: how often a lost backend is asked again.
    """

    def __init__(
        self,
        backend: Backend | None = None,
        *,
        on_store_down: Literal["refuse", "allow"] = "refuse",
        on_degraded: Callable[[bool], object] | None = None,
        lease_seconds: float = 60.0,
        retry_seconds: float = 1.0,
    ) -> None:
        if on_store_down not in ("refuse", "allow"):
            raise ConfigError(f"{on_store_down!r} is not refuse or allow.", where="on_store_down")
        if not 0 < lease_seconds <= 86400:
            raise ConfigError(f"{lease_seconds!r} is not between 0 and 86,400 s.", where="lease_seconds")
        self.backend: Backend = LocalLimits() if backend is None else backend
        self.on_store_down = on_store_down
        self.lease_seconds = lease_seconds
        self.degraded = False
        self.degraded_calls = 0
        self._own = LocalLimits()
        self._on_degraded = on_degraded
        self._retry_seconds = retry_seconds
        self._ask_again_at = float("-inf")
        self._why = ""
        self._places: dict[str, tuple[Subject, ...]] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def enter(self, key: Key, *, tokens: int = 0) -> Lease:
        """Let a call under `key` in that may use up to `tokens`.

        :raises LimitExceeded: a limit of the key or of its team has no room; `retry_after` says when, if it is known.
        :raises StoreDown: it is counted elsewhere, that cannot be reached, and `on_store_down` is `refuse`.
        """
        if not key.subjects:
            return _FREE
        return await self.enter_as(key.subjects, tokens=tokens)

    async def enter_as(self, subjects: tuple[Subject, ...], *, tokens: int = 0) -> Lease:
        """The same for any subjects, each named once: all have room, or nothing is counted."""
        backend = self.backend
        if isinstance(backend, LocalLimits):
            place = str(next(_numbers))
            answer = backend.enter_now(subjects, tokens, place)
            if isinstance(answer, Denied):
                raise _exceeded(answer, tokens)
            return Lease(self, backend, subjects, answer, place=place, counted=tokens)
        place = f"{getrandbits(96):024x}"
        try:
            if self.degraded and clock.monotonic() < self._ask_again_at:
                raise StoreDown(self._why)
            answer = await backend.enter(subjects, tokens, place, self.lease_seconds)
        except StoreDown as error:
            self._lost(error)
            if self.on_store_down == "refuse":
                raise
            backend = self._own
            answer = await backend.enter(subjects, tokens, place, self.lease_seconds)
        else:
            if self.degraded:
                self._back()
        if isinstance(answer, Denied):
            raise _exceeded(answer, tokens)
        if backend.leases and any(one.concurrency is not None for one in subjects):
            self._places[place] = tuple(one for one in subjects if one.concurrency is not None)
            if self._renewing is None or self._renewing.done():
                self._renewing = asyncio.get_running_loop().create_task(self._renew())
        return Lease(self, backend, subjects, answer, place=place, counted=tokens)

    async def aclose(self) -> None:
        """Stop renewing. Places that are still held end after `lease_seconds`."""
        self._places.clear()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await self.backend.aclose()

    def left(self, place: str) -> None:
        """A lease is over: its place is not renewed any more."""
        self._places.pop(place, None)

    async def _renew(self) -> None:
        """Every third of a lease, while there are places to hold."""
        while self._places:
            await clock.sleep(self.lease_seconds / 3)
            held = [(one, place) for place, subjects in self._places.items() for one in subjects]
            if not held:
                return
            try:
                await self.backend.renew(held, self.lease_seconds)
                for one, place in held:
                    if place not in self._places:  # left while it was being renewed
                        await self.backend.leave((one,), (0,), place, 0, 0)
            except StoreDown as error:
                _log.warning("%d places could not be renewed: %s", len(held), error)

    def _lost(self, error: StoreDown) -> None:
        self.degraded_calls += 1
        if clock.monotonic() >= self._ask_again_at:  # it was asked, and is lost still
            self._why = error.message
            self._ask_again_at = clock.monotonic() + self._retry_seconds
        if not self.degraded:
            self.degraded = True
            what = "refused" if self.on_store_down == "refuse" else "counted by each process for itself"
            _log.warning("limits cannot be shared, calls are %s: %s", what, error)
            if self._on_degraded is not None:
                self._on_degraded(True)

    def _back(self) -> None:
        self.degraded = False
        self._ask_again_at = float("-inf")
        _log.warning("limits are shared again; %d calls so far were decided without", self.degraded_calls)
        if self._on_degraded is not None:
            self._on_degraded(False)


_numbers = count()
"""Of places that only this process knows."""

_FREE = Lease(None, None, (), (), place="", counted=0)
"""Of keys without limits."""

_WORDS = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "concurrency": "calls at once",
}


def _exceeded(denied: Denied, tokens: int) -> LimitExceeded:
    told = f"{denied.subject} may have {denied.limit:,} {_WORDS[denied.what]}; {denied.used:,} are taken"
    if denied.what != "tokens_per_minute":
        return LimitExceeded(f"{told}.", retry_after=denied.retry_after)
    error = LimitExceeded(f"{told}, and this needs up to {tokens:,}.", retry_after=denied.retry_after)
    if tokens > denied.limit:
        error.retryable = False
        error.hint = "Ask for less at once, or raise the limit: waiting does not help."
    return error
