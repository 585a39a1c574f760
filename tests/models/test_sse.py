"""Server-sent events: framing by the standard wherever the bytes are cut, and no harm from garbage."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import BadAnswer
from tidyllm.models.sse import Event, EventParser


def parse(*chunks: bytes, limit: int = 1000) -> list[Event | str]:
    """Everything that comes out of the chunks, in order; a fault is the word "fault" where it shows."""
    parser = EventParser(max_event_bytes=limit)
    out: list[Event | str] = []
    try:
        for chunk in chunks:
            out += parser.feed(chunk)
        out += parser.close()
    except BadAnswer:
        out.append("fault")
    return out


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\n", [Event("a")]),
        (b"data:a\n\ndata:  b\n\n", [Event("a"), Event(" b")]),
        (b"event: ping\ndata: {}\n\n", [Event("{}", "ping")]),
        (b"data: {}\nevent: late\n\n", [Event("{}", "late")]),
        (b"event: one\nevent: two\ndata: x\n\ndata: y\n\n", [Event("x", "two"), Event("y")]),
        (b"data: a\ndata: b\n\n", [Event("a\nb")]),
        (b"data\n\ndata:\n\n", [Event(""), Event("")]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [Event("a"), Event("b"), Event("c")]),
        (b"data: a\r\ndata: b\rdata: c\n\r\n", [Event("a\nb\nc")]),
        (b": a comment\n\n:\ndata: a\n: another\n\n", [Event("a")]),
        (b"event: no data\n\nid: 7\nretry: 10\nunknown: x\ndata: a\n\n", [Event("a")]),
        (b"\n\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [Event("a"), Event("b")]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
        ("data: žluťoučký 🐴 \u2028 \x0b\n\n".encode(), [Event("žluťoučký 🐴 \u2028 \x0b")]),
        (b" data: a\n\nDATA: b\n\n<html>\n\n{}\n\n", []),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    ],
)
def test_fields_follow_the_standard(raw: bytes, events: list[Event]) -> None:
    assert parse(raw) == events


def test_an_event_comes_out_with_its_blank_line_and_not_later() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n") == []
    assert parser.feed(b"\r") == [Event("a")]
    assert parser.feed(b"\ndata: b") == []
    assert parser.feed(b"\n\n") == [Event("b")]


@pytest.mark.parametrize(
    ("raw", "events"),
    [
        (b"data: a\n\ndata: [DONE]\n", [Event("a"), Event("[DONE]")]),
        (b"data: a\n\ndata: [DONE]\r", [Event("a"), Event("[DONE]")]),
        (b"data: a\n\ndata: [DON", [Event("a")]),
        (b"data: a\n\nevent: x\n", [Event("a")]),
        (b"data: \xc5", []),
        (b"", []),
    ],
)
def test_at_the_end_only_the_blank_line_may_be_missing(raw: bytes, events: list[Event]) -> None:
    assert parse(raw) == events


@pytest.mark.parametrize(
    "bad", [b"data: \xff\n\n", b": \xc5\n\n", b"data: " + b"x" * 95 + b"\n\n", b"y" * 103]
)
def test_a_fault_lets_earlier_events_out_first_and_is_then_final(bad: bytes) -> None:
    parser = EventParser(max_event_bytes=100)
    assert parser.feed(b"data: good\n\n" + bad) == [Event("good")]
    for _ in range(2):
        with pytest.raises(BadAnswer, match=r"UTF-8|more than 100"):
            parser.feed(b"data: more\n\n")
    with pytest.raises(BadAnswer):
        parser.close()


def test_a_fault_alone_is_raised_at_once() -> None:
    with pytest.raises(BadAnswer, match=r"byte 0xff at position 6"):
        EventParser().feed(b"data: \xff\n\n")
    with pytest.raises(BadAnswer, match="blank line"):
        EventParser(max_event_bytes=10).feed(b"x" * 13)


def test_a_last_event_without_its_blank_line_can_be_faulty_too() -> None:
    parser = EventParser()
    parser.feed(b"data: \xff\n")
    with pytest.raises(BadAnswer, match="UTF-8"):
        parser.close()


def test_the_largest_event_fits_exactly() -> None:
    raw = (b"data: " + b"x" * 94 + b"\n\n") * 2
    assert parse(raw, limit=100) == [Event("x" * 94)] * 2
    assert parse(*(bytes([byte]) for byte in raw), limit=100) == [Event("x" * 94)] * 2
    assert parse(b"data: " + b"x" * 95 + b"\n\n", limit=100) == ["fault"]


def test_a_megabyte_of_single_bytes_holds_no_more_than_itself() -> None:
    """Quadratic work would take minutes here and run into the test's time limit."""
    parser = EventParser()
    for _ in range(1_000_000):
        assert not parser.feed(b"x")
    assert parser.feed(b"\n\ndata: a\n\n") == [Event("a")]


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    return [raw[a:b] for a, b in pairwise(edges)]


PIECES = st.sampled_from(
    [
        b"\n",
        b"\r",
        b"\r\n",
        b":",
        b"x",
        b"\xff",
        b"data: ",
        b"data",
        b"event: e",
        b"\xef\xbb\xbf",
        "ž🐴".encode(),
    ]
)
LIMITS = st.sampled_from([8, 20, 1000])
STREAMS = st.lists(PIECES, max_size=40).map(b"".join) | st.binary(max_size=100)


@given(raw=STREAMS, places=st.lists(st.integers(0, 10_000), max_size=20), limit=LIMITS)
def test_where_the_bytes_are_cut_changes_nothing(raw: bytes, places: list[int], limit: int) -> None:
    whole = parse(raw, limit=limit)
    assert parse(*cut(raw, places), limit=limit) == whole
    assert parse(*(bytes([byte]) for byte in raw), limit=limit) == whole


LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(
    written=st.lists(st.tuples(st.lists(LINES, min_size=1, max_size=3), LINES), max_size=8),
    end=st.sampled_from(["\n", "\r", "\r\n"]),
    places=st.lists(st.integers(0, 10_000), max_size=20),
)
def test_what_was_written_is_read(written: list[tuple[list[str], str]], end: str, places: list[int]) -> None:
    raw = ""
    for lines, name in written:
        raw += f"event: {name}{end}" + "".join(f"data: {line}{end}" for line in lines) + end
    assert parse(*cut(raw.encode(), places)) == [Event("\n".join(lines), name) for lines, name in written]
