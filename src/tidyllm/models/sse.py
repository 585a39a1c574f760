"""Server-sent events, pure: bytes in, events out. It knows the framing, nothing of JSON or sockets.

Chunks may be cut anywhere: inside a character, a line end or the byte order mark. An event comes out the
moment the blank line that closes it is in. Work is linear in the bytes fed, whatever they are, and memory is
bounded.
"""

from __future__ import annotations

import msgspec

from tidyllm.errors import BadAnswer

__all__ = ["MAX_EVENT_BYTES", "Event", "EventParser"]

MAX_EVENT_BYTES = 8 * 1024 * 1024
"""Largest event, in bytes. Text events have a few hundred bytes, one that carries a generated image in
base64 up to 5 MB. What is larger is taken for a server that never sends a blank line."""

_BOM = b"\xef\xbb\xbf"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: `name` is the `event:` field ("" when absent), `data` its data lines joined by newlines."""

    data: str
    name: str = ""


class EventParser:
    """Turns the bytes of one `text/event-stream` answer into events.

    Line ends may be LF, CR or CRLF, also mixed. Comments, `id:`, `retry:` and unknown fields are passed
    over, and so is an event without a `data` line. Text that is no UTF-8 is an error, not a replacement
    character: a changed letter inside tool arguments would go unnoticed.

    A fault never takes away events that stood before it: they are returned, and the next `feed` or `close`
    raises. What comes out therefore does not depend on where the network cut the bytes.
    """

    __slots__ = ("_buffer", "_error", "_max", "_skip_lf", "_started")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._buffer = bytearray()  # an event that no blank line has closed yet, line ends as LF
        self._skip_lf = False  # the last chunk ended with CR: an LF right after it belongs to it
        self._started = False  # the place where a byte order mark may stand is behind us
        self._error: BadAnswer | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes, often one or none.

        :raises BadAnswer: the bytes are no UTF-8, or one event is larger than `max_event_bytes`. Every later
            call raises it again.
        """
        if self._error is not None:
            raise self._error
        if b"\r" in chunk or self._skip_lf:
            chunk = self._line_feeds(chunk)
        buffer = self._buffer
        if not self._started:
            buffer += chunk
            chunk = self._without_mark()
        if b"\n\n" in chunk or (chunk.startswith(b"\n") and buffer.endswith(b"\n")):
            if buffer:
                chunk = bytes(buffer) + chunk
                buffer.clear()
            end = chunk.rindex(b"\n\n") + 2
            events = self._events(chunk[: end - 2])
            rest = chunk[end:]
        else:
            events = []
            rest = chunk
        if rest and self._error is None:
            buffer += rest
            # At most one line end on either side of an unfinished event is not part of it.
            if len(buffer) > self._max + 2:
                self._fail(f"an event of more than {self._max:,} bytes without a blank line")
        if self._error is not None and not events:
            raise self._error
        return events

    def close(self) -> list[Event]:
        """The end of the stream: the last event, if nothing of it but the closing blank line is missing.

        Some servers leave that line out after their end marker. An event whose last line is unfinished was
        cut and is dropped, as the standard wants; whether the answer as a whole is complete only its format
        knows.

        :raises BadAnswer: as `feed`; also when the last event is faulty.
        """
        if self._error is not None:
            raise self._error
        rest = bytes(self._buffer)
        self._buffer.clear()
        if not rest.endswith(b"\n"):
            return []
        events = self._events(rest[:-1])
        if self._error is not None:
            raise self._error
        return events

    def _line_feeds(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._skip_lf and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._skip_lf = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_mark(self) -> bytes:
        """Take the buffer out once it is known whether it begins with a byte order mark."""
        head = bytes(self._buffer)
        if len(head) < len(_BOM) and _BOM.startswith(head):
            return b""
        self._started = True
        self._buffer.clear()
        return head.removeprefix(_BOM)

    def _events(self, block: bytes) -> list[Event]:
        """The events in whole blocks, without the blank line that ends the last one."""
        try:
            texts = block.decode().split("\n\n")
        except UnicodeDecodeError:
            return self._events_before_the_fault(block)
        if len(block) > self._max:
            return self._events_before_the_fault(block)
        events: list[Event] = []
        for text in texts:
            # Nearly all events are one data line, or a name line and a data line.
            if text.startswith("data: ") and "\n" not in text:
                events.append(Event(text[6:]))
                continue
            event = _event(text)
            if event is not None:
                events.append(event)
        return events

    def _events_before_the_fault(self, block: bytes) -> list[Event]:
        """The same one by one, for a block in which something is wrong or may be too large."""
        events: list[Event] = []
        for raw in block.split(b"\n\n"):
            size = len(raw.strip(b"\n"))
            if size > self._max:
                self._fail(f"an event of {size:,} bytes, more than {self._max:,}")
                break
            try:
                event = _event(raw.decode())
            except UnicodeDecodeError as exc:
                self._fail(f"an event that is no UTF-8 (byte {raw[exc.start]:#04x} at position {exc.start})")
                break
            if event is not None:
                events.append(event)
        return events

    def _fail(self, what: str) -> None:
        self._buffer.clear()
        self._error = BadAnswer(
            f"the stream holds {what}.", hint="Check that base_url and the provider's kind belong together."
        )


def _event(text: str) -> Event | None:
    """One event from its lines, by the rules of the standard; None when it has no data line."""
    name = ""
    data: list[str] = []
    for line in text.split("\n"):
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif field == "event":
            name = value.removeprefix(" ")
    return Event("\n".join(data), name) if data else None
