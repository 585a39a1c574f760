"""AWS's binary event stream, pure: bytes in, one event a frame out. It knows frames and checksums, not what they say.

    total length (4) | length of headers (4) | CRC of these 8 (4) | headers | payload | CRC of all before (4)

Chunks may be cut anywhere. A frame comes out the moment its last byte is in and its checksums hold. Work is linear in
the bytes fed, whatever they are, and memory is bounded.
"""

from __future__ import annotations

import struct
from typing import Final
from zlib import crc32

import msgspec

from tidyllm.errors import BadAnswer
from tidyllm.models.sse import MAX_EVENT_BYTES, Event

__all__ = ["EXCEPTION", "FrameParser"]

EXCEPTION: Final = "exception:"
"""What the name of an event begins with that is an error; behind it stands the name of the exception."""

_PRELUDE: Final = struct.Struct(">III")
_CRC: Final = struct.Struct(">I")
_SHORT: Final = struct.Struct(">H")
_LEAST: Final = _PRELUDE.size + _CRC.size
_MOST_HEADERS: Final = 128 * 1024
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 (bytes) and 7 (text) say their length themselves."""
_TEXT: Final = 7


class FrameParser:
    """Turns the bytes of one `application/vnd.amazon.eventstream` answer into events: the frame's `:event-type` as the
    name, its payload as the data. An exception's name begins with `EXCEPTION`.

    As with `sse.EventParser`, a fault never takes away frames that stood before it: the call after them raises.
    """

    __slots__ = ("_buffer", "_checked", "_error", "_max")

    def __init__(self, *, max_frame_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._checked = 0
        """The length of the frame that the buffer begins with, once its prelude is in and holds."""
        self._error: BadAnswer | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The frames that `chunk` completes, often one or none.

        :raises BadAnswer: a checksum or a length is wrong, or a payload is no text. Every later call raises it again.
        """
        if self._error is not None:
            raise self._error
        buffer = self._buffer
        buffer += chunk
        events: list[Event] = []
        begin = 0
        try:
            while True:
                if not self._checked:
                    if len(buffer) - begin < _PRELUDE.size:
                        break
                    self._checked = self._length(bytes(buffer[begin : begin + _PRELUDE.size]))
                end = begin + self._checked
                if len(buffer) < end:
                    break
                events.append(_event(bytes(buffer[begin:end])))
                begin, self._checked = end, 0
        except _Fault as fault:
            buffer.clear()
            self._error = BadAnswer(
                f"the stream holds {fault}.",
                hint="Check that base_url is Bedrock's runtime, and that no proxy on the way changes bytes.",
            )
            if not events:
                raise self._error from None
            return events
        del buffer[:begin]
        return events

    def close(self) -> list[Event]:
        """The end of the stream. Half a frame is nothing: the stream was cut.

        :raises BadAnswer: as `feed`.
        """
        if self._error is not None:
            raise self._error
        self._buffer.clear()
        return []

    def _length(self, prelude: bytes) -> int:
        total, headers, crc = _PRELUDE.unpack(prelude)
        if crc32(prelude[:8]) != crc:
            raise _Fault(f"no frame of an event stream: its checksum is wrong (it begins with {prelude!r})")
        if total > self._max:
            raise _Fault(f"a frame of {total:,} bytes, more than {self._max:,}")
        if headers > _MOST_HEADERS or total < _LEAST + headers:
            raise _Fault(f"a frame of {total:,} bytes that says it has {headers:,} bytes of headers")
        return total


class _Fault(Exception):
    """What is wrong with the bytes, as the end of a sentence."""


def _event(frame: bytes) -> Event:
    (crc,) = _CRC.unpack_from(frame, len(frame) - _CRC.size)
    if crc32(frame[: -_CRC.size]) != crc:
        raise _Fault(f"a frame of {len(frame):,} bytes whose checksum is wrong")
    _, length, _ = _PRELUDE.unpack_from(frame)
    headers = _headers(frame[_PRELUDE.size : _PRELUDE.size + length])
    try:
        payload = frame[_PRELUDE.size + length : -_CRC.size].decode()
    except UnicodeDecodeError as error:
        raise _Fault(f"a payload that is no UTF-8 (at byte {error.start:,})") from None
    match headers.get(":message-type"):
        case "exception":
            return Event(payload, EXCEPTION + headers.get(":exception-type", "unknown"))
        case "error":
            said = {"message": headers.get(":error-message", payload)}
            return Event(
                msgspec.json.encode(said).decode(), EXCEPTION + headers.get(":error-code", "unknown")
            )
        case _:
            return Event(payload, headers.get(":event-type", ""))


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are text."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            size = data[at]
            name = data[at + 1 : at + 1 + size].decode()
            at += 1 + size
            kind = data[at]
            at += 1
            if kind in _FIXED:
                at += _FIXED[kind]
            elif kind in (6, _TEXT):
                (size,) = _SHORT.unpack_from(data, at)
                value = data[at + 2 : at + 2 + size]
                at += 2 + size
                if kind == _TEXT and at <= len(data):
                    found[name] = value.decode()
            else:
                raise _Fault(f"a header of type {kind}, which there is none of")
    except (IndexError, struct.error, UnicodeDecodeError):
        at = len(data) + 1
    if at != len(data):
        raise _Fault("a frame whose headers are broken")
    return found
