"""The parser of JSON lines: one event a line, wherever the bytes are cut, and no harm from garbage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer
from tidyllm.models.jsonl import LineParser
from tidyllm.models.sse import Event


def parse(*chunks: bytes, limit: int = 1000) -> list[Event | str]:
    """Everything that comes out of the chunks, in order; a fault is the word "fault" where it shows."""
    parser = LineParser(max_line_bytes=limit)
    out: list[Event | str] = []
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
        out += parser.close()
    except BadAnswer:
        out.append("fault")
    return out


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', ['{"a":1}', '{"b":2}']),
        (b'{"a":1}\r\n\r\n\n  \n{"b":\r2}\n', ['{"a":1}', '{"b":\r2}']),
        ('{"a":"ž \u2028"}\n'.encode(), ['{"a":"ž \u2028"}']),
        (b"not json\n[DONE]\n", ["not json", "[DONE]"]),
        (b"", []),
    ],
)
def test_each_line_is_an_event(raw: bytes, lines: list[str]) -> None:
    assert parse(raw) == [Event(line) for line in lines]


def test_a_line_comes_out_with_its_line_feed_and_not_later() -> None:
    parser = LineParser()
    assert parser.feed(b"{}") == []
    assert parser.feed(b"\n{") == [Event("{}")]
    assert parser.feed(b"}\n") == [Event("{}")]


@pytest.mark.parametrize(
    ("end", "lines"),
    [
        (b'{"done":true}', ['{"done":true}']),
        (b' {"done":true}\r', ['{"done":true}']),
        (b'{"a":{"done":true}', []),
        (b'{"done":tr', []),
        (b"12", []),
        (b'{"a":' * 20_000, []),
    ],
)
def test_a_last_line_without_line_feed_counts_only_as_a_whole_object(end: bytes, lines: list[str]) -> None:
    assert parse(b"{}\n" + end, limit=1_000_000) == [Event("{}"), *(Event(line) for line in lines)]


@pytest.mark.parametrize("bad", [b'{"\xff"}\n', b"x" * 101 + b"\n", b"y" * 102])
def test_a_fault_lets_earlier_lines_out_first_and_is_then_final(bad: bytes) -> None:
    parser = LineParser(max_line_bytes=100)
    assert parser.feed(b"{}\n" + bad) == [Event("{}")]
    for _ in range(2):
        with pytest.raises(BadAnswer, match=r"UTF-8|more than 100"):
            parser.feed(b"{}\n")
    with pytest.raises(BadAnswer):
        parser.close()


def test_a_fault_alone_is_raised_at_once() -> None:
    with pytest.raises(BadAnswer, match=r"byte 0xff at position 0"):
        LineParser().feed(b"\xff\n")
    parser = LineParser()
    assert parser.feed(b'{"a":"\xff"}') == []
    with pytest.raises(BadAnswer, match="UTF-8"):
        parser.close()


def test_a_megabyte_of_single_bytes_holds_no_more_than_itself() -> None:
    """Quadratic work would take minutes here and run into the test's time limit."""
    parser = LineParser()
    for _ in range(1_000_000):
        assert not parser.feed(b"x")
    assert len(parser.feed(b"\n{}\n")) == 2


PIECES = st.sampled_from([b"{}", b'{"a":1}', b"\n", b"\r", b" ", b"x", "ž🐴".encode(), b"\xff", b'{"'])


@given(
    raw=st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=100),
    places=st.lists(st.integers(0, 10_000), max_size=20),
    limit=st.sampled_from([8, 20, 1000]),
)
def test_where_the_bytes_are_cut_changes_nothing(raw: bytes, places: list[int], limit: int) -> None:
    edges = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    whole = parse(raw, limit=limit)
    assert parse(*(raw[a:b] for a, b in pairwise(edges)), limit=limit) == whole
    assert parse(*(bytes([byte]) for byte in raw), limit=limit) == whole
