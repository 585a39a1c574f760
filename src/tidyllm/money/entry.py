"""One attempt in the ledger: an intent that was written before the provider is called, and how it was settled."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from tidyllm.core import AttemptFinished
from tidyllm.money.account import Account
from tidyllm.money.facts import NO_OUTCOME, NOT_SENT, Facts, Outcome, outcome_of
from tidyllm.money.nanos import LARGEST_NANOS, to_nanos

if TYPE_CHECKING:
    from tidyllm.money.ledger import Ledger
    from tidyllm.money.turn import Passed

__all__ = ["LedgerEntry"]


class LedgerEntry:
    """Money set aside in a store. `settle` and `close` return at once: the ledger writes it with the next batch."""

    __slots__ = (
        "_ledger",
        "amount",
        "answer",
        "booked",
        "closed",
        "cost",
        "counted",
        "facts",
        "id",
        "outcome",
        "passed",
        "path",
        "priced",
        "saved",
        "until",
        "what",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917 - made for every call
        self,
        ledger: Ledger,
        path: tuple[Account, ...],
        amount: int | None,
        what: str,
        facts: Facts,
        answer: asyncio.Future[LedgerEntry],
        until: float,
    ) -> None:
        self._ledger = ledger
        self.path = path
        self.amount = amount or 0
        self.priced = amount is not None
        self.what = what
        self.facts = facts
        self.answer = answer
        self.until = until
        """Until when it may wait for others to settle (`clock.monotonic()`)."""
        self.id = 0
        """The number of the intent in the ledger, once it is written there."""
        self.booked: tuple[tuple[int, int], ...] = ()
        """The rows of counters that hold the money: account and slot."""
        self.passed: Passed | None = None
        """What was added in Redis."""
        self.closed = False
        self.cost: int | None = None
        self.counted = True
        """Whether it was a call: not, when nothing was sent."""
        self.outcome: Outcome = NO_OUTCOME
        self.saved: int | None = None
        """What the provider's own cache saved, in nano-dollars; below 0 where writing to it cost more."""

    @property
    def doubtful(self) -> bool:
        """Once closed: whether nobody knows what it cost (an answer without a known price is not in doubt)."""
        return self.cost is None and (self.priced or self.outcome.error is not None)

    async def settle(self, cost_usd: Decimal | None) -> None:
        """Say what it cost; None: not known, the amount set aside stays in doubt and counts as spent."""
        self._close(cost_usd, NO_OUTCOME, counted=True)

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None = None) -> None:
        """As `settle`, with how the attempt ended; `ended=None`: nothing was sent."""
        if ended is None and cost_usd == 0:
            self._close(cost_usd, NOT_SENT, counted=False)
        else:
            if ended is not None and not self.closed:
                self.saved = _saved(ended.attributes.get("cache_saved_usd"))
            self._close(cost_usd, outcome_of(ended), counted=True)

    def _close(self, cost_usd: Decimal | None, outcome: Outcome, *, counted: bool) -> None:
        if self.closed:
            return
        self.closed = True
        self.counted = counted
        self.outcome = outcome
        if cost_usd is not None:
            self.cost = min(to_nanos(cost_usd), LARGEST_NANOS) if cost_usd.is_finite() and cost_usd > 0 else 0
        self._ledger.post(self)


def _saved(usd: object) -> int | None:
    """Nano-dollars, rounded down: savings are not made larger than they are."""
    if not isinstance(usd, Decimal) or not usd.is_finite():
        return None
    return max(-LARGEST_NANOS, min(-to_nanos(-usd), LARGEST_NANOS))
