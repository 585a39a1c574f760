"""A database that goes away and comes back: who waits is told, what nobody waits for is kept, losses are counted."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from tests.store.servers import Server, databases, postgres
from tests.store.stores import behind_a_door, count, held, names, note, notes, opened
from tidyllm.errors import StoreDown
from tidyllm.store import Store


@pytest.fixture
def server() -> Iterator[Server]:
    """A Postgres of the test's own."""
    folder = Path(tempfile.mkdtemp(prefix="tidyllm-own-"))  # not pytest's, where only we may go
    folder.chmod(0o755)
    one = postgres(folder / "postgres")
    one.start()
    try:
        yield one
    finally:
        one.close()
        folder.rmdir()


def url_of(server: Server) -> str:
    return f"postgresql://tidy:pass%2Fword@127.0.0.1:{server.port}/postgres"


async def test_a_server_that_was_restarted_is_used_again(server: Server) -> None:
    with opened(url_of(server)) as store:
        await store.append(notes, note("before"))
        assert await store.read(count) == 1
        for how in (signal.SIGINT, signal.SIGKILL):
            server.stop(how)
            server.start()
            assert "before" in await store.read(names)
            await store.append(notes, note(how.name))
        assert await store.read(names) == ["before", "SIGINT", "SIGKILL"]


async def test_while_the_server_is_away_writers_are_told_and_posts_are_kept(server: Server) -> None:
    lost: list[BaseException] = []
    with opened(url_of(server), patience=0.3, capacity=50) as store:
        await store.append(notes, note("before"))
        server.stop()
        with pytest.raises(StoreDown, match="cannot be used now") as caught:
            await store.append(notes, note("waited"))
        assert "pass" not in str(caught.value)
        with pytest.raises(StoreDown, match="cannot be reached"):  # at once: it is known by now
            await store.write(count)
        with pytest.raises(StoreDown):
            await store.read(count)
        for number in range(80):
            store.post(lambda c, n=number: c.execute(notes.insert(), note(f"n{n}")), lost=lost.append)
            # Until the writer has the first one in hand: it takes no other meanwhile.
            while number == 0 and store._writer._queue:  # pyright: ignore[reportPrivateUsage]
                await asyncio.sleep(0.01)
        assert store.lost == len(lost) == 29
        server.start()
        while await asyncio.to_thread(told, store) < 1 + 80 - len(lost):
            await asyncio.sleep(0.05)
        assert await store.read(names) == ["before", *(f"n{i}" for i in range(80 - len(lost)))]


async def test_whoever_comes_while_something_kept_is_tried_again_is_told_in_time(server: Server) -> None:
    with opened(url_of(server), patience=0.5) as store:
        await store.append(notes, note("before"))
        server.stop()
        store.post(lambda c: c.execute(notes.insert(), note("kept")))
        while store._writer._queue:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0.01)
        with pytest.raises(StoreDown, match="cannot be used now"):
            await asyncio.wait_for(store.append(notes, note("waited")), 20)
        store.post(lambda c: c.execute(notes.insert(), note("kept too")))
        server.start()
        while await asyncio.to_thread(told, store) < 3:
            await asyncio.sleep(0.05)
        assert await store.read(names) == ["before", "kept", "kept too"]


async def test_whoever_waits_in_a_batch_that_was_taken_apart_is_told_in_time(tmp_path: Path) -> None:
    def fails(connection: Connection) -> None:
        raise ValueError

    def lock(error: BaseException) -> None:
        other.execute("BEGIN IMMEDIATE")

    path = tmp_path / "s.db"
    with opened(f"sqlite:///{path}", patience=0.3) as store:
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            with held(store):
                # The file is locked between the first part and the next one.
                store.post(fails, lost=lock)
                store.post(lambda c: c.execute(notes.insert(), note("kept")))
                waiting = [asyncio.create_task(store.append(notes, note(f"n{at}"))) for at in range(2)]
                await asyncio.sleep(0.05)
            done, _ = await asyncio.wait(waiting, timeout=20)
            assert [type(one.exception()) for one in done] == [StoreDown, StoreDown]
            other.execute("ROLLBACK")
        while await asyncio.to_thread(told, store) < 1:
            await asyncio.sleep(0.05)
        await append_again(store, "after")
        assert await store.read(names) == ["kept", "after"]


