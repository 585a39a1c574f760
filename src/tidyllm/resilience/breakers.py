"""Circuit breakers that several steps share, and where they are found by name. It knows no steps.

A process may run several event loops (that of `run_sync`, say), so the state is changed under a lock. Reading the
ticket of a closed breaker needs none: it is one attribute.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from weakref import WeakValueDictionary

from tidyllm import clock
from tidyllm.errors import BreakerOpen, ConfigError
from tidyllm.resilience.breaker_state import BreakerState, Status

__all__ = ["BREAKERS", "Breaker", "Breakers"]


class Breaker:
    """One breaker: a name, its state, and who asks first. The settings are those of `CircuitBreaker`."""

    def __init__(self, name: str, *, failures: int = 5, window: float = 30.0, cooldown: float = 10.0) -> None:
        self.name = name
        self.state = BreakerState(failures, window, cooldown)
        self._lock = threading.Lock()

    @property
    def status(self) -> Status:
        """`closed`, `open` or `half_open`; it stays `open` until the first call after the cooldown."""
        return self.state.status

    @property
    def settings(self) -> tuple[int, float, float]:
        """`failures`, `window` and `cooldown`."""
        return self.state.failures, self.state.window, self.state.cooldown

    def admit(self) -> tuple[int, bool]:
        """A ticket for one call, and whether the status changed.

        :raises BreakerOpen: the call is refused.
        """
        state = self.state
        with self._lock:
            now = clock.monotonic()
            before = state.status
            ticket = state.admit(now)
            if ticket:
                return ticket, state.status != before
            wait = state.retry_after(now)
        raise BreakerOpen(self.name, failures=state.failures, window=state.window, retry_after=wait)

    def finished(self, ticket: int, *, failed: bool | None) -> bool:
        """The call with this ticket ended: `failed` says how, None that it told nothing of the target.

        Returns whether the status changed.
        """
        state = self.state
        with self._lock:
            before = state.status
            if failed is None:
                state.dropped(ticket)
            elif failed:
                state.failed(ticket, clock.monotonic())
            else:
                state.succeeded(ticket)
            return state.status != before

    def __repr__(self) -> str:
        failures, window, cooldown = self.settings
        return f"Breaker({self.name!r}, failures={failures}, window={window:g}, cooldown={cooldown:g})"


class Breakers:
    """Breakers by name: steps that name the same one share it. A breaker lives as long as some step holds it.

    Programs seldom make one: without it, names are looked up in `BREAKERS`, one for the process. A program that
    is configured anew makes a new one for the new settings with the old one as `earlier`: breakers whose name and
    settings did not change go on as they are.
    """

    def __init__(self, earlier: Breakers | None = None) -> None:
        self._breakers: WeakValueDictionary[str, Breaker] = WeakValueDictionary()
        # A list of them, made under their lock: another thread may add some meanwhile.
        self._earlier: WeakValueDictionary[str, Breaker] = WeakValueDictionary(
            {breaker.name: breaker for breaker in earlier or ()}
        )
        self._lock = threading.Lock()

    def get(self, name: str, *, failures: int = 5, window: float = 30.0, cooldown: float = 10.0) -> Breaker:
        """The breaker `name`, made when there is none.

        :raises ConfigError: it exists with other settings.
        """
        asked = (failures, window, cooldown)
        with self._lock:
            held = self._breakers.get(name)
            if held is None:
                held = self._earlier.get(name)
                if held is None or held.settings != asked:
                    held = Breaker(name, failures=failures, window=window, cooldown=cooldown)
                self._breakers[name] = held
            elif held.settings != asked:
                raise ConfigError(
                    f"there is a {held!r} already, and now it is asked for with failures={failures}, "
                    f"window={window:g}, cooldown={cooldown:g}.",
                    where="CircuitBreaker.name",
                    hint="Give the same settings, another name, or a `Breakers` of your own.",
                )
            return held

    def __iter__(self) -> Iterator[Breaker]:
        with self._lock:
            return iter(sorted(self._breakers.values(), key=lambda breaker: breaker.name))


BREAKERS = Breakers()
"""Where a `CircuitBreaker` with a name is looked up by default."""
