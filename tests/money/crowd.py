"""Processes that spend from one budget, and the provider they call: started, killed, and compared afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from tests.shared_data import ROOT
from tidyllm.money.recovery import recover
from tidyllm.money.verify import Verified, verify
from tidyllm.store import Store

__all__ = ["Crowd", "crowd"]

SECONDS = 300


class Crowd:
    """One store, one provider, and whoever spends."""

    def __init__(self, folder: Path, store: str, redis: str, limit: str) -> None:
        self.folder, self.url, self.redis, self.limit = folder, store, redis, limit
        self.provider = self._start("tests.money.provider", str(folder))
        _until((folder / "port").exists)
        self.port = (folder / "port").read_text()
        self.store = Store.open(store)

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL)

    def spender(self, tasks: int, seed: int) -> subprocess.Popen[bytes]:
        """A process with so many tasks."""
        return self._start(
            "tests.money.spender",
            self.url,
            self.redis,
            self.port,
            self.limit,
            str(tasks),
            str(seed),
            str(self.folder),
        )

    def spend(self, processes: int, tasks: int) -> list[int]:
        """Until the budget is used up; returns the exit statuses."""
        running = [self.spender(tasks, seed) for seed in range(processes)]
        try:
            return [one.wait(SECONDS) for one in running]
        finally:
            for one in running:
                one.kill()
                one.wait()

    def kill_when_busy(self, tasks: int, seed: int, calls: int) -> None:
        """Start one, and kill it when the provider has had `calls` more calls since it began to spend."""
        begun = self.folder / f"spending-{seed}"
        one = self.spender(tasks, seed)
        try:
            _until(begun.exists)
            before = self.called()
            _until(lambda: self.called() - before >= calls or one.poll() is not None)
        finally:
            one.send_signal(signal.SIGKILL)
            one.wait()

    def called(self) -> int:
        """How many calls the provider has had, roughly: whoever is quick need not read them all."""
        calls = self.folder / "calls"
        return calls.stat().st_size // 20 if calls.exists() else 0

    def calls(self) -> dict[int, int]:
        """What the provider wrote down: nano-dollars by the call's span, as the ledger has it."""
        lines = [line.split() for line in (self.folder / "calls").read_text().splitlines()]
        spans = Counter(span for span, _ in lines)
        assert max(spans.values()) == 1, "a span was used for two calls"
        return {_signed(int(span, 16)): int(cost) for span, cost in lines}

    def recovered(self) -> int:
        """As a process that starts now would: what the dead left open is in doubt."""
        return self.store.write_sync(lambda connection: recover(connection, None))

    def verified(self) -> Verified:
        """The ledger, all of it."""
        return self.store.read_sync(verify)

    def ends(self) -> dict[int, tuple[int, int | None]]:
        """How each call ended in the ledger, by span: the last word on it (1: settled, 2: in doubt), and its cost."""

        def read(connection: Connection) -> dict[int, tuple[int, int | None]]:
            rows = connection.exec_driver_sql(
                "SELECT i.span_id, s.kind, s.cost_nanos FROM ledger AS i JOIN ledger AS s ON s.entry = i.entry"
                " AND s.kind IN (1, 2) WHERE i.kind = 0 ORDER BY s.kind DESC"
            )
            return {span: (kind, cost) for span, kind, cost in rows}

        return self.store.read_sync(read)

    def held(self) -> dict[str, tuple[int, int]]:
        """Spent (with what is in doubt) and reserved, by account, over all slots."""

        def read(connection: Connection) -> dict[str, tuple[int, int]]:
            rows = connection.exec_driver_sql(
                "SELECT name, CAST(SUM(spent_nanos + doubt_nanos) AS BIGINT), CAST(SUM(reserved_nanos) AS BIGINT)"
                " FROM budget_counters JOIN budgets ON budgets.id = budget_counters.budget_id GROUP BY name"
            )
            return {name: (spent, reserved) for name, spent, reserved in rows}

        return self.store.read_sync(read)

    def close(self) -> None:
        """End the provider."""
        self.provider.terminate()
        self.provider.wait()
        self.store.close()


@contextmanager
def crowd(folder: Path, store: str, redis: str = "-", *, limit: str) -> Generator[Crowd]:
    """A crowd, ended with the block."""
    one = Crowd(folder, store, redis, limit)
    try:
        yield one
    finally:
        one.close()


def _signed(span: int) -> int:
    return span - (1 << 64) if span >> 63 else span


def _until(true: object) -> None:
    assert callable(true)
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
