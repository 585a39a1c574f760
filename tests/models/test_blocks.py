"""Bytes of an event stream cut into whole events: nothing is lost, whatever the line ends and the chunks."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.models.blocks import Blocks
from tidyllm.models.sse import EventParser

LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.sampled_from([b"", b"data: x", b"event: e", b": comment", b"data", "data: é".encode()])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines with any line ends, the last one perhaps unfinished."""
    lines = draw(st.lists(st.tuples(LINES, LINE_ENDS), max_size=12))
    return b"".join(line + end for line, end in lines) + draw(st.sampled_from([b"", b"da", b"data: half"]))


@st.composite
def chunked(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """The bytes cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    return [whole[a:b] for a, b in pairwise([0, *cuts, len(whole)])]


@given(st.data())
def test_blocks_joined_are_the_bytes_that_came(data: st.DataObject) -> None:
    whole = data.draw(streams())
    blocks = Blocks()
    out = b"".join(block for chunk in data.draw(chunked(whole)) for block in blocks.feed(chunk))
    assert out + blocks.rest() == whole


@given(st.data())
def test_blocks_hold_the_events_that_the_parser_sees(data: st.DataObject) -> None:
    whole = data.draw(streams())
    blocks, parser = Blocks(), EventParser()
    found = [
        e for chunk in data.draw(chunked(whole)) for block in blocks.feed(chunk) for e in parser.feed(block)
    ]
    assert found == EventParser().feed(whole)


@given(st.data())
def test_a_block_comes_out_the_moment_its_blank_line_is_in(data: st.DataObject) -> None:
    end = data.draw(LINE_ENDS)
    blocks = Blocks()
    assert blocks.feed(b"data: x") == []
    assert blocks.feed(end) == []
    assert blocks.feed(end) == [b"data: x" + end + end]


def test_a_line_feed_after_a_carriage_return_that_ended_a_chunk_is_a_block_of_its_own() -> None:
    blocks = Blocks()
    assert blocks.feed(b"data: x\r\n\r") == [b"data: x\r\n\r"]
    assert blocks.feed(b"\ndata: y\r\n\r\n") == [b"\n", b"data: y\r\n\r\n"]


@given(st.integers(1, 20))
def test_an_event_without_end_is_a_fault_after_the_events_before_it(size: int) -> None:
    blocks = Blocks(max_bytes=100)
    assert blocks.feed(b"data: a\n\n") == [b"data: a\n\n"]
    for _ in range(0, 200, size):
        assert blocks.feed(b"x" * size) == []
    assert blocks.fault is not None
    assert "100 bytes" in blocks.fault.message
    assert blocks.feed(b"data: b\n\n") == []


def test_an_event_that_is_too_large_is_a_fault_even_when_it_comes_at_once() -> None:
    blocks = Blocks(max_bytes=100)
    assert blocks.feed(b"data: a\n\n" + b"x" * 200 + b"\n\ndata: b\n\n") == [b"data: a\n\n"]
    assert blocks.fault is not None


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_large_event_in_small_chunks_takes_linear_work(end: bytes) -> None:
    """Five million bytes in chunks of ten: a search from the front at each chunk would take hours."""
    blocks = Blocks()
    blocks.feed(b"data: a" + end)
    for _ in range(100_000):
        assert blocks.feed(b"0123456789") == []
    assert len(blocks.feed(end + end)) == 1
