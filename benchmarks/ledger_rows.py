"""A ledger of ten million rows on SQLite: how long reports take, and how large it is.

It is filled by its own statements, with the hashes and the sums that the gateway would have written, in a temporary
folder that is removed at the end (some 3 GB).
"""

from __future__ import annotations

import gc
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Table
from tidyllm.money.chain import entry_number
from tidyllm.money.row import COLUMNS, GENESIS, INTENT, SETTLEMENT, Row, chained
from tidyllm.money.spend import By, spend
from tidyllm.money.sums import NUMBERS
from tidyllm.store import Store

__all__ = ["fill", "run"]

ROWS = 10_000_000
BATCH = 50_000
DAYS = 365
FIRST = 1_767_225_600
"""2026-01-01."""
KEYS, TEAMS = 100, 20
MODELS = (
    ("openai", "main", "gpt-5.1"), ("openai", "main", "gpt-5-mini"),
    ("anthropic", "claude", "claude-sonnet-4-5"), ("anthropic", "claude", "claude-haiku-4-5"),
)  # fmt: skip
TAGS = tuple(f'{{"env":"{env}","feature":"f{n}"}}' for env in ("prod", "test") for n in range(10))
VERIFIED = 1_000_000
"""Entries whose verification is measured."""

Sums = dict[tuple[Any, ...], list[int]]


