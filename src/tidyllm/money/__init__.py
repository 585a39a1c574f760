"""Money: caps that hold with any number of tasks and processes, and books in which no call is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidyllm.lazy import lazily
from tidyllm.money.budget import Budget
from tidyllm.money.budgeted import Budgeted
from tidyllm.money.till import Standing
from tidyllm.money.window import Window

if TYPE_CHECKING:
    from tidyllm.money.ledger import Ledger

__all__ = ["Budget", "Budgeted", "Ledger", "Standing", "Window"]

_HOMES = {"tidyllm.money.ledger": ("Ledger",)}
# The ledger brings SQLAlchemy, which a budget of one process does not need.
__getattr__, __dir__ = lazily(__name__, _HOMES)
