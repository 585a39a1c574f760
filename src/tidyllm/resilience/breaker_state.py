"""The state of a circuit breaker. Pure: it is told the time and what became of calls; it knows no steps and no threads.

    closed ──(`failures` failures within `window` s)──▶ open ──(`cooldown` s later, with the next call)──▶ half open
      ▲                                                  ▲                                                  │  │
      │                                                  └─────────────────(the probe failed)───────────────┘  │
      └────────────────────────────────────(the probe succeeded)───────────────────────────────────────────────┘

Each call is admitted with a ticket. Only the ticket of the present state has a say when it comes back: the result of a
call that was admitted before the state changed is late, and ignored. While half open there is exactly one such ticket,
the probe's.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

__all__ = ["BreakerState", "Status"]

Status: TypeAlias = Literal["closed", "open", "half_open"]


class BreakerState:
    """Times are seconds on one clock that never goes back.

    - `failures` within `window` seconds open it, whatever succeeded in between.
    - `cooldown` seconds after that the next call is the probe.
    """

    __slots__ = (
        "_failed_at",
        "_generation",
        "_opened",
        "_probe",
        "cooldown",
        "failures",
        "status",
        "ticket",
        "window",
    )

    def __init__(self, failures: int, window: float, cooldown: float) -> None:
        self.failures = failures
        self.window = window
        self.cooldown = cooldown
        self.status: Status = "closed"
        self.ticket = 1
        """The ticket of every call while closed; 0 otherwise. Read it first: it saves the call of `admit`."""
        self._generation = 1
        self._probe = 0
        self._opened = 0.0
        # The last `failures` of them are enough: the oldest one kept is either within the window or not.
        self._failed_at: deque[float] = deque(maxlen=failures)

    def admit(self, now: float) -> int:
        """A ticket for one call, or 0 for a refusal."""
        if self.ticket:
            return self.ticket
        if self.status == "open" and now - self._opened >= self.cooldown:
            self.status = "half_open"
            self._probe = 0
        if self.status == "half_open" and not self._probe:
            self._generation += 1
            self._probe = self._generation
            return self._probe
        return 0

    def succeeded(self, ticket: int) -> None:
        """The call with this ticket succeeded."""
        if self._is_probe(ticket):
            self.status = "closed"
            self._generation += 1
            self.ticket = self._generation
            self._probe = 0
            self._failed_at.clear()

    def failed(self, ticket: int, now: float) -> None:
        """The call with this ticket failed, and the failure counts against the target."""
        if self._is_probe(ticket):
            self._open(now)
        elif ticket and ticket == self.ticket:
            self._failed_at.append(now)
            if len(self._failed_at) == self.failures and now - self._failed_at[0] <= self.window:
                self._open(now)

    def dropped(self, ticket: int) -> None:
        """The call with this ticket told nothing of the target (it was cancelled, say): a probe leaves its place."""
        if self._is_probe(ticket):
            self._probe = 0

    def retry_after(self, now: float) -> float | None:
        """Seconds until the next probe; 0 when one may go now, None while one is on its way."""
        if self._probe:
            return None
        return max(self._opened + self.cooldown - now, 0.0) if self.status == "open" else 0.0

    def _is_probe(self, ticket: int) -> bool:
        return bool(ticket) and ticket == self._probe

    def _open(self, now: float) -> None:
        self.status = "open"
        self.ticket = 0
        self._probe = 0
        self._opened = now
