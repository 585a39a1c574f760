"""Undoes the compression of an HTTP body, piece by piece. Pure; it knows nothing of connections.

We ask servers not to compress; some do all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from tidyllm.errors import BadAnswer, Unreachable

__all__ = ["Inflater"]

_PIECE_BYTES = 256 * 1024
"""Largest piece given out at once. A kilobyte of zeros compressed is a megabyte: whoever reads can stop
between."""


class Inflater:
    """For one body with the `content-encoding` given: gzip, deflate or identity.

    :raises BadAnswer: another encoding.
    """

    __slots__ = ("_encoding", "_fed", "_stream")

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        self._fed = False
        if self._encoding not in {"gzip", "x-gzip", "deflate", "identity"}:
            raise BadAnswer(
                f"the answer has content-encoding {encoding!r}, which was not asked for.",
                hint="Switch compression off at the server or the proxy before it.",
            )
        # 32 adds the recognition of gzip and zlib heads to the largest window.
        self._stream = None if self._encoding == "identity" else zlib.decompressobj(32 + zlib.MAX_WBITS)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pieces that `chunk` makes up, each at most 256 KiB, made one at a time.

        :raises BadAnswer: the bytes are not what the encoding says.
        """
        stream = self._stream
        if stream is None:
            yield chunk
            return
        self._fed = True
        while chunk:
            if stream.eof:  # a gzip body may have several members, one after the other
                stream = self._stream = zlib.decompressobj(32 + zlib.MAX_WBITS)
            try:
                piece = stream.decompress(chunk, _PIECE_BYTES)
            except zlib.error as exc:
                raise BadAnswer(f"the answer's {self._encoding} compression is broken ({exc}).") from exc
            chunk = stream.unused_data if stream.eof else stream.unconsumed_tail
            if piece:
                yield piece

    def close(self) -> None:
        """The end of the body.

        :raises Unreachable: the compressed data ended early.
        """
        if self._fed and self._stream is not None and not self._stream.eof:
            raise Unreachable(f"the answer's {self._encoding} data ended early.", hint="Try again.")
