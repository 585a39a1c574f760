"""What a store promises, on each database alike."""

from __future__ import annotations

import asyncio
import threading
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.exc import IntegrityError

from tests.store.servers import databases, store_url
from tests.store.stores import count, fresh, names, note, notes, opened
from tidyllm.errors import StoreError
from tidyllm.store import Store

on_each = pytest.mark.parametrize("dialect", databases())


@on_each
async def test_what_was_written_can_be_read(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        keys = await store.write(lambda c: c.execute(insert(notes), note("a")).inserted_primary_key)
        await store.append(notes, note("b"))
        assert keys == (1,)
        assert (await store.read(names), store.read_sync(count)) == (["a", "b"], 2)
        assert store.dialect == dialect


@on_each
async def test_rows_that_are_appended_at_once_are_all_there(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        await asyncio.gather(*(store.append(notes, note(f"n{i}")) for i in range(300)))
        assert await store.read(count) == 300


@on_each
async def test_a_row_gets_defaults_and_types_as_sqlalchemy_would_give_them(
    dialect: str, tmp_path: Path
) -> None:
    with fresh(dialect, tmp_path) as store:
        await store.append(notes, {"name": "a", "tags": {"team": ["x"]}})
        await store.append(notes, {"name": "b", "open": False, "weight": 1})
        rows = await store.read(lambda c: c.execute(select(notes).order_by(notes.c.id)).all())
    assert [tuple(row[1:]) for row in rows] == [("a", {"team": ["x"]}, True, 7), ("b", None, False, 1)]


@on_each
async def test_rows_with_different_columns_keep_their_order(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        for i in range(9):
            store.append_soon(notes, {"name": f"n{i}"} if i % 3 else {"name": f"n{i}", "weight": i})
        await store.write(lambda c: None)
        assert await store.read(names) == [f"n{i}" for i in range(9)]


@on_each
async def test_a_work_sees_the_rows_put_before_it(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        store.append_soon(notes, note("a"))
        store.post(lambda c: c.execute(insert(notes), note("b")))
        store.append_soon(notes, note("c"))
        assert await store.write(names) == ["a", "b", "c"]


@on_each
async def test_only_the_work_that_raises_fails(dialect: str, tmp_path: Path) -> None:
    def bad(connection: Connection) -> None:
        connection.execute(insert(notes), note("bad"))
        raise LookupError("no such team")

    with fresh(dialect, tmp_path) as store:
        works: list[Any] = [store.append(notes, note(f"n{i}")) for i in range(5)]
        works.insert(2, store.write(bad))
        works.append(store.append(notes, note("n1")))  # its name is taken
        works.append(store.append(notes, {"name": "x", "nonsense": 1}))
        ended = await asyncio.gather(*works, return_exceptions=True)
        assert await store.read(names) == [f"n{i}" for i in range(5)]
    assert [type(one) for one in ended if one is not None] == [LookupError, StoreError, KeyError]


@on_each
async def test_an_error_of_the_database_is_ours_without_the_values_of_the_row(
    dialect: str, tmp_path: Path
) -> None:
    with fresh(dialect, tmp_path) as store:
        row = note("sk-secret")
        await store.append(notes, row)
        with pytest.raises(StoreError, match=r"refused: .*(UNIQUE|unique)") as caught:
            await store.append(notes, row)
        assert isinstance(caught.value.__cause__, IntegrityError)
        assert "sk-secret" not in "".join(traceback.format_exception(caught.value))
        assert not caught.value.retryable


@on_each
async def test_a_reader_cannot_write(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        with pytest.raises(StoreError):
            await store.read(lambda c: c.execute(insert(notes), note("a")).rowcount)
        assert await store.read(count) == 0


@on_each
async def test_a_reader_sees_one_moment(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:

        def twice(connection: Connection) -> tuple[int, int]:
            before = count(connection)
            store.write_sync(lambda c: c.execute(insert(notes), note("meanwhile")).rowcount)
            return before, count(connection)

        assert store.read_snapshot(twice) == (0, 0)
        assert store.read_sync(count) == 1


@on_each
async def test_many_event_loops_and_threads_share_a_store(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:

        async def some(who: int) -> None:
            await asyncio.gather(*(store.append(notes, note(f"{who}-{i}")) for i in range(20)))

        numbers = iter(range(4))
        threads = [threading.Thread(target=lambda: asyncio.run(some(next(numbers)))) for _ in range(4)]
        for thread in threads:
            thread.start()
        await some(9)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert await store.read(count) == 100


@on_each
async def test_a_work_whose_caller_was_cancelled_is_still_done(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        task = asyncio.create_task(store.append(notes, note("a")))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.write(count) == 1


@on_each
async def test_closing_writes_what_was_posted(dialect: str, tmp_path: Path) -> None:
    url = store_url(dialect, tmp_path)
    with opened(url) as store:
        for i in range(1000):
            store.append_soon(notes, note(f"n{i}"))
        await store.aclose()
        await store.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await store.append(notes, note("late"))
        with pytest.raises(StoreError, match="is closed"):
            await store.read(count)
    with closing(Store.open(url)) as store:
        assert store.read_sync(count) == 1000
    assert store.lost == 0


@on_each
async def test_a_posted_work_that_fails_is_counted_and_told(dialect: str, tmp_path: Path) -> None:
    told: list[BaseException] = []
    with fresh(dialect, tmp_path) as store:
        store.post(lambda c: c.execute(text("SELECT nonsense")), lost=told.append)
        store.post(lambda c: c.execute(insert(notes), note("fine")), lost=told.append)
        assert await store.write(names) == ["fine"]
        assert (store.lost, [type(one) for one in told]) == (1, [StoreError])


@on_each
@pytest.mark.parametrize("how", ["commit", "rollback"])
async def test_a_work_may_not_end_its_transaction(dialect: str, how: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store:
        before, bad, after = await asyncio.gather(
            store.append(notes, note("a")),
            store.write(lambda c: getattr(c, how)()),
            store.append(notes, note("b")),
            return_exceptions=True,
        )
        assert (before, after, await store.read(names)) == (None, None, ["a", "b"])
        assert "tried to end the transaction" in str(bad)


async def test_a_listener_for_losses_that_fails_does_not_stop_the_writer(tmp_path: Path) -> None:
    def bad(error: BaseException) -> None:
        raise error

    with fresh("sqlite", tmp_path) as store:
        store.post(lambda c: c.execute(text("SELECT nonsense")), lost=bad)
        await store.append(notes, note("a"))
        assert (await store.read(names), store.lost) == (["a"], 1)


@on_each
async def test_a_work_that_waits_for_another_is_told_so(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store, pytest.raises(StoreError, match="waits for another work"):
        await store.write(lambda c: store.write_sync(count))


@on_each
async def test_a_savepoint_undoes_a_part_of_a_work(dialect: str, tmp_path: Path) -> None:
    def work(connection: Connection) -> str:
        connection.execute(insert(notes), note("a"))
        try:
            with connection.begin_nested():
                connection.execute(insert(notes), note("a"))
        except IntegrityError:
            return "taken"
        return "free"

    with fresh(dialect, tmp_path) as store:
        assert await store.write(work) == "taken"
        assert await store.read(names) == ["a"]


@on_each
async def test_stop_iteration_does_not_hang_its_caller(dialect: str, tmp_path: Path) -> None:
    with fresh(dialect, tmp_path) as store, pytest.raises(StoreError, match="StopIteration"):
        await store.write(lambda c: next(iter(())))


async def test_a_store_in_memory_reads_what_it_wrote() -> None:
    with closing(Store.open("sqlite://")) as store:
        store.write_sync(notes.metadata.create_all)
        await store.append(notes, note("a"))
        assert (await store.read(names), store.read_sync(count), store.path) == (["a"], 1, None)
