"""What one turn of an event loop changes of the counters in Redis, summed by accounts. It decides and sends nothing."""

from __future__ import annotations

from typing import Any

from tidyllm.money.account import Account

__all__ = ["Added", "Passed", "Turn"]


class Passed:
    """The amount that was added, or is about to be, under some keys and slots."""

    __slots__ = ("added", "amount", "cost", "keys", "slots")

    def __init__(self, keys: tuple[str, ...], slots: tuple[int, ...], amount: int) -> None:
        self.keys = keys
        self.slots = slots
        self.amount = amount
        self.added: bool | None = True
        """None: Redis has not said yet."""
        self.cost: int | None = None
        """What was spent, where that is known before Redis has said."""


class Added:
    """Amounts that are added to the same accounts together, or are not; for whom nobody waits."""

    __slots__ = ("arguments", "keys", "now", "passed", "path", "slots")

    def __init__(
        self,
        path: tuple[Account, ...],
        keys: tuple[str, ...],
        slots: tuple[int, ...],
        arguments: list[Any],
        now: float,
    ) -> None:
        self.path = path
        self.keys = keys
        self.slots = slots
        self.arguments = arguments
        """Of the script; the first is the sum."""
        self.now = now
        self.passed: list[Passed] = []


class Turn:
    """What came since the last script was sent: by path what is added; by keys and slots what is given back, and how
    much of it was spent."""

    __slots__ = ("added", "left")

    def __init__(self) -> None:
        self.added: dict[tuple[Account, ...], Added] = {}
        self.left: dict[tuple[tuple[str, ...], tuple[int, ...]], tuple[int, int]] = {}
