"""JSON lines, pure: bytes in, one event a line out. It knows line ends, and nothing of providers or sockets.

Chunks may be cut anywhere. A line comes out the moment its line feed is in. Work is linear in the bytes fed,
whatever they are, and memory is bounded.
"""

from __future__ import annotations

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.sse import MAX_EVENT_BYTES, Event

__all__ = ["LineParser"]


class LineParser:
    """Turns the bytes of one `application/x-ndjson` answer into events without a name, one for each line.

    Lines end with LF or CRLF; a lone CR is white space inside JSON. Blank lines are passed over. As with
    `sse.EventParser`, a fault never takes away lines that stood before it: the call after them raises.
    """

    __slots__ = ("_buffer", "_error", "_max")

    def __init__(self, *, max_line_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_line_bytes
        self._buffer = bytearray()  # the beginning of a line
        self._error: BadAnswer | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The lines that `chunk` completes, often one or none.

        :raises BadAnswer: the bytes are no UTF-8, or one line is larger than `max_line_bytes`. Every later
            call raises it again.
        """
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and buffer:
            lines[0] = bytes(buffer) + lines[0]
            buffer.clear()
        events = self._events(lines)
        if rest and self._error is None:
            buffer += rest
            # A CR at the end may be half of the line end.
            if len(buffer) > self._max + 1:
                self._fail(f"a line of more than {self._max:,} bytes")
        if self._error is not None and not events:
            raise self._error
        return events

    def close(self) -> list[Event]:
        """The end of the stream: its last line if that is a whole JSON object, else nothing (it was cut).

        The line feed after the last line is optional, and an object shows by itself where it ends.

        :raises BadAnswer: as `feed`.
        """
        if self._error is not None:
            raise self._error
        rest = bytes(self._buffer).strip()
        self._buffer.clear()
        if not rest.startswith(b"{"):
            return []
        try:
            msgspec.json.decode(rest, type=msgspec.Raw)
        except (msgspec.DecodeError, RecursionError):
            return []
        events = self._events([rest])
        if self._error is not None:
            raise self._error
        return events

    def _events(self, lines: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if len(line) > self._max:
                self._fail(f"a line of {len(line):,} bytes, more than {self._max:,}")
                break
            try:
                text = line.decode()
            except UnicodeDecodeError as exc:
                self._fail(f"a line that is no UTF-8 (byte {line[exc.start]:#04x} at position {exc.start})")
                break
            if text and not text.isspace():
                events.append(Event(text))
        return events

    def _fail(self, what: str) -> None:
        self._buffer.clear()
        self._error = BadAnswer(
            f"the stream holds {what}.", hint="Check that base_url and the provider's kind belong together."
        )
