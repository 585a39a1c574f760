"""One stream with several readers. It knows pieces and how far each reader is, not what they are.

A task of its own reads the source, so that a reader who leaves takes nothing from the others. Nobody waits for a piece
longer than without it; the source is stopped when the last reader has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from tidyllm.cache.entry import Entry
from tidyllm.cache.flight import stop

__all__ = ["Broadcast"]


class Broadcast:
    """`pieces` of `source`, kept up to `limit` bytes by `size`.

    Within the limit everything is kept, and a reader may join at any time and gets all of it. Beyond it the stream is
    closed to new readers (`on_full` is called once), what everyone has read is dropped, and the source waits for the
    slowest reader.
    """

    def __init__(
        self,
        source: Callable[[Broadcast], Coroutine[Any, Any, None]],
        *,
        limit: int,
        size: Callable[[Any], int],
        on_full: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """`source(broadcast)` calls `await broadcast.add(piece)` for each piece; its end is the stream's."""
        self.pieces: list[Any] = []
        self.whole = True
        """Nothing was dropped."""
        self.ended = False
        self.error: BaseException | None = None
        self.outcome = "miss"
        self.entry: Entry | None = None
        """Where the pieces come from, if from no call."""
        self.made: Entry | None = None
        """What became of the pieces of a call, once it has ended."""
        self._dropped = 0
        self._bytes = 0
        self._limit = limit
        self._size = size
        self._on_full = on_full
        self._on_end = on_end
        self._readers: list[_Reader] = []
        self._sleepers: list[asyncio.Future[None]] = []
        self._room: asyncio.Future[None] | None = None
        self._task = asyncio.ensure_future(self._run(source))

    async def add(self, piece: Any) -> None:
        """One more piece for all."""
        self.pieces.append(piece)
        self._bytes += self._size(piece)
        if self._sleepers:
            self._wake()
        while self._bytes > self._limit:
            if self.whole:
                self.whole = False
                self._on_full()
            self._drop()
            if self._bytes <= self._limit or not self.pieces:
                return
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def reader(self) -> _Reader:
        """A new reader, from the first piece on. To be called only while `whole`; close what it gives."""
        reader = _Reader()
        self._readers.append(reader)
        return reader

    async def read(self, reader: _Reader) -> AsyncGenerator[Any, None]:
        """The pieces for one reader. An error of the source is left in `error`: the reader's owner raises it."""
        try:
            while True:
                while (place := reader.at - self._dropped) < len(self.pieces):
                    reader.at += 1
                    if self._room is not None and not self._room.done():
                        self._room.set_result(None)
                    yield self.pieces[place]
                if self.ended:
                    return
                news = asyncio.get_running_loop().create_future()
                self._sleepers.append(news)
                await news
        finally:
            await self._leave(reader)

    async def _leave(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        if not self._readers and not self.ended:
            self._on_end()  # who comes now makes a call of his own
            await stop(self._task)

    async def _run(self, source: Callable[[Broadcast], Coroutine[Any, Any, None]]) -> None:
        try:
            await source(self)
        except BaseException as error:  # noqa: BLE001 - it is the readers' error, cancellation included
            self.error = error
        self.ended = True
        self._on_end()
        self._wake()

    def _wake(self) -> None:
        sleepers, self._sleepers = self._sleepers, []
        for one in sleepers:
            if not one.done():
                one.set_result(None)

    def _drop(self) -> None:
        """Forget what every reader has got."""
        read = min((reader.at for reader in self._readers), default=self._dropped + len(self.pieces))
        gone = self.pieces[: read - self._dropped]
        del self.pieces[: len(gone)]
        self._dropped += len(gone)
        self._bytes -= sum(map(self._size, gone))


class _Reader:
    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0
        """Pieces that it was given."""
