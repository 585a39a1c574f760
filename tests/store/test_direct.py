"""Statements to Postgres in one message: literals, order, errors, and the transactions that works share by them."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tests.store.servers import databases, postgres_url
from tests.store.stores import behind_a_door, fresh, names, note, notes
from tidyllm.errors import StoreDown, StoreError
from tidyllm.money.sql import Sql
from tidyllm.store.direct import DIRECT, Direct, Rows

pytestmark = pytest.mark.skipif("postgresql" not in databases(), reason="not chosen")

VALUES = st.one_of(
    st.none(),
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.sampled_from(["'; DROP TABLE notes; --", "\\", "\\'", "?", "%s", "$1", "E'\\x'", "''"]),
    st.binary(),
    st.floats(allow_nan=False),
)
CASTS: dict[type, str] = {int: "bigint", str: "text", bytes: "bytea", float: "float8", type(None): "text"}


@pytest.fixture(scope="module")
def driver() -> Generator[Any]:
    with psycopg.connect(postgres_url().replace("+psycopg", ""), autocommit=True) as one:
        one.execute("SET bytea_output = 'hex'")
        yield one


@pytest.mark.parametrize("setting", ["on", "off"])
def test_every_value_comes_back_as_it_was(driver: Any, setting: str) -> None:
    driver.execute(f"SET standard_conforming_strings = {setting}")
    driver.execute("SET escape_string_warning = off")
    direct = Direct(driver)

    @given(st.lists(VALUES, min_size=1, max_size=8))
    def comes_back(values: list[Any]) -> None:
        rows: Rows = []
        marks = ", ".join(f"(?)::{CASTS[type(value)]}" for value in values)
        direct.keep(direct.filled(f"SELECT {marks}", values), rows)
        direct.send()
        assert rows == [tuple(values)]

    comes_back()
    driver.execute("SET standard_conforming_strings = on")


def test_floats_without_an_end_are_values_as_well(driver: Any) -> None:
    direct, rows = Direct(driver), list[tuple[Any, ...]]()
    direct.keep(direct.filled("SELECT ?, ?", (math.inf, math.nan)), rows)
    direct.send()
    assert rows[0][0] == math.inf
    assert math.isnan(rows[0][1])


def test_what_is_no_value_is_refused_before_anything_is_sent(driver: Any) -> None:
    direct = Direct(driver)
    with pytest.raises(ValueError, match="zero byte"):
        direct.literal("a\0b")
    with pytest.raises(TypeError, match="no literal for list"):
        direct.literal([1])
    with pytest.raises(ValueError, match="zip"):
        direct.filled("SELECT ?, ?", (1,))


def test_each_statement_gets_its_own_rows_in_order(driver: Any) -> None:
    direct = Direct(driver)
    one: Rows = []
    two: Rows = []
    direct.keep("SELECT 1, true, 2.5::float8", one)
    direct.keep("CREATE TEMP TABLE numbers (n int)")
    direct.keep("INSERT INTO numbers VALUES (7), (8)")
    direct.keep("SELECT n, 'it''s', NULL, sum(n) OVER () FROM numbers ORDER BY n", two)
    assert direct.kept == 4
    direct.send()
    assert one == [(1, True, 2.5)]
    assert two == [(7, "it's", None, 15), (8, "it's", None, 15)]
    assert direct.kept == 0
    direct.keep("DROP TABLE numbers")
    direct.send()


def test_what_stands_behind_an_error_is_not_run(driver: Any) -> None:
    direct = Direct(driver)
    direct.keep("CREATE TEMP TABLE few (n int PRIMARY KEY)")
    direct.send()
    for statement in ("INSERT INTO few VALUES (1)", "SELECT 1/0", "INSERT INTO few VALUES (2)"):
        direct.keep(statement)
    with pytest.raises(DBAPIError, match="division by zero") as caught:
        direct.send()
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", None) == "22012"
    assert not caught.value.connection_invalidated
    rows: Rows = []
    direct.keep("SELECT n FROM few", rows)
    direct.send()
    assert rows == []  # one message is one transaction


def test_a_server_that_hangs_up_is_told_from_one_that_refuses() -> None:
    url = postgres_url().replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as other, psycopg.connect(url, autocommit=True) as one:
        direct = Direct(one)
        other.execute("SELECT pg_terminate_backend(%s)", (one.info.backend_pid,))
        direct.keep("SELECT 1")
        with pytest.raises(DBAPIError) as caught:
            direct.send()
        assert caught.value.connection_invalidated


COLUMNS = "(place int, number bigint, text text, bytes bytea, real float8)"
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
        st.none()
        | st.text(st.characters(codec="utf-8", exclude_characters="\0"))
        | st.sampled_from(["\\N", "\\.", "\\", "a\tb", "a\nb", "a\r\nb", "", "\\x00"]),
        st.none() | st.binary(),
        st.none() | st.floats(allow_nan=False),
    ),
    max_size=6,
)


def test_copied_rows_come_back_as_they_were_between_the_statements_around_them(driver: Any) -> None:
    direct = Direct(driver)
    direct.keep(f"CREATE TEMP TABLE copied {COLUMNS}")
    direct.send()

    @given(ROWS, ROWS)
    def comes_back(first: list[Any], second: list[Any]) -> None:
        before, between, after = list[Any](), list[Any](), list[Any]()
        direct.keep("TRUNCATE copied")
        direct.keep("SELECT count(*) FROM copied", before)
        direct.copy("copied (place, number, text, bytes, real)", [(at, *row) for at, row in enumerate(first)])
        direct.keep("SELECT number, text, bytes, real FROM copied ORDER BY place", between)
        direct.copy(
            "copied (place, number, text, bytes, real)", [(at, *row) for at, row in enumerate(second)]
        )
        direct.keep("SELECT count(*) FROM copied", after)
        assert direct.kept == 6
        direct.send()
        assert (before, between, after) == ([(0,)], first, [(len(first) + len(second),)])

    comes_back()
    direct.keep("DROP TABLE copied")
    direct.send()


def test_rows_that_were_copied_and_forgotten_are_nowhere(driver: Any) -> None:
    direct, rows = Direct(driver), list[tuple[Any, ...]]()
    direct.keep("CREATE TEMP TABLE copied (n int)")
    direct.send()
    direct.copy("copied (n)", [(1,)])
    direct.forget()
    direct.copy("copied (n)", [(2,)])
    direct.keep("SELECT n FROM copied", rows)
    direct.send()
    assert rows == [(2,)]
    direct.keep("DROP TABLE copied")
    direct.send()


@pytest.mark.parametrize(
    ("into", "rows", "state"),
    [
        ("picky (n)", [(1,), (1,)], "23505"),
        ("picky (n)", [("no number",)], "22P02"),
        ("picky (m)", [(1,)], "42703"),
        ("nowhere (n)", [(1,)], "42P01"),
    ],
    ids=["twice", "no number", "no column", "no table"],
)
def test_rows_that_are_refused_take_what_stands_behind_along_and_nothing_else(
    driver: Any, into: str, rows: list[Any], state: str
) -> None:
    direct, found = Direct(driver), list[tuple[Any, ...]]()
    direct.keep("CREATE TEMP TABLE picky (n int PRIMARY KEY)")
    direct.send()
    direct.copy(into, rows)
    direct.keep("INSERT INTO picky VALUES (7)")
    with pytest.raises(DBAPIError) as caught:
        direct.send()
    assert getattr(caught.value.orig, "sqlstate", None) == state
    assert not caught.value.connection_invalidated
    assert str(caught.value.statement).startswith(f"COPY {into}")
    direct.copy("picky (n)", [(3,)])
    direct.keep("SELECT n FROM picky", found)
    direct.send()
    assert found == [(3,)]
    direct.keep("DROP TABLE picky")
    direct.send()


def test_many_rows_at_once_do_not_fill_any_pipe(driver: Any) -> None:
    direct, found = Direct(driver), list[tuple[Any, ...]]()
    direct.keep("CREATE TEMP TABLE many (n int, text text)")
    direct.copy("many (n, text)", [(number, "x" * 1_000) for number in range(20_000)])
    direct.keep("SELECT count(*), sum(n) FROM many", found)
    direct.send()
    assert found == [(20_000, 199_990_000)]
    direct.keep("DROP TABLE many")
    direct.send()


def test_a_value_that_the_driver_cannot_write_is_refused_before_anything_is_sent(driver: Any) -> None:
    direct = Direct(driver)
    with pytest.raises(DBAPIError, match="cannot adapt type 'object'"):
        direct.copy("anything (n)", [(object(),)])
    assert direct.kept == 0


class Copied:
    """A work that copies a row, and keeps statements behind it."""

    direct = True

    def __init__(self, name: str, *then: str, times: int = 1) -> None:
        self.name, self.then, self.times = name, then, times

    def __call__(self, connection: Connection) -> None:
        connection.info[DIRECT].copy("notes (name)", [(self.name,)] * self.times)
        for statement in self.then:
            connection.info[DIRECT].keep(statement)


class Kept:
    """A work that keeps its statements until the commit."""

    direct = True

    def __init__(self, *statements: str) -> None:
        self.statements = statements

    def __call__(self, connection: Connection) -> None:
        for statement in self.statements:
            connection.info[DIRECT].keep(statement)


def put(name: str) -> str:
    return f"INSERT INTO notes (name) VALUES ('{name}')"


async def test_works_of_both_kinds_share_a_transaction_in_their_order(tmp_path: Path) -> None:
    with fresh("postgresql", tmp_path) as store:
        seen = await asyncio.gather(
            store.write(Kept(put("a"))),
            store.write(names),
            store.append(notes, note("b")),
            store.write(Kept(put("c"))),
            store.write(names),
        )
        assert (seen[1], seen[4]) == (["a"], ["a", "b", "c"])
        assert await store.read(names) == ["a", "b", "c"]


async def test_a_kept_statement_that_fails_at_the_commit_fails_alone(tmp_path: Path) -> None:
    with fresh("postgresql", tmp_path) as store:
        done = await asyncio.gather(
            store.write(Kept(put("a"))),
            store.write(Kept(put("b"), put("b"))),
            store.append(notes, note("c")),
            store.write(Kept()),
            return_exceptions=True,
        )
        assert [type(one) for one in done] == [type(None), StoreError, type(None), type(None)]
        assert sorted(await store.read(names)) == ["a", "c"]


async def test_a_connection_that_breaks_under_a_kept_commit_is_followed_by_another_try(
    tmp_path: Path,
) -> None:
    def cut(connection: Connection) -> None:
        if not broken:
            broken.append(1)
            connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    broken: list[int] = []
    with fresh("postgresql", tmp_path) as store:
        await asyncio.gather(store.write(Kept(put("a"))), store.write(cut), store.write(Kept(put("b"))))
        assert await store.read(names) == ["a", "b"]


async def test_nothing_to_write_is_nothing_sent(tmp_path: Path) -> None:
    with fresh("postgresql", tmp_path) as store:
        await store.write(Kept())
        await store.write(Kept(put("a")))
        assert await store.read(names) == ["a"]


@pytest.mark.parametrize("moment", [b"COMMIT", b"INSERT", b"pg_current_xact_id"])
async def test_kept_statements_that_a_broken_connection_interrupts_are_run_exactly_once(
    moment: bytes,
) -> None:
    with behind_a_door() as (door, store):
        for number in range(4):
            door.cut_after(moment)
            await asyncio.gather(
                store.write(Kept(put(f"one{number}"))), store.write(Kept(put(f"two{number}")))
            )
        assert door.cuts == 4
        assert sorted(await store.read(names)) == [
            *(f"one{i}" for i in range(4)),
            *(f"two{i}" for i in range(4)),
        ]
    with pytest.raises(StoreDown, match="closed"):
        await store.write(Kept(put("late")))


@pytest.mark.parametrize("moment", [b"COPY", b"one", b"COMMIT"])
async def test_copied_rows_that_a_broken_connection_interrupts_are_there_exactly_once(moment: bytes) -> None:
    with behind_a_door() as (door, store):
        for number in range(4):
            door.cut_after(moment)
            await asyncio.gather(
                store.write(Copied(f"one{number}")),
                store.write(Copied(f"two{number}", put(f"three{number}"))),
            )
        assert door.cuts == 4
        wanted = [f"{word}{i}" for word in ("one", "three", "two") for i in range(4)]
        assert sorted(await store.read(names)) == wanted


async def test_a_row_that_is_refused_fails_alone_and_is_not_told(tmp_path: Path) -> None:
    with fresh("postgresql", tmp_path) as store:
        done = await asyncio.gather(
            store.write(Copied("a")),
            store.write(Copied("a-value-of-a-row", times=2)),
            store.write(Copied("c")),
            return_exceptions=True,
        )
        assert [type(one) for one in done] == [type(None), StoreError, type(None)]
        assert "a-value-of-a-row" not in "".join(traceback.format_exception(done[1]))
        assert sorted(await store.read(names)) == ["a", "c"]


async def test_a_work_that_keeps_an_error_to_itself_takes_nobody_along(tmp_path: Path) -> None:
    def swallows(connection: Connection) -> str:
        try:
            connection.exec_driver_sql("SELECT 1/0")
        except DBAPIError:
            return "handled"
        return "no error"

    with fresh("postgresql", tmp_path) as store:
        done = await asyncio.gather(
            store.write(Kept(put("a"))),
            store.append(notes, note("b")),
            store.write(swallows),
            return_exceptions=True,
        )
        assert done[:2] == [None, None]
        assert isinstance(done[2], StoreError)
        assert "nothing was kept" in str(done[2])
        assert sorted(await store.read(names)) == ["a", "b"]


async def test_errors_tell_no_values_of_rows(tmp_path: Path) -> None:
    class Asks:
        direct = True

        def __call__(self, connection: Connection) -> None:
            Sql(connection).rows("SELECT 1/0 FROM notes WHERE name = ? OR 1/0 = 1", ("a-value-of-a-row",))

    with (
        fresh("postgresql", tmp_path) as store,
        pytest.raises(StoreError, match="division by zero") as caught,
    ):
        await store.write(Asks())
    told = "".join(traceback.format_exception(caught.value))
    assert "WHERE name = ?" in told
    assert "a-value-of-a-row" not in told


async def test_a_full_disk_is_no_commit_that_nobody_knows_of(tmp_path: Path) -> None:
    makes = (
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END $$"
    )
    uses = "CREATE TRIGGER full_disk BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION full_disk()"
    with fresh("postgresql", tmp_path, patience=0.3) as store:
        await store.write(Kept(makes, uses))
        with pytest.raises(StoreDown, match="no space left"):
            await store.write(Kept(put("a")))