def run() -> list[Table]:
    """Fill, report as a process of its own and inside of one, compare with the file's size; then verify."""
    table = Table("ledger_rows", "Ten million ledger rows, SQLite", ("", "seconds"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "books.db"
        began = time.perf_counter()
        fill(path, ROWS // 2)
        table.notes.append(
            f"{ROWS:,} rows ({ROWS // 2:,} calls, an intent and a settlement each, over {DAYS} days, {TEAMS} teams,"
            f" {KEYS} keys, {len(MODELS)} models), filled in {time.perf_counter() - began:.0f} s:"
            f" {path.stat().st_size / 1e9:.2f} GB, {path.stat().st_size / (ROWS / 2) * 1e6 / 1e6:,.0f} MB a million"
            " requests. `tidyllm` commands include the start of Python; the best of three."
        )
        month = ("--since", "2026-06-01", "--until", "2026-07-01")
        for by, span in (
            ("team", month),
            ("team", ()),
            ("key", ()),
            ("model", ()),
            ("day", ()),
            ("route", ()),
        ):
            table.add(f"`tidyllm spend --by {' '.join((by, *span))}`", _command(path, by, *span))
        store = Store.open(path)
        inside: tuple[tuple[By, int | None], ...] = (("team", 30), ("team", None), ("tag", 1), ("tag", 30))
        for what, days in inside:
            shown = "all" if days is None else f"{days} days"
            table.add(f"in process: by {what}, {shown}", _within(store, what, days))
        store.close()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "books.db"
        fill(path, VERIFIED)
        seconds, before, after = _verified(path)
        table.add(f"`verify` of {VERIFIED:,} entries", seconds)
        table.notes.append(
            f"`verify` took {after - before:,.0f} MB of memory above the {before:,.0f} before it."
        )
    return [table]


def _command(path: Path, by: str, *span: str) -> float:
    command = [sys.executable, "-m", "tidyllm", "spend", "--by", by, *span, "--store", str(path)]
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        best = min(best, time.perf_counter() - began)
    return best


def _within(store: Store, by: By, days: int | None) -> float:
    since = None if days is None else FIRST + 100 * 86_400.0
    until = None if since is None or days is None else since + days * 86_400
    began = time.perf_counter()
    store.read_sync(lambda connection: spend(connection, by, since=since, until=until))
    return time.perf_counter() - began


_VERIFY = """
import sys, time
from tidyllm.money.verify import verify
from tidyllm.store import Store

def most():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

store = Store.open(sys.argv[1])
before, began = most(), time.perf_counter()
found = store.read_sync(verify)
print(time.perf_counter() - began, before / 1e3, most() / 1e3, found.entries, *found.problems)
"""


def _verified(path: Path) -> tuple[float, float, float]:
    """Seconds, and peak memory in MB before and after, in a process that does nothing else."""
    command = [sys.executable, "-c", _VERIFY, str(path)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if told[3:] != [str(VERIFIED)]:
        raise RuntimeError(f"the ledger that was made is not whole: {' '.join(told[3:])}")
    return float(told[0]), float(told[1]), float(told[2])


def fill(path: Path, calls: int) -> None:
    """A new store at `path` with so many settled calls, evenly over the days."""
    Store.open(path).close()
    gc.disable()  # millions of rows, and no circle among them
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-400000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    days: Sums = {}
    counters: Sums = {}
    names = (*COLUMNS, "hash")
    insert = f"INSERT INTO ledger ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    rows: list[Row] = []
    head, seq = GENESIS, 0
    for row in _rows(calls, days, counters):
        head, seq = chained(head, row), row[1]
        rows.append((*row, head))
        if len(rows) == BATCH:
            connection.executemany(insert, rows)
            rows.clear()
    connection.executemany(insert, rows)
    end = float(FIRST + DAYS * 86_400)
    connection.execute(
        "INSERT INTO ledger_writers VALUES (1, 'benchmark', 'here', 1, '', ?, ?, ?, ?, ?, ?, ?)",
        (float(FIRST), end, end, end, seq, seq + 1, head),
    )
    columns = ("day", "team", "key_id", "target", "model", "route", *NUMBERS)
    connection.executemany(
        f"INSERT INTO spend_daily ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
        sorted((*key, *sums) for key, sums in days.items()),
    )
    connection.executemany(
        "INSERT INTO budgets (id, name, window, changed_at) VALUES (?, ?, 'none', 0)",
        [(account, f"account {account}") for account in sorted({account for account, _ in counters})],
    )
    connection.executemany(
        "INSERT INTO budget_counters VALUES (?, ?, ?, 0, 0)",
        [(*place, spent) for place, (spent,) in counters.items()],
    )
    connection.execute("COMMIT")
    connection.close()
    gc.enable()


def _rows(calls: int, days: Sums, counters: Sums) -> Iterator[Row]:
    """Rows without their hash; what they add to the sums is added there."""
    draw = random.Random(7)
    step = DAYS * 86_400 / calls
    places = [NUMBERS.index(name) for name in ("calls", "cost_nanos", "input_tokens", "output_tokens")]
    for number in range(calls):
        seq, at = 2 * number + 1, FIRST + number * step
        entry = entry_number(1, seq)
        key, into, out = draw.randrange(KEYS), draw.randrange(100, 4_000), draw.randrange(10, 800)
        provider, target, model = MODELS[number % 4]
        route, team = ("fast" if number % 2 else "premium"), f"team-{key % TEAMS}"
        cost, name = into * 1_250 + out * 10_000, f"key{key:09d}"
        booked = f"{key + 2}:0,1:0"
        run_id = int(at * 1000).to_bytes(6, "big") + draw.randbytes(10)
        span_id = draw.getrandbits(63)
        yield (
            1, seq, INTENT, entry, at, run_id, span_id, provider, target, model, route, name, team,
            TAGS[number % len(TAGS)], booked, 2 * cost, None, None, None, None, None, None, None, None, None, None,
        )  # fmt: skip
        yield (
            1, seq + 1, SETTLEMENT, entry, at + 0.9, None, None, None, None, None, None, None, None, None, None,
            2 * cost, cost, None, into, out, None, None, None, f"req_{span_id:024x}", 200, None,
        )  # fmt: skip
        sums = days.setdefault(
            (int((at + 0.9) // 86_400), team, name, target, model, route), [0] * len(NUMBERS)
        )
        for place, more in zip(places, (1, cost, into, out), strict=True):
            sums[place] += more
        for account in (key + 2, 1):
            counters.setdefault((account, 0), [0])[0] += cost
