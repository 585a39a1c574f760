"""What every cache does with a question: look, join an equal call, or make the call and keep its answer.

It knows keys, entries and who waits; subclasses know what questions and answers look like.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import AsyncGenerator
from collections.abc import Sequence as Pieces
from contextlib import aclosing
from datetime import timedelta
from typing import Any, TypeVar

from tidyllm import clock
from tidyllm.cache.backend import Backend, Lease
from tidyllm.cache.broadcast import Broadcast
from tidyllm.cache.control import CacheControl
from tidyllm.cache.counts import Counts
from tidyllm.cache.entry import Corrupt, Entry
from tidyllm.cache.flight import Flights, for_all
from tidyllm.cache.kept import Kept
from tidyllm.cache.landed import Landed, Packed
from tidyllm.cache.memory import MemoryCache
from tidyllm.cache.telling import Telling
from tidyllm.core import Context, Wrapper
from tidyllm.core.tags import CONTROL_TAG
from tidyllm.errors import ConfigError, NotCached
from tidyllm.errors.twin import twin
from tidyllm.models.per_loop import PerLoop

__all__ = ["Caching"]

I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)

_ALWAYS = CacheControl()
_NOWHERE: tuple[None, str] = (None, "")


class Caching(Wrapper[I_contra, O_co]):
    """Base of `Cache` and `AnswerCache`. `counts` says what it did."""

    def __init__(
        self,
        step: Any,
        ttl_seconds: float | timedelta,
        store: Backend | None,
        max_entry_bytes: int,
        name: str | None,
    ) -> None:
        super().__init__(step, name=name)
        kind = type(self).__name__
        seconds = clock.seconds(ttl_seconds) if _is_number(ttl_seconds) else math.nan
        if not (math.isfinite(seconds) and seconds > 0):
            raise ConfigError(
                f"{ttl_seconds!r} is out of range; expected a finite duration above 0.",
                where=f"{kind}.ttl_seconds",
            )
        if isinstance(max_entry_bytes, bool) or not isinstance(max_entry_bytes, int) or max_entry_bytes < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigError(
                f"{max_entry_bytes!r} is out of range; expected a whole number from 1 on.",
                where=f"{kind}.max_entry_bytes",
            )
        self.ttl_seconds = seconds
        self.max_entry_bytes = max_entry_bytes
        self.store: Backend = MemoryCache() if store is None else store
        self.reports_partial = bool(getattr(self.inner, "reports_partial", False))
        self.counts = Counts()
        self._told = Telling(self.name, self.counts)
        self._kept = Kept(self.name, self.store, self.counts)
        self._flights: Flights[Landed] = Flights()
        self._streams: PerLoop[dict[bytes, Broadcast]] = PerLoop(dict, _nothing)

    # -- what subclasses know

    @abstractmethod
    def _key(self, x: Any, ctx: Context, *, stream: bool) -> bytes | None:
        """The key of a question; None for one that must not be answered from a cache."""

    @abstractmethod
    def _pack(self, answer: Any, x: Any) -> tuple[Packed | None, bool]:
        """The answer for the store (None: it cannot be written), and whether it may be kept."""

    @abstractmethod
    def _unpack(self, entry: Entry, x: Any) -> Any:
        """The answer, marked as kept.

        :raises Corrupt: it cannot be read.
        """

    @abstractmethod
    def _pack_pieces(self, pieces: Pieces[Any], x: Any) -> tuple[Packed | None, bool]:
        """As `_pack`, for a whole stream."""

    @abstractmethod
    def _unpack_pieces(self, entry: Entry, x: Any) -> Pieces[Any]:
        """As `_unpack`, for a whole stream."""

    def _joined(self, answer: Any) -> Any:
        """The answer of an equal call, marked, where it has no entry."""
        return answer

    def _joined_piece(self, piece: Any) -> Any:
        """A piece of an equal call that is under way, marked."""
        return piece

    def _size(self, piece: Any) -> int:
        """About how many bytes a piece takes."""
        return 64

    async def _similar(self, key: bytes, x: Any, ctx: Context, *, stream: bool) -> Entry | None:
        """The kept answer to a question that means the same."""
        return None

    def _remember(self, key: bytes) -> None:
        """An answer was kept under `key`."""

    # -- whole answers

    async def invoke(self, x: I_contra, ctx: Context) -> O_co:
        key = self._key(x, ctx, stream=False)
        control = self._control(ctx)
        if key is None or control.no_store:
            return await self._around(x, ctx, control)
        if not control.no_cache:
            entry = self._kept.peek(key) or await self._kept.get(key)
            if entry is not None and _young(entry, control):
                try:
                    answer = self._unpack(entry, x)
                except Corrupt as error:
                    self._kept.corrupt(key, error)
                else:
                    self._told.lookup(ctx, "hit", entry)
                    return answer
        if control.only_if_cached:
            raise self._not_cached()
        if control.no_cache:
            landed = await self._call(key, x, ctx, ask_others=False)
            self._told.lookup(ctx, "miss", None)
            return landed.answer
        asks = control.max_age is None  # what other workers keep may be too old
        landed, led = await self._flights.join(
            key, lambda: self._call(key, x, ctx.shielded(math.inf), ask_others=asks)
        )
        return self._landed(landed, led, x, ctx)

    def _landed(self, landed: Landed, led: bool, x: I_contra, ctx: Context) -> O_co:
        if led:
            self._told.lookup(ctx, landed.outcome, landed.entry)
            return landed.answer
        self._told.lookup(ctx, "joined", landed.entry)
        if landed.entry is not None:
            try:
                return self._unpack(landed.entry, x)
            except Corrupt:
                pass  # it was never stored: there is nothing to mend
        return self._joined(landed.answer)

    async def _around(self, x: I_contra, ctx: Context, control: CacheControl) -> O_co:
        if control.only_if_cached:
            raise self._not_cached()
        self._told.lookup(ctx, "bypass", None)
        return await self.inner.invoke(x, ctx)

    async def _call(self, key: bytes, x: Any, at: Context, *, ask_others: bool) -> Landed:
        """Make the call, and keep what it brings. `ask_others`: other workers may be making it, or have an answer."""
        lease = await self._kept.lead(key) if ask_others else None
        try:
            entry, outcome = (
                await self._elsewhere(lease, key, x, at, stream=False) if ask_others else _NOWHERE
            )
            if entry is not None:
                try:
                    return Landed(self._unpack(entry, x), entry, outcome)
                except Corrupt as error:
                    self._kept.corrupt(key, error)
            answer = await at.run_here(self.inner, x)
            packed, may_be_kept = self._pack(answer, x)
            entry = await self._keep(key, packed, may_be_kept)
            if entry is not None and may_be_kept:
                self._remember(key)
            return Landed(answer, entry)
        finally:
            if lease is not None and not isinstance(lease, Entry):
                await lease.release()

    async def _elsewhere(
        self, lease: Lease | Entry | None, key: bytes, x: Any, at: Context, *, stream: bool
    ) -> tuple[Entry | None, str]:
        """An answer that need not be asked for, and how it came about."""
        if isinstance(lease, Entry):
            return lease, "joined"
        return await self._similar(key, x, at, stream=stream), "similar"

    # -- streams

    async def invoke_stream(self, x: I_contra, ctx: Context) -> AsyncGenerator[Any, None]:
        key = self._key(x, ctx, stream=True)
        control = self._control(ctx)
        if key is not None and not control.no_store and not control.no_cache:
            entry = self._kept.peek(key) or await self._kept.get(key)
            if entry is not None and _young(entry, control):
                pieces = self._opened(key, entry, x)
                if pieces is not None:
                    self._told.lookup(ctx, "hit", entry)
                    for piece in pieces:
                        yield piece
                    return
        if control.only_if_cached:
            raise self._not_cached()
        if key is None or control.no_store:
            self._told.lookup(ctx, "bypass", None)
            source = self.inner.invoke_stream(x, ctx)
        else:
            source = self._follow(key, x, ctx, control)
        async with aclosing(source):
            async for piece in source:
                yield piece

    def _opened(self, key: bytes, entry: Entry, x: Any) -> Pieces[Any] | None:
        try:
            return self._unpack_pieces(entry, x)
        except Corrupt as error:
            self._kept.corrupt(key, error)
            return None

    async def _follow(
        self, key: bytes, x: I_contra, ctx: Context, control: CacheControl
    ) -> AsyncGenerator[Any, None]:
        """The pieces of a call that is under way, or of a new one."""
        streams: dict[bytes, Broadcast] = {} if control.no_cache else self._streams.get()
        asks = not control.no_cache and control.max_age is None
        before: type[BaseException] | None = None
        while True:
            broadcast = streams.get(key)
            leads = broadcast is None
            if broadcast is None:
                broadcast = streams[key] = self._begin(key, x, ctx, streams, ask_others=asks)
            told = more = False
            try:
                async with aclosing(broadcast.read(broadcast.reader())) as pieces:
                    async for piece in pieces:
                        if not told:
                            told, more = True, not leads and broadcast.entry is None
                            self._told.lookup(
                                ctx, broadcast.outcome if leads else "joined", broadcast.entry, more=more
                            )
                        yield piece if leads else self._joined_piece(piece)
            finally:
                if more:
                    self._told.saved(ctx, broadcast.made)
            error = broadcast.error
            try:
                if error is None:
                    return
                if leads:
                    raise error
                if told or for_all(error) or type(error) is before:
                    raise twin(error) from error.__cause__
                before = type(error)
            finally:
                del error, broadcast

    def _begin(
        self, key: bytes, x: Any, ctx: Context, streams: dict[bytes, Broadcast], *, ask_others: bool
    ) -> Broadcast:
        def forget() -> None:
            if streams.get(key) is broadcast:
                del streams[key]

        broadcast = Broadcast(
            lambda out: self._pour(out, key, x, ctx.shielded(math.inf), ask_others=ask_others),
            limit=self.max_entry_bytes,
            size=self._size,
            on_full=forget,
            on_end=forget,
        )
        return broadcast

    async def _pour(self, out: Broadcast, key: bytes, x: Any, at: Context, *, ask_others: bool) -> None:
        """Read the stream of one call into `out`, and keep it when it was whole."""
        lease = await self._kept.lead(key) if ask_others else None
        try:
            entry, outcome = await self._elsewhere(lease, key, x, at, stream=True) if ask_others else _NOWHERE
            pieces = None if entry is None else self._opened(key, entry, x)
            if pieces is not None:
                out.entry, out.outcome = entry, outcome
                for piece in pieces:
                    await out.add(piece)
                return
            async with aclosing(at.stream_here(self.inner, x)) as source:
                async for piece in source:
                    await out.add(piece)
            if not out.whole:
                self.counts.not_kept += 1
                return
            packed, may_be_kept = self._pack_pieces(out.pieces, x)
            out.made = await self._keep(key, packed, may_be_kept)
            if out.made is not None and may_be_kept:
                self._remember(key)
        finally:
            if lease is not None and not isinstance(lease, Entry):
                await lease.release()

    # -- shared

    async def _keep(self, key: bytes, packed: Packed | None, may_be_kept: bool) -> Entry | None:
        """The entry of an answer, kept if it may be."""
        if packed is None:
            self.counts.not_kept += 1
            return None
        now = clock.now()
        entry = Entry(now, now + self.ttl_seconds, packed.kind, packed.body, packed.saved_usd, packed.facts)
        if may_be_kept and len(packed.body) <= self.max_entry_bytes:
            await self._kept.put(key, entry)
        else:
            self.counts.not_kept += 1
        return entry

    def _control(self, ctx: Context) -> CacheControl:
        said = ctx.tags.get(CONTROL_TAG)
        return _ALWAYS if said is None else CacheControl.parse(said)

    def _not_cached(self) -> NotCached:
        return NotCached(
            f"the cache {self.name!r} keeps no answer to this request, and only-if-cached was asked."
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r}, {self.ttl_seconds:g})"


def _young(entry: Entry, control: CacheControl) -> bool:
    return control.max_age is None or clock.now() - entry.created_at <= control.max_age


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | timedelta) and not isinstance(value, bool)


async def _nothing(streams: dict[bytes, Broadcast]) -> None:
    """Tasks end with their loop."""
