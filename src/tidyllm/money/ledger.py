"""The ledger: an intent before a provider is called, a settlement after it, for good. It knows no prices.

Whoever asks for money is answered once his intent is on disk; whoever settles does not wait. All that comes while a
batch is being written is the next batch. It is used from any thread and any event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tidyllm import clock
from tidyllm.core import AttemptStarted, Context
from tidyllm.errors import BudgetExceeded, StoreDown, TidyllmError
from tidyllm.money.account import Account
from tidyllm.money.chain import WRITER_SHIFT
from tidyllm.money.entry import LedgerEntry
from tidyllm.money.facts import facts_of
from tidyllm.money.gate import Gate
from tidyllm.money.nanos import LARGEST_NANOS, to_nanos
from tidyllm.money.posting import Batch, Hit, Posted
from tidyllm.money.recovery import recover, sign_off
from tidyllm.money.standing import standing_of
from tidyllm.money.till import Standing, priced, tell_soft
from tidyllm.money.verify import Verified, verify
from tidyllm.money.work import Work, answer
from tidyllm.store import Store
from tidyllm.store.shared import SharedState

__all__ = ["Ledger"]

_POLL = 0.025
"""Seconds between two looks at whether other processes have settled, while somebody waits for that."""
_HEARTBEAT = 10.0
"""Seconds between signs of life while calls are under way; four of them missed, and others may take us for dead."""


class Ledger:
    """The books of one store, for this process.

    - `shared`: a Redis that knows the counters as well, and refuses without asking the database.
    - `writer`: a name for people, of this process in the list of writers.

    One process needs one ledger per store; several do no harm.
    """

    def __init__(self, store: Store, *, shared: SharedState | None = None, writer: str = "") -> None:
        self.store = store
        self.gate = None if shared is None else Gate(shared, store)
        self.name = writer or f"pid {os.getpid()}"
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self.writer: int | None = None
        """The number of this process as a writer; None before its first row."""
        self._closes: list[LedgerEntry] = []
        self._asks: list[LedgerEntry] = []
        self._waiting: list[LedgerEntry] = []
        self._hits: list[Hit] = []
        self._open: dict[int, None] = {}
        self._queued = False
        self._posted = False
        self._soon: set[asyncio.AbstractEventLoop] = set()
        self._beating: asyncio.AbstractEventLoop | None = None
        self._polling = False
        self._recovered = False
        self._put_again = 0

    # -- asking and settling

    async def take(
        self,
        path: tuple[Account, ...],
        amount: int | None,
        what: str,
        attempt: AttemptStarted | None,
        wait: float,
    ) -> LedgerEntry:
        """Set money aside in all accounts of `path` and write the intent, or do neither; see `Till.take`.

        :raises BudgetExceeded, PriceUnknown: as `Till.take` says.
        :raises StoreDown: the intent cannot be written, so the call must not be made.
        """
        priced(path, amount, what)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[LedgerEntry] = loop.create_future()
        until = clock.monotonic() + wait
        entry = LedgerEntry(self, path, amount, what, facts_of(attempt, path), future, until)
        if self.gate is not None:
            return await self._through(self.gate, entry)
        return await self._ask(entry)

    async def _through(self, gate: Gate, entry: LedgerEntry) -> LedgerEntry:
        """Redis first. Whatever the database says after it, Redis is told."""
        entry.passed = await gate.enter(entry.path, entry.amount, entry.what, entry.until)
        try:
            return await self._ask(entry)
        except BudgetExceeded:
            await gate.forget(entry.path)
            raise
        except BaseException:
            # Unless the money was given back already, which tells Redis as well.
            if entry.passed is not None and not entry.closed:
                gate.leave(entry.passed, 0)
                entry.passed = None
            raise

    async def _ask(self, entry: LedgerEntry) -> LedgerEntry:
        loop, future = entry.answer.get_loop(), entry.answer
        if self._pid != os.getpid():
            self._reset()
        with self._lock:
            self._asks.append(entry)
        if not self._queued and loop not in self._soon:
            # Whoever asks in the same turn of the loop is in the same batch.
            self._soon.add(loop)
            loop.call_soon(self._gathered, loop)
        try:
            return await future
        except asyncio.CancelledError:
            self._leave(entry)
            raise

    async def intent(
        self, attempt: AttemptStarted, at_most_usd: Decimal | None, *accounts: Account, wait: float = 0.0
    ) -> LedgerEntry:
        """Write down that `attempt` is about to be made; `settle` or `close` what this returns, once it ended."""
        amount = None if at_most_usd is None else to_nanos(at_most_usd)
        return await self.take(accounts, amount, f"{attempt.target}/{attempt.model}", attempt, wait)

    def hit(
        self,
        ctx: Context,
        *,
        target: str,
        model: str,
        saved_usd: Decimal | None,
        provider: str = "cache",
        accounts: Iterable[Account] = (),
    ) -> None:
        """Write down that a cache answered, and the dollars that saved (None: unknown). It never waits."""
        facts = facts_of(AttemptStarted(ctx, 0, provider, target, model), tuple(accounts))
        saved = None if saved_usd is None else min(to_nanos(saved_usd), LARGEST_NANOS)
        with self._lock:
            self._hits.append(Hit(facts, saved))
        self._post()

    def post(self, entry: LedgerEntry) -> None:
        """Write a closed entry with the next batch."""
        if entry.passed is not None and self.gate is not None:
            self.gate.leave(entry.passed, entry.amount if entry.cost is None else entry.cost)
        with self._lock:
            self._closes.append(entry)
        self._post()

    async def standing(self, account: Account) -> Standing:
        """How an account stands now, in all processes together."""
        now = clock.now()
        return await self.store.write(lambda connection: standing_of(connection, account, now))

    async def verify(self) -> Verified:
        """Whether the ledger is whole: chains, entries, counters and sums, computed anew from its rows."""
        return await self.store.read(verify)

    async def recover(self) -> int:
        """Mark what dead writers left open as in doubt; returns how many. It happens by itself every ten seconds."""
        return await self.store.write(lambda connection: recover(connection, self.writer))

    async def flush(self) -> None:
        """Return when all that was closed before is on disk."""
        while True:
            again = self._put_again
            future = Work(self, everything=False).submit(self.store)
            await asyncio.shield(asyncio.wrap_future(future))  # who leaves does not take the batch along
            if again == self._put_again:
                return
            # What a batch that failed held was put behind us.

    async def aclose(self) -> None:
        """Write what is left and sign off: calls that are still open are in doubt at once, not after a minute."""
        await self.flush()
        if self.writer is not None:
            number = self.writer
            self.writer = None
            await self.store.write(lambda connection: sign_off(connection, number))

    # -- writing

    def _gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        self._soon.discard(loop)
        if not self._queued:
            self._write(loop)

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        self._queued = True
        work = Work(self, everything=True)
        try:
            work.submit(self.store)
        except TidyllmError as error:
            self.failed(work.pull(), error)
            return
        if self._beating is None or self._beating.is_closed():
            self._beating = loop
            clock.call_later(_HEARTBEAT, lambda: self._beat(loop))

    def _post(self) -> None:
        """What nobody waits for: with the next batch if one is coming, else soon."""
        if self._queued or self._posted:
            return
        if self._waiting:
            self._again()
            return
        self._posted = True
        work = Work(self, everything=False, yields=True)
        self.store.post(work, lost=work.lost, written=work.written)

    def pull(self, *, everything: bool, yields: bool) -> Batch:
        """Everything that is to be written now. In the writer's thread.

        - `everything`: with those who ask. `yields`: nothing, when a batch with those who ask comes right behind.
        """
        with self._lock:
            if yields and self._queued:
                self._posted = False
                return Batch()
            closes, self._closes = self._closes, []
            hits, self._hits = self._hits, []
            asks: list[LedgerEntry] = []
            self._posted = False
            if everything:
                asks, self._asks = self._waiting + self._asks, []
                self._waiting = []
                self._queued = False
        first = next(iter(self._open), None)
        open_from = None if first is None else first & ((1 << WRITER_SHIFT) - 1)
        return Batch(closes, [ask for ask in asks if not ask.answer.done()], hits, open_from)

    def committed(self, batch: Batch, posted: Posted) -> None:
        """A batch is on disk: tell those who asked. In the writer's thread."""
        self.writer = posted.writer
        for account, number in posted.made.items():
            account.id = number
        for entry in batch.closes:
            self._open.pop(entry.id, None)
        if not self._recovered:
            self._recovered = True
            self.store.post(lambda connection: recover(connection, self.writer))
        for account, (held, slot) in posted.crossed.items():
            tell_soft(account, held, slot)
        answers: dict[asyncio.AbstractEventLoop, list[tuple[LedgerEntry, TidyllmError | None]]] = {}
        for entry, number, booked in posted.granted:
            entry.id, entry.booked = number, booked
            self._open[number] = None
            answers.setdefault(entry.answer.get_loop(), []).append((entry, None))
        for entry, error in posted.refused:
            answers.setdefault(entry.answer.get_loop(), []).append((entry, error))
        if waiting := [ask for ask in posted.waiting if not ask.answer.done()]:
            with self._lock:
                self._waiting += waiting
            self._poll()
        self._tell(answers)

    def failed(self, batch: Batch, error: BaseException) -> None:
        """A batch could not be written: who asked is refused, what was to be settled is kept until it can be.

        Unless the database is away, one of them is at fault: then each is written alone, and only that one fails.
        """
        if not isinstance(error, StoreDown) and batch.apart():
            self.lost(batch, error)
            return
        self._refuse(batch.asks, error)
        if batch.closes or batch.hits:
            self._put(Batch(batch.closes, [], batch.hits, batch.later))

    def lost(self, batch: Batch, error: BaseException) -> None:
        """A batch could not be written, and what is not at fault still can be."""
        if not isinstance(error, StoreDown):
            for part in batch.apart():
                self._put(part)

    def give_up(self, batch: Batch, error: BaseException) -> None:
        """A batch cannot be written now: who asked is refused. The rest of it is written when that can be.

        If it turns out that all of it was on disk, what was set aside for them is given back.
        """
        asks, batch.asks = batch.asks, []
        batch.open_from = batch.later
        self._refuse(asks, error)

    def _put(self, batch: Batch) -> None:
        work = Work(self, everything=bool(batch.asks), batch=batch)
        try:
            if batch.asks:
                work.submit(self.store)
            else:
                self.store.post(work, lost=work.lost, written=work.written)
        except TidyllmError as error:  # closed: open calls are in doubt for whoever recovers this writer
            self._refuse(batch.asks, error)
        with self._lock:
            self._put_again += 1  # after it: whoever flushes looks at it first

    def _refuse(self, asks: list[LedgerEntry], error: BaseException) -> None:
        answers: dict[asyncio.AbstractEventLoop, list[tuple[LedgerEntry, BaseException | None]]] = {}
        for entry in asks:
            answers.setdefault(entry.answer.get_loop(), []).append((entry, error))
        self._tell(answers)

    def _tell(self, answers: dict[asyncio.AbstractEventLoop, list[Any]]) -> None:
        for loop, list_ in answers.items():
            try:
                loop.call_soon_threadsafe(answer, list_)
            except RuntimeError:  # the loop is closed: nobody will make these calls
                for entry, error in list_:
                    if error is None:
                        entry.close(Decimal(0))

    def _leave(self, entry: LedgerEntry) -> None:
        """Whoever asked was cancelled. If the money is his already it goes back; else `_answer` gives it back."""
        with self._lock:
            for queue in (self._asks, self._waiting):
                if entry in queue:
                    queue.remove(entry)
        if entry.answer.done() and not entry.answer.cancelled() and entry.answer.exception() is None:
            entry.close(Decimal(0))

    # -- timers

    def _poll(self) -> None:
        """Look again soon: other processes settle without telling us."""
        if self._polling:
            return
        for entry in tuple(self._waiting):
            try:
                entry.answer.get_loop().call_soon_threadsafe(self._arm)
            except RuntimeError:
                continue
            self._polling = True
            return

    def _arm(self) -> None:
        clock.call_later(_POLL, self._again)

    def _again(self) -> None:
        self._polling = False
        if self._waiting and not self._queued:
            with self._lock:
                loops: Iterable[asyncio.AbstractEventLoop] = [one.answer.get_loop() for one in self._waiting]
            for loop in loops:
                self._write(loop)
                return

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """A sign of life, and a look at those who gave none."""
        if not self._open and not self._waiting:
            self._beating = None
            return
        self.store.post(lambda connection: recover(connection, self.writer))
        clock.call_later(_HEARTBEAT, lambda: self._beat(loop))
