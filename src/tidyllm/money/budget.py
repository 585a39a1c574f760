"""A budget: a node of the tree and the way up to the root, ready to stand in a context. It keeps no counters."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

from tidyllm.core import AttemptFinished, AttemptStarted, Booking, Reservation
from tidyllm.core import Budget as AnyBudget
from tidyllm.errors import ConfigError
from tidyllm.money.account import Account, path_of
from tidyllm.money.local import LOCAL
from tidyllm.money.nanos import Dollars, to_nanos
from tidyllm.money.till import Entry, Standing, Till

if TYPE_CHECKING:
    from tidyllm.money.ledger import Ledger

__all__ = ["WAIT_SECONDS", "Budget", "Stacked", "under"]

WAIT_SECONDS = 10.0
"""How long a call waits for others to settle, by default: most calls under way end within it."""

_unnamed = 0


class Budget:
    """A cap on what may be spent below here.

    - `limit_usd`: US dollars; None: no cap, calls are only counted (and written down, with a ledger).
    - `window`: `none`, `day`, `week`, `month` (of the calendar, UTC) or `rolling:SECONDS`.
    - `name`: who it is of: `org:acme`, `team:search`, `key:ID`, `run:ID`. With a ledger it is the identity: all
      processes that name the same account share it.
    - `soft_usd`: crossing it is logged once a window.
    - `parent`: money is set aside here and in all budgets above, or in none.
    - `ledger`: keeps counters and books in a store; default: the parent's, else in memory, for this process.
    - `wait_seconds`: when the reserved money of calls under way, and nothing else, is in the way, wait so long for
      them to settle (they reserve the most they can cost and mostly cost less); 0 refuses at once. Default 10: most
      calls end within it. A refusal that waiting cannot change comes at once.

    :raises ConfigError: a limit or the window is not possible, or the parent is kept elsewhere.
    """

    __slots__ = ("account", "path", "till", "wait_seconds")

    def __init__(
        self,
        limit_usd: Dollars | None,
        window: str = "none",
        *,
        name: str | None = None,
        soft_usd: Dollars | None = None,
        parent: Budget | None = None,
        ledger: Ledger | None = None,
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        if not 0 <= wait_seconds <= 3600:
            raise ConfigError(f"{wait_seconds!r} is not from 0 to 3600 seconds.", where="Budget.wait_seconds")
        till: Till = ledger or (parent.till if parent is not None else LOCAL)
        if name is None and till is not LOCAL:
            raise ConfigError(
                "a budget in a ledger needs a name that stays the same.",
                where="Budget.name",
                hint="Name whose it is: name='team:search'.",
            )
        self.account = Account(
            _next_name() if name is None else name,
            limit_usd,
            window,
            soft_usd=soft_usd,
            parent=None if parent is None else parent.account,
        )
        if parent is not None and parent.till is not till:
            raise ConfigError(
                f"budget {self.account.name!r} and its parent {parent.name!r} are kept in different places.",
                where="Budget.parent",
                hint="Give both the same ledger; a Budgeted inside another one may mix them.",
            )
        self.till = till
        self.path = path_of(self.account)
        if len({account.name for account in self.path}) < len(self.path):
            raise ConfigError(f"{self.account.name!r} stands above itself.", where="Budget.parent")
        self.wait_seconds = wait_seconds

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.account.name

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Entry:
        """Set the most that an attempt can cost aside, here and above.

        :raises BudgetExceeded: it does not fit; the error says limit, spent, reserved and when the window rolls.
        :raises PriceUnknown: the price is unknown, and something on the way up has a limit.
        """
        amount = None if at_most_usd is None else to_nanos(at_most_usd)
        return await self.till.take(self.path, amount, what, None, self.wait_seconds)

    async def book(self, at_most_usd: Decimal | None, attempt: AttemptStarted) -> Entry:
        """As `reserve`, for an attempt of which the ledger is told."""
        amount = None if at_most_usd is None else to_nanos(at_most_usd)
        what = f"{attempt.target}/{attempt.model}"
        return await self.till.take(self.path, amount, what, attempt, self.wait_seconds)

    async def standing(self) -> Standing:
        """How this very budget stands now: limit, spent, reserved, left."""
        return await self.till.standing(self.account)

    def under(self, outer: AnyBudget) -> AnyBudget:
        """This budget with `outer` in force as well."""
        if not isinstance(outer, Budget):
            return Stacked(self, outer)
        names = {account.name for account in self.path}
        more = tuple(account for account in outer.path if account.name not in names)
        if not more:
            return self
        if outer.till is not self.till:
            return Stacked(self, outer)
        both = Budget.__new__(Budget)
        both.account, both.till, both.wait_seconds = self.account, self.till, self.wait_seconds
        both.path = (*self.path, *more)
        return both

    def __repr__(self) -> str:
        return f"<Budget {' < '.join(account.name for account in self.path)}>"


class Stacked:
    """Two budgets that are kept in different places: the inner one is asked first, both must agree."""

    def __init__(self, inner: AnyBudget, outer: AnyBudget) -> None:
        self.inner = inner
        self.outer = outer

    async def reserve(self, at_most_usd: Decimal | None, *, what: str) -> Entry:
        """:raises TidyllmError: one of them says no; the other one has its money back."""
        inner = _Posted.of(await self.inner.reserve(at_most_usd, what=what))
        try:
            outer = _Posted.of(await self.outer.reserve(at_most_usd, what=what))
        except BaseException:
            inner.close(Decimal(0), None)
            raise
        return _Both(inner, outer)

    async def book(self, at_most_usd: Decimal | None, attempt: AttemptStarted) -> Entry:
        """As `reserve`."""
        inner = await _book(self.inner, at_most_usd, attempt)
        try:
            outer = await _book(self.outer, at_most_usd, attempt)
        except BaseException:
            inner.close(Decimal(0), None)
            raise
        return _Both(inner, outer)

    def __repr__(self) -> str:
        return f"<Stacked {self.inner!r} within {self.outer!r}>"


class _Both:
    """Money set aside in two places."""

    def __init__(self, *entries: Booking) -> None:
        self._entries = entries

    async def settle(self, cost_usd: Decimal | None) -> None:
        for entry in self._entries:
            await entry.settle(cost_usd)

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None = None) -> None:
        for entry in self._entries:
            entry.close(cost_usd, ended)


_settling: set[asyncio.Future[None]] = set()


class _Posted:
    """A reservation of someone who keeps no books: closed by a task of its own."""

    def __init__(self, reservation: Reservation) -> None:
        self._reservation = reservation

    @classmethod
    def of(cls, reservation: Reservation) -> Booking:
        """The reservation itself where it can be closed."""
        return reservation if hasattr(reservation, "close") else cls(reservation)  # pyright: ignore[reportReturnType]

    async def settle(self, cost_usd: Decimal | None) -> None:
        await self._reservation.settle(cost_usd)

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None = None) -> None:
        task = asyncio.ensure_future(self.settle(cost_usd))
        _settling.add(task)
        task.add_done_callback(_settling.discard)


async def _book(budget: AnyBudget, at_most_usd: Decimal | None, attempt: AttemptStarted) -> Booking:
    book = getattr(budget, "book", None)
    if book is not None:
        return await book(at_most_usd, attempt)
    return _Posted.of(await budget.reserve(at_most_usd, what=f"{attempt.target}/{attempt.model}"))


def under(inner: AnyBudget, outer: AnyBudget | None) -> AnyBudget:
    """`inner`, with what is in force already still in force."""
    if outer is None:
        return inner
    join = getattr(inner, "under", None)
    return Stacked(inner, outer) if join is None else join(outer)


def _next_name() -> str:
    global _unnamed  # noqa: PLW0603 - a number for each, so that two are never taken for one
    _unnamed += 1
    return f"budget {_unnamed}"
