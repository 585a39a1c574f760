"""One node of the tree of budgets: a name, a limit, a window. It moves no money.

The decision whether an amount fits is a pure function of the counters, the same for all places that keep them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from tidyllm import clock
from tidyllm.errors import BudgetExceeded, ConfigError
from tidyllm.money.nanos import MOST_NANOS, Dollars, limit_nanos, shown_usd
from tidyllm.money.window import Window

__all__ = ["Account", "Held", "Verdict", "exceeded", "judge", "path_of"]

Verdict: TypeAlias = Literal["fits", "wait", "refuse"]

_LONGEST_NAME = 200


class Held(NamedTuple):
    """What counts against a limit now, in nano-dollars."""

    spent: int
    """Settled, and what is in doubt."""
    reserved: int
    """Set aside for calls under way."""


class Account:
    """A place in the tree: organisation, team, key, run. Compared by identity.

    - `limit_usd`: the cap; None for no cap (it only counts, and takes calls of unknown price).
    - `soft_usd`: crossing it is told once a window, and stops nothing.

    :raises ConfigError: a limit is negative, not finite or no dollars, or the window is unknown.
    """

    __slots__ = ("__weakref__", "id", "limit", "name", "parent", "slots", "soft", "told", "window")

    def __init__(
        self,
        name: str,
        limit_usd: Dollars | None,
        window: str = "none",
        *,
        soft_usd: Dollars | None = None,
        parent: Account | None = None,
    ) -> None:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise ConfigError(
                f"{name[: _LONGEST_NAME + 1]!r} is no name; expected 1 to {_LONGEST_NAME} printable characters.",
                where="Budget.name",
            )
        self.name = name
        self.limit = None if limit_usd is None else limit_nanos("Budget.limit_usd", limit_usd)
        self.soft = None if soft_usd is None else limit_nanos("Budget.soft_usd", soft_usd)
        if self.soft is not None and self.limit is not None and self.soft > self.limit:
            raise ConfigError(
                f"{soft_usd!r} is above limit_usd={limit_usd!r}; a soft limit warns before the hard one stops.",
                where="Budget.soft_usd",
            )
        self.window = Window.parse(window, where="Budget.window")
        self.parent = parent
        self.id = 0
        """Its row in the store, once it is known there."""
        self.slots: dict[int, list[int]] = {}
        """Spent and reserved by slot, where this process alone keeps them."""
        self.told: int | None = None
        """The slot in which crossing the soft limit was told."""

    def __repr__(self) -> str:
        return f"<Account {self.name!r}>"


def path_of(account: Account) -> tuple[Account, ...]:
    """The account and all above it, the lowest first."""
    path: list[Account] = []
    at: Account | None = account
    while at is not None:
        path.append(at)
        at = at.parent
    return tuple(path)


def judge(account: Account, held: Held, amount: int) -> Verdict:
    """Whether `amount` more fits. `wait`: it would, if calls under way turn out cheaper than was set aside."""
    limit = MOST_NANOS if account.limit is None else account.limit
    if held.spent + held.reserved + amount <= limit:
        return "fits"
    return "wait" if held.spent + amount <= limit and held.reserved > 0 else "refuse"


def exceeded(account: Account, held: Held, amount: int, what: str, free_at: float | None) -> BudgetExceeded:
    """The refusal in words. `free_at`: when enough of the window has passed, in seconds since 1970."""
    now = clock.now()
    return BudgetExceeded(
        account.name,
        what=what,
        asked_usd=shown_usd(amount),
        limit_usd=shown_usd(MOST_NANOS if account.limit is None else account.limit),
        spent_usd=shown_usd(held.spent),
        reserved_usd=shown_usd(held.reserved),
        window=str(account.window),
        window_ends_at=free_at,
        retry_after=None if free_at is None else max(free_at - now, 0.0),
    )
