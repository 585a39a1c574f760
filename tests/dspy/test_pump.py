"""A stream for readers that cannot await: in order, whole, never far ahead, and closed at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextvars import ContextVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.dspy.pump import AHEAD, pumped

where: ContextVar[str] = ContextVar("where", default="nowhere")


@given(st.lists(st.integers(), max_size=3 * AHEAD))
def test_all_pieces_come_in_order(pieces: list[int]) -> None:
    async def make() -> AsyncGenerator[int, None]:
        for piece in pieces:
            yield piece

    assert list(pumped(make)) == pieces


def test_the_source_waits_for_its_reader() -> None:
    made: list[int] = []

    async def make() -> AsyncGenerator[int, None]:
        for number in range(10 * AHEAD):
            made.append(number)
            yield number

    reader = pumped(make)
    assert next(reader) == 0
    seen = [next(reader) for _ in range(AHEAD)]
    assert seen == list(range(1, AHEAD + 1))
    reader.close()
    assert len(made) <= 3 * AHEAD


def test_an_error_comes_after_the_pieces_before_it() -> None:
    async def make() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("broke")

    reader = pumped(make)
    assert next(reader) == 1
    with pytest.raises(ValueError, match="broke"):
        next(reader)


def test_leaving_early_closes_the_source_before_it_returns() -> None:
    closed = threading.Event()

    async def make() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            closed.set()

    reader = pumped(make)
    assert next(reader) == 1
    reader.close()
    assert closed.is_set()


def test_a_reader_that_never_reads_starts_nothing() -> None:
    started: list[bool] = []

    async def make() -> AsyncGenerator[int, None]:
        started.append(True)
        yield 1

    pumped(make).close()
    assert not started


def test_the_source_runs_with_the_variables_of_its_reader() -> None:
    async def make() -> AsyncGenerator[str, None]:
        yield where.get()

    token = where.set("here")
    try:
        assert list(pumped(make)) == ["here"]
    finally:
        where.reset(token)


async def test_it_works_inside_a_running_loop() -> None:
    async def make() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    assert list(pumped(make)) == [1, 2]
