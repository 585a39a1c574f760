"""Budgets of one process: counters in memory. It knows no store, and forgets everything when the process ends."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

from tidyllm import clock
from tidyllm.core import AttemptFinished, AttemptStarted
from tidyllm.errors import BudgetExceeded
from tidyllm.money.account import Account, Held, exceeded, judge
from tidyllm.money.nanos import from_nanos, to_nanos
from tidyllm.money.till import Standing, priced, tell_soft

__all__ = ["LOCAL", "LocalTill", "free_at"]


class _Waiting:
    """Someone who waits until calls under way settle."""

    __slots__ = ("amount", "answer", "loop", "path", "what")

    def __init__(self, path: tuple[Account, ...], amount: int, what: str) -> None:
        self.path = path
        self.amount = amount
        self.what = what
        self.loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[LocalEntry | BudgetExceeded] = self.loop.create_future()

    def tell(self, answer: LocalEntry | BudgetExceeded) -> None:
        """From any thread."""
        try:
            self.loop.call_soon_threadsafe(self._set, answer)
        except RuntimeError:  # his loop is closed: nobody will use the money
            _give_back(answer)

    def _set(self, answer: LocalEntry | BudgetExceeded) -> None:
        if self.answer.done():
            _give_back(answer)
        else:
            self.answer.set_result(answer)


class LocalTill:
    """Counters in the accounts themselves; safe to use from several threads and event loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    async def take(
        self,
        path: tuple[Account, ...],
        amount: int | None,
        what: str,
        attempt: AttemptStarted | None,
        wait: float,
    ) -> LocalEntry:
        """As `Till.take`. What it writes down of `attempt` is nothing."""
        asked = priced(path, amount, what)
        with self._lock:
            answer = self._try(path, asked, what, may_wait=wait > 0)
            if answer is None:
                waiting = _Waiting(path, asked, what)
                self._waiting.append(waiting)
            elif isinstance(answer, LocalEntry):
                return answer
            else:
                raise answer
        timer = clock.call_later(wait, lambda: self._give_up(waiting))
        try:
            answer = await waiting.answer
        except asyncio.CancelledError:
            if waiting.answer.done() and not waiting.answer.cancelled():
                _give_back(waiting.answer.result())
            raise
        finally:
            timer.cancel()
            with self._lock:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)
        if isinstance(answer, BudgetExceeded):
            raise answer
        return answer

    async def standing(self, account: Account) -> Standing:
        """How it stands now."""
        now = clock.now()
        with self._lock:
            held = _held(account, now)
        return Standing(
            account.name,
            None if account.limit is None else from_nanos(account.limit),
            from_nanos(held.spent),
            from_nanos(held.reserved),
            str(account.window),
            account.window.ends(account.window.slot(now)),
        )

    def put_back(self, entry: LocalEntry, cost: int | None) -> None:
        """Settle what was set aside; None: it stays in doubt, and counts as spent."""
        with self._lock:
            if entry.closed:
                return
            entry.closed = True
            for account, slot in entry.booked:
                counter = account.slots.get(slot)
                if counter is not None:
                    counter[0] += entry.amount if cost is None else cost
                    counter[1] -= entry.amount
            self._serve()

    def _serve(self) -> None:
        """Give money to those who wait, in order, where it fits now."""
        left: list[_Waiting] = []
        for waiting in self._waiting:
            answer = self._try(waiting.path, waiting.amount, waiting.what, may_wait=True)
            if answer is None:
                left.append(waiting)
            else:
                waiting.tell(answer)
        self._waiting = left

    def _give_up(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                answer = self._try(waiting.path, waiting.amount, waiting.what, may_wait=False)
                assert answer is not None
                waiting.tell(answer)

    def _try(
        self, path: tuple[Account, ...], amount: int, what: str, *, may_wait: bool
    ) -> LocalEntry | BudgetExceeded | None:
        """The money, why not, or None: wait."""
        now = clock.now()
        later = False
        for account in path:
            held = _held(account, now)
            verdict = judge(account, held, amount)
            if verdict == "refuse" or (verdict == "wait" and not may_wait):
                return exceeded(account, held, amount, what, free_at(account, _spent(account), amount, held))
            later = later or verdict == "wait"
        if later:
            return None
        booked = tuple((account, account.window.slot(now)) for account in path)
        for account, slot in booked:
            account.slots.setdefault(slot, [0, 0])[1] += amount
            if account.soft is not None:
                tell_soft(account, _held(account, now), slot)
        return LocalEntry(self, booked, amount)


class LocalEntry:
    """Money set aside in memory."""

    __slots__ = ("_till", "amount", "booked", "closed")

    def __init__(self, till: LocalTill, booked: tuple[tuple[Account, int], ...], amount: int) -> None:
        self._till = till
        self.booked = booked
        self.amount = amount
        self.closed = False

    async def settle(self, cost_usd: Decimal | None) -> None:
        """Say what it cost; None: not known, it counts as spent for good."""
        self.close(cost_usd)

    def close(self, cost_usd: Decimal | None, ended: AttemptFinished | None = None) -> None:
        """As `settle`, without a wait."""
        self._till.put_back(self, None if cost_usd is None else to_nanos(cost_usd))


def _give_back(answer: LocalEntry | BudgetExceeded) -> None:
    if isinstance(answer, LocalEntry):
        answer.close(Decimal(0))


def _held(account: Account, now: float) -> Held:
    """What counts now; slots that no longer do are dropped."""
    first = account.window.first(now)
    spent = reserved = 0
    gone: list[int] | None = None
    for slot, counter in account.slots.items():
        if slot >= first:
            spent += counter[0]
            reserved += counter[1]
        elif gone is None:
            gone = [slot]
        else:
            gone.append(slot)
    for slot in gone or ():
        del account.slots[slot]
    return Held(spent, reserved)


def _spent(account: Account) -> dict[int, int]:
    return {slot: sum(counter) for slot, counter in account.slots.items()}


def free_at(account: Account, by_slot: dict[int, int], amount: int, held: Held) -> float | None:
    """When the window has moved on so far that `amount` fits; None: never by itself."""
    limit = account.limit
    if limit is None or amount > limit:
        return None
    over = held.spent + held.reserved + amount - limit
    for slot in sorted(by_slot):
        over -= by_slot[slot]
        if over <= 0:
            return account.window.ends(slot)
    return account.window.ends(account.window.slot(clock.now()))


LOCAL = LocalTill()
"""The till of all budgets without a store."""
