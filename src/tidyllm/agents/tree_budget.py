"""The cap on dollars of an agent's tree, as a budget of the run: every attempt on the wire below reserves from it.

Without it an agent could only look at what answers said they cost, after the fact. It keeps no books and no store.
"""

from __future__ import annotations

from decimal import Decimal

from tidyllm import clock
from tidyllm.agents.meter import Meter
from tidyllm.core import AttemptFinished, AttemptStarted, Booking, Budget, Reservation
from tidyllm.core.scope import Bookkeeper
from tidyllm.errors import BudgetExceeded, PriceUnknown

__all__ = ["BookedTreeBudget", "TreeBudget", "tree_budget"]

_NONE = Decimal(0)
_WAIT = 0.02
"""Seconds between two looks."""


def tree_budget(meter: Meter, outer: Budget | None) -> TreeBudget:
    """The cap of `meter`, with `outer` still in force."""
    return (
        TreeBudget(meter, outer) if getattr(outer, "book", None) is None else BookedTreeBudget(meter, outer)
    )


class TreeBudget:
    """Asks the meter first, then the budget around it; both must agree."""

    def __init__(self, meter: Meter, outer: Budget | None) -> None:
        self.meter = meter
        self.outer = outer

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Reservation:
        """:raises BudgetExceeded: the cap has no room for it.
        :raises PriceUnknown: there is no telling.
        """
        held = await self._hold(at_most_usd, what)
        outer: Reservation | None = None
        if self.outer is not None:
            try:
                outer = await self.outer.reserve(at_most_usd, what=what)
            except BaseException:
                self.meter.settle_usd(held, _NONE)
                raise
        return _Held(self.meter, held, outer)

    async def _hold(self, at_most_usd: Decimal | None, what: str) -> Decimal:
        meter = self.meter
        if at_most_usd is None:
            raise PriceUnknown(f"agent {meter.name}", what=what)
        while (held := meter.hold_usd(at_most_usd)) is not None and meter.may_have_room(at_most_usd):
            await clock.sleep(
                _WAIT
            )  # calls of agents beside this one are under way, and hold more than they cost
        if held is not None:
            raise BudgetExceeded(
                f"agent {meter.name}",
                what=what,
                asked_usd=str(at_most_usd),
                limit_usd=str(meter.limits.usd),
                spent_usd=str(meter.usd),
                reserved_usd=held,
            )
        return at_most_usd


class BookedTreeBudget(TreeBudget):
    """One within a budget that keeps books: attempts are written down there."""

    async def book(self, at_most_usd: Decimal | None, attempt: AttemptStarted) -> Booking:
        """As `reserve`."""
        held = await self._hold(at_most_usd, attempt.model)
        outer = self.outer
        assert outer is not None
        try:
            book: Bookkeeper = outer  # pyright: ignore[reportAssignmentType] - `tree_budget` looked
            booking = await book.book(at_most_usd, attempt)
        except BaseException:
            self.meter.settle_usd(held, _NONE)
            raise
        return _HeldBooking(self.meter, held, booking)


class _Held:
    def __init__(self, meter: Meter, held: Decimal, outer: Reservation | None) -> None:
        self._meter = meter
        self._held: Decimal | None = held
        self._outer = outer

    async def settle(self, cost_usd: Decimal | None) -> None:
        self._settle(cost_usd)
        if self._outer is not None:
            await self._outer.settle(cost_usd)

    def _settle(self, cost_usd: Decimal | None) -> None:
        held, self._held = self._held, None
        if held is not None:
            # What cannot be known may have cost all that it could.
            self._meter.settle_usd(held, held if cost_usd is None else cost_usd)


class _HeldBooking(_Held):
    def __init__(self, meter: Meter, held: Decimal, outer: Booking) -> None:
        super().__init__(meter, held, outer)
        self._booking = outer

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None) -> None:
        self._settle(cost_usd)
        self._booking.close(cost_usd, ended)
