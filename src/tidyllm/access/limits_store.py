"""Limits in the store, for workers that share a SQLite file or a Postgres. It knows windows and one table.

What this process asks for while a transaction is on its way goes into the next one together: each subject's row is read
and written once for all of them. Time is the database server's on Postgres, so that machines need not agree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tidyllm import clock
from tidyllm.access.key import Subject
from tidyllm.access.window import Denied, Window

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tidyllm.store import Store

__all__ = ["StoreLimits"]

Windows: TypeAlias = dict[str, Window]
Answer: TypeAlias = "tuple[int, ...] | Denied | None"
Ask: TypeAlias = "tuple[tuple[str, ...], Callable[[Windows, float], Answer]]"
"""The names of the windows, and what to do with them."""

_decode = msgspec.json.Decoder(Window).decode


class StoreLimits:
    """Counts in the table `limit_windows`: exact for all workers on one store. See `Backend`."""

    leases = True

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Ask, asyncio.Future[Answer]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def enter(
        self, subjects: Sequence[Subject], tokens: int, place: str, lease_seconds: float
    ) -> tuple[int, ...] | Denied:
        def ask(windows: Windows, now: float) -> Answer:
            for subject in subjects:
                if denied := windows[subject.name].deny(subject, now, tokens):
                    return denied
            until = now + lease_seconds
            return tuple(windows[one.name].take(one, now, tokens, place, until) for one in subjects)

        def give_back(asked: asyncio.Future[Answer]) -> None:
            answer = None if asked.cancelled() or asked.exception() is not None else asked.result()
            if answer is not None and not isinstance(answer, Denied):
                self._put(*_leaving(subjects, answer, place, tokens, 0))

        asked = self._put(_names(subjects), ask)
        try:
            answer = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(give_back)
            raise
        assert answer is not None
        return answer

    async def leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        await self._put(*_leaving(subjects, seconds, place, counted, used))

    async def renew(self, places: Sequence[tuple[Subject, str]], lease_seconds: float) -> None:
        def ask(windows: Windows, now: float) -> None:
            for subject, place in places:
                windows[subject.name].renew(place, now + lease_seconds)

        await self._put(tuple(one.name for one, _ in places), ask)

    async def aclose(self) -> None:
        loop = asyncio.get_running_loop()
        while (task := self._writing) is not None and task.get_loop() is loop and not task.done():
            await asyncio.gather(task, return_exceptions=True)

    def _put(
        self, names: tuple[str, ...], what: Callable[[Windows, float], Answer]
    ) -> asyncio.Future[Answer]:
        """The future answer. It is asked also when nobody waits any more."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        future.add_done_callback(_seen)
        self._waiting.append(((names, what), future))
        if self._writing is None or self._writing.done() or self._writing.get_loop() is not loop:
            self._writing = loop.create_task(self._write())
        return future

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            asks = [ask for ask, _ in batch]
            try:
                answers = await self._store.write(lambda conn, asks=asks: _run(conn, asks))
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error) if isinstance(error, Exception) else future.cancel()
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)


def _seen(asked: asyncio.Future[Answer]) -> None:
    """An error that nobody waits for any more is nobody's."""
    if not asked.cancelled():
        asked.exception()


def _names(subjects: Sequence[Subject]) -> tuple[str, ...]:
    return tuple(one.name for one in subjects)


def _leaving(subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int) -> Ask:
    def ask(windows: Windows, now: float) -> None:
        for subject, second in zip(subjects, seconds, strict=True):
            windows[subject.name].settle(now, second, place, counted, used)

    return _names(subjects), ask


def _run(conn: Connection, asks: Sequence[Ask]) -> list[Answer]:
    """All asks in their order, on the rows as they are now; it may be run again."""
    import sqlalchemy as sa

    from tidyllm.store.tables.access import limit_windows as table

    names = sorted({name for some, _ in asks for name in some})
    rows = conn.execute(sa.select(table.c.name, table.c.state).where(table.c.name.in_(names)))
    before: dict[str, str] = {row.name: row.state for row in rows}
    windows = {name: _decode(before[name]) if name in before else Window() for name in names}
    now = _now(conn)
    answers = [ask(windows, now) for _, ask in asks]
    changed: list[dict[str, str]] = []
    new: list[dict[str, str]] = []
    for name, window in windows.items():
        state = msgspec.json.encode(window).decode()
        if name not in before:
            new.append({"name": name, "state": state})
        elif state != before[name]:
            changed.append({"key": name, "state": state})
    if new:
        conn.execute(sa.insert(table), new)
    if changed:
        conn.execute(sa.update(table).where(table.c.name == sa.bindparam("key")), changed)
    return answers


def _now(conn: Connection) -> float:
    if conn.dialect.name != "postgresql":
        return clock.now()  # all workers are on this machine
    return float(conn.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
