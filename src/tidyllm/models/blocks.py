"""The bytes of an event stream cut into whole events, unchanged. Pure; it knows blank lines, not what events say.

`sse.EventParser` reads events; this one is for those that are passed on byte for byte.
"""

from __future__ import annotations

import re

from tidyllm.errors import BadAnswer
from tidyllm.models.sse import MAX_EVENT_BYTES

__all__ = ["Blocks"]

# Without giving back: CR LF is one line end, never two.
_BLANK_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LONGEST = 4  # bytes of a blank line and the line end before it


class Blocks:
    """Chunks in, blocks out: an event with the blank line that ends it. Joined they are the bytes that came in.

    A chunk may end between CR and LF of a blank line; that LF then is a block of its own. Memory is bounded: after a
    block of more than `max_bytes` the attribute `fault` holds the error, and nothing more comes out.
    """

    __slots__ = ("_buffer", "_cr", "_max", "_open", "fault")

    def __init__(self, *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._buffer = bytearray()
        self._cr = False
        """Line ends are not only LF."""
        self._open = False
        """The last block ended with CR, at the end of its chunk."""
        self._max = max_bytes + _LONGEST
        self.fault: BadAnswer | None = None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The blocks that `chunk` completes, often one or none."""
        if self.fault is not None or not chunk:
            return []
        done: list[bytes] = []
        if self._open:
            self._open = False
            if chunk.startswith(b"\n"):
                done.append(b"\n")
                chunk = chunk[1:]
        if not self._cr and b"\r" in chunk:
            self._cr = True
        if self._cr:
            self._split_any(chunk, done)
        else:
            self._split(chunk, done)
        if len(self._buffer) > self._max:
            self._fail()
        for place, block in enumerate(done):
            if len(block) > self._max:
                self._fail()
                return done[:place]
        return done

    def rest(self) -> bytes:
        """What no blank line has ended yet; it is taken out."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _split(self, chunk: bytes, done: list[bytes]) -> None:
        buffer = self._buffer
        if not buffer and chunk.endswith(b"\n\n") and chunk.find(b"\n\n") == len(chunk) - 2:
            done.append(chunk)  # one event in one chunk, as they mostly come
            return
        start = max(len(buffer) - 1, 0)
        buffer += chunk
        if buffer.find(b"\n\n", start) < 0:
            return
        parts = bytes(buffer).split(b"\n\n")
        buffer[:] = parts.pop()
        done += [part + b"\n\n" for part in parts]

    def _split_any(self, chunk: bytes, done: list[bytes]) -> None:
        buffer = self._buffer
        start = max(len(buffer) - _LONGEST + 1, 0)
        buffer += chunk
        begin = 0
        while (found := _BLANK_LINE.search(buffer, start)) is not None:
            start = found.end()
            done.append(bytes(buffer[begin:start]))
            begin = start
        self._open = begin == len(buffer) and buffer.endswith(b"\r") and begin > 0
        del buffer[:begin]

    def _fail(self) -> None:
        self._buffer.clear()
        self.fault = BadAnswer(
            f"the stream holds an event of more than {self._max - _LONGEST:,} bytes.",
            hint="Check that base_url and the provider's kind belong together.",
        )
