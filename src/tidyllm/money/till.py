"""Where money is set aside: the protocol, and what all tills share. It keeps no counters itself."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Protocol

import msgspec

from tidyllm import clock
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.errors import BudgetExceeded, PriceUnknown
from tidyllm.money.account import Account, Held
from tidyllm.money.nanos import LARGEST_NANOS, shown_usd

__all__ = ["Entry", "Standing", "Till", "priced", "tell_soft"]


class Entry(Protocol):
    """Money set aside for one attempt. Exactly one of `settle` and `close` counts: the first."""

    async def settle(self, cost_usd: Decimal | None) -> None: ...

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None = None) -> None: ...


class Standing(msgspec.Struct, frozen=True):
    """How an account stands in its window now. `limit_usd` is None where there is no cap."""

    name: str
    limit_usd: Decimal | None
    spent_usd: Decimal
    """What is in doubt included."""
    reserved_usd: Decimal
    window: str
    window_ends_at: float | None

    @property
    def left_usd(self) -> Decimal | None:
        """What the next attempt may cost at most."""
        if self.limit_usd is None:
            return None
        return max(self.limit_usd - self.spent_usd - self.reserved_usd, Decimal(0))


class Till(Protocol):
    """Sets money aside over a whole path of the tree at once, or not at all."""

    async def take(
        self,
        path: tuple[Account, ...],
        amount: int | None,
        what: str,
        attempt: AttemptStarted | None,
        wait: float,
    ) -> Entry:
        """Set `amount` nano-dollars aside (None: the price is unknown) in each account of `path`.

        `wait`: seconds to wait for calls under way to settle, while these alone are in the way.

        :raises BudgetExceeded: it does not fit.
        :raises PriceUnknown: the amount is unknown and an account has a limit.
        """
        ...

    async def standing(self, account: Account) -> Standing:
        """How it stands now."""
        ...


def priced(path: tuple[Account, ...], amount: int | None, what: str) -> int:
    """The amount to set aside; 0 for an unknown one, where nothing has a limit.

    :raises PriceUnknown: something has one.
    :raises BudgetExceeded: it is more than any limit can be, so that no books could hold it.
    """
    if amount is None:
        for account in path:
            if account.limit is not None:
                raise PriceUnknown(account.name, what=what)
        return 0
    if amount > LARGEST_NANOS:
        limits = [account for account in path if account.limit is not None]
        by = limits[0] if limits else path[0] if path else None
        raise BudgetExceeded(
            "ledger" if by is None else by.name,
            what=what,
            asked_usd=shown_usd(amount),
            limit_usd=shown_usd(LARGEST_NANOS if by is None or by.limit is None else by.limit),
            spent_usd="0",
            reserved_usd="0",
        )
    return amount


def tell_soft(account: Account, held: Held, slot: int) -> None:
    """Say once a window that the soft limit was crossed."""
    if account.soft is None or account.told == slot or held.spent + held.reserved <= account.soft:
        return
    account.told = slot
    logging.getLogger("tidyllm").warning(
        "budget %r has crossed its soft limit of $%s: $%s spent, $%s reserved, window %s since %d",
        account.name,
        shown_usd(account.soft),
        shown_usd(held.spent),
        shown_usd(held.reserved),
        account.window,
        slot,
        extra={"budget": account.name, "at": clock.now()},
    )
