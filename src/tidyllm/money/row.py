"""One row of the ledger: its columns in order, its hash, and the statements that write it. It decides nothing.

Each writer (a process) numbers its rows from 1 and hashes each together with the hash before it. A row that was taken
out, put in or changed breaks the chain of its writer at that place; rows cut off at the end are missed by the number
and the hash that the writer's own row keeps. The chain shows accidents and careless edits. It is no proof against
someone who may write to the database and computes the whole chain anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec

from tidyllm.money.sql import Sql

__all__ = [
    "COLUMNS",
    "DOUBT",
    "GENESIS",
    "HIT",
    "INTENT",
    "SETTLEMENT",
    "Row",
    "chained",
    "harmless_text",
    "insert_rows",
    "small_number",
]

INTENT, SETTLEMENT, DOUBT, HIT = 0, 1, 2, 3
"""Money set aside before a call; what it cost; that nobody knows what it cost; an answer from a cache."""

COLUMNS = (
    "writer", "seq", "kind", "entry", "at", "run_id", "span_id", "provider", "target", "model", "route", "key_id",
    "team", "tags", "booked", "reserved_nanos", "cost_nanos", "saved_nanos", "input_tokens", "output_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "request_id", "status", "error",
)  # fmt: skip
"""All but the hash, in the order in which they are hashed."""

Row: TypeAlias = tuple[Any, ...]

GENESIS = bytes(16)
"""What stands before the first row of a writer."""

_encode = msgspec.msgpack.Encoder().encode
_ALL = (*COLUMNS, "hash")
_OF_BEGINS = frozenset(COLUMNS[5:15])
"""`run_id` to `booked`: of an intent, which is what a settlement points to."""
_OF_ENDS = frozenset(COLUMNS[16:])
"""`cost_nanos` to `error`."""
_EMPTY = {
    INTENT: _OF_ENDS,
    SETTLEMENT: _OF_BEGINS,
    DOUBT: _OF_BEGINS,
    HIT: _OF_ENDS - {"saved_nanos"} | {"booked", "reserved_nanos"},
}
"""By kind: columns that no such row fills."""


def _statement(kind: int) -> tuple[str, Callable[[Row], Row]]:
    names = [name for name in _ALL if name not in _EMPTY[kind]]
    statement = f"INSERT INTO ledger ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our names
    return statement, itemgetter(*[_ALL.index(name) for name in names])


_SQLITE = {kind: _statement(kind) for kind in _EMPTY}
"""By kind, the statement and what of a row it takes: half of each row is empty, and SQLite's time is by values."""
_POSTGRES = f"ledger ({', '.join(_ALL)})"
_kind: Callable[[Row], int] = itemgetter(COLUMNS.index("kind"))


def chained(before: bytes, row: Row) -> bytes:
    """The hash of `row` behind the row whose hash is `before`."""
    return blake2b(before + _encode(row), digest_size=16).digest()


def insert_rows(sql: Sql, rows: Sequence[Row]) -> None:
    """Write rows that end with their hash, in order."""
    if not sql.sqlite:
        sql.copy(_POSTGRES, rows)
        return
    for kind, same in groupby(rows, _kind):
        statement, filled = _SQLITE[kind]
        sql.many(statement, list(map(filled, same)))


_LONGEST = 500
_LARGEST_COUNT = 1 << 40


def harmless_text(value: object) -> str | None:
    """A text that both databases take, of at most 500 characters; None for anything else."""
    if not isinstance(value, str):
        return None
    if len(value) > _LONGEST:
        value = value[:_LONGEST]
    if value.isprintable():
        return value
    return value.encode("utf-8", "replace").decode().replace("\0", "?")


def small_number(value: object) -> int | None:
    """A count; None for what is none, or so large that sums of such would not fit into a column."""
    return value if type(value) is int and 0 <= value < _LARGEST_COUNT else None