async def test_a_work_that_must_be_done_is_done_once_though_whoever_waited_was_told(server: Server) -> None:
    heard: list[str] = []

    def given_up(error: BaseException) -> None:
        heard.append(f"given up: {type(error).__name__}")

    with opened(url_of(server), patience=0.3) as store:
        await store.append(notes, note("before"))
        server.stop()
        works = [
            store.submit(
                lambda c, n=number: bool(c.execute(notes.insert(), note(f"n{n}"))),
                given_up=given_up,
                written=lambda done: heard.append(f"written: {done}"),
            )
            for number in range(2)
        ]
        for work in works:
            with pytest.raises(StoreDown):
                await asyncio.wrap_future(work)
        server.start()
        while len(heard) < 4:
            await asyncio.sleep(0.05)
        assert heard == ["given up: StoreDown"] * 2 + ["written: True"] * 2
        assert sorted(await store.read(names)) == ["before", "n0", "n1"]


async def append_again(store: Store, name: str) -> None:
    """Append once the writer knows that the database is back: for half a second it believes the last news, and a
    reader sees a commit before the writer has heard of it."""
    while True:
        try:
            await store.append(notes, note(name))
            return
        except StoreDown:
            await asyncio.sleep(0.05)


def told(store: Store) -> int:
    """How many notes there are; 0 while the server is not back."""
    try:
        return store.read_sync(count)
    except StoreDown:
        return 0


async def test_closing_while_the_server_is_away_ends_and_counts_what_is_lost(server: Server) -> None:
    with opened(url_of(server), patience=0.2) as store:
        await store.append(notes, note("before"))
        server.stop()
        for number in range(3):
            store.append_soon(notes, note(f"n{number}"))
        await store.aclose()
        assert store.lost == 3


async def test_a_file_that_stays_locked_is_told_after_the_patience_and_posts_are_kept(tmp_path: Path) -> None:
    url = tmp_path / "store.db"
    with (
        opened(str(url), patience=0.2) as store,
        closing(sqlite3.connect(url, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        store.append_soon(notes, note("posted"))
        for _ in range(2):
            with pytest.raises(StoreDown, match=r"locked|cannot be reached"):
                await store.append(notes, note("told"))
        other.execute("COMMIT")
        while await store.read(names) != ["posted"]:
            await asyncio.sleep(0.01)
        assert store.lost == 0


async def test_closing_waits_for_a_lock_rather_than_to_lose_what_was_posted(tmp_path: Path) -> None:
    url = tmp_path / "store.db"
    with (
        opened(str(url), patience=0.01) as store,
        closing(sqlite3.connect(url, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        store.append_soon(notes, note("posted"))
        closes = asyncio.create_task(store.aclose())
        await asyncio.sleep(0.3)
        other.execute("COMMIT")
        await closes
        assert store.lost == 0


async def test_a_full_disk_is_a_store_that_is_away(tmp_path: Path) -> None:
    with opened(str(tmp_path / "store.db"), patience=0.2) as store:
        await store.append(notes, note("before"))
        with pytest.raises(StoreDown, match="full"):
            await store.write(too_much)
        assert await store.read(names) == ["before"]
        await append_again(store, "after")
        assert await store.read(names) == ["before", "after"]


def too_much(connection: Connection) -> None:
    """A work that needs more room than there is."""
    pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    connection.execute(notes.insert(), note("x" * 100_000))


@pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")
@pytest.mark.parametrize("moment", [b"COMMIT", b"INSERT", b"pg_current_xact_id", b"BEGIN"])
async def test_what_a_broken_connection_interrupts_is_done_exactly_once(moment: bytes) -> None:
    with behind_a_door() as (door, store):
        for number in range(4):
            door.cut_after(moment)
            await asyncio.gather(
                store.append(notes, {"name": f"row{number}"}),
                store.write(lambda c, n=number: bool(c.execute(notes.insert(), note(f"work{n}")))),
            )
        assert door.cuts == 4
        assert sorted(await store.read(names)) == [
            *(f"row{i}" for i in range(4)),
            *(f"work{i}" for i in range(4)),
        ]
        assert store.lost == 0
