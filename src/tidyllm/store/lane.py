"""One connection to Redis on one event loop, with many commands on the way at once. It knows bytes, not commands.

Commands issued in one turn of the loop leave together, two in one write. Answers come in the order of the commands,
so that the next write need not wait for them. redis-py opens the connection (names, passwords, TLS); after that its
bytes are ours: hiredis packs and reads them in a quarter of the time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from tidyllm import clock
from tidyllm.core import Alarm
from tidyllm.errors import StoreDown, StoreError, TimeoutExceeded
from tidyllm.errors.twin import twin

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["Answered", "Lane"]

_AT_ONCE = 2
"""Commands in one write: Redis answers none before it has done all that it read, and could do these meanwhile."""
_Command = tuple[Any, ...]
Answered: TypeAlias = Callable[[Any], object]
"""Gets an answer of Redis, or the exception that stands for it."""
_Waiter: TypeAlias = "tuple[asyncio.Future[Any] | None, Answered | None]"
"""Who waits, and who is told where nobody waits (any more)."""


class Lane:
    """Commands of one event loop. It connects when the first comes, and again after the connection broke."""

    def __init__(self, connect: Callable[[], AbstractConnection], name: str, *, patience: float) -> None:
        self._connect = connect
        self._name = name
        self._patience = patience
        self.loop = asyncio.get_running_loop()
        self._waiting: list[tuple[_Command, _Waiter]] = []
        self._sent: deque[tuple[float, deque[_Waiter]]] = deque()
        self._line: _Line | None = None
        self._opening: asyncio.Task[None] | None = None
        self._flushes = False
        self._adds: list[Callable[[], object]] = []
        self._watch: clock.Timer | None = None
        self.closed = False
        """It is closing: nobody may ask any more."""
        self._gone = False
        self._empty: asyncio.Future[None] | None = None
        self.scripts: set[str] = set()
        """Hashes of scripts that the server knows, as far as this connection has seen."""

    def send(self, command: _Command, late: Answered | None = None) -> asyncio.Future[Any]:
        """The future answer. `late` gets it when it comes after whoever waited was cancelled.

        What is sent in the same turn of the loop travels together, two in one write.
        """
        future: asyncio.Future[Any] = self.loop.create_future()
        if self.closed:
            future.set_exception(self._is_closed())
        else:
            self._put(command, (future, late))
        return future

    def post(self, command: _Command, answered: Answered) -> None:
        """As `send`, for whom nobody waits: `answered` is called with the answer.

        While the lane is closing it is still sent: someone who left may have something to give back.
        """
        if self._gone:
            answered(self._is_closed())
        else:
            self._put(command, (None, answered))

    def before(self, add: Callable[[], object]) -> None:
        """Call `add` when what was sent in this turn leaves: what it sends leaves along."""
        self._adds.append(add)
        self._soon()

    async def close(self) -> None:
        """Wait for what was sent, up to the usual patience, then hang up."""
        self._add()
        self.closed = True
        if self._sent or self._waiting:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=self._patience)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        self._gone = True
        self._hang_up(StoreDown(f"the connection to {self._name} was closed."))

    # -- sending

    def _put(self, command: _Command, waiter: _Waiter) -> None:
        self._waiting.append((command, waiter))
        if len(self._waiting) >= _AT_ONCE and self._line is not None:
            self._write()
        else:
            self._soon()

    def _soon(self) -> None:
        if not self._flushes and self._opening is None:
            self._flushes = True
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._add()
        self._flushes = False
        if self._waiting:
            self._write()
        if self._adds:
            self._soon()
        self._look_empty()

    def _add(self) -> None:
        adds, self._adds = self._adds, []
        for add in adds:
            try:
                add()
            except Exception:
                logging.getLogger("tidyllm.store").exception("what was to be sent to %s failed", self._name)

    def _write(self) -> None:
        line = self._line
        if line is None:
            if self._opening is None:
                self._opening = self.loop.create_task(self._open())
            return
        waiting, self._waiting = self._waiting, []
        self._sent.append((clock.monotonic(), deque([waiter for _, waiter in waiting])))
        if self._watch is None:
            self._watch = clock.call_later(self._patience, self._look)
        line.write(self._pack(waiting))

    def _pack(self, waiting: list[tuple[_Command, _Waiter]]) -> bytes:
        import hiredis

        pack_command: Callable[[_Command], bytes] = getattr(hiredis, "pack_command")  # noqa: B009 - half typed
        try:
            return b"".join([pack_command(command) for command, _ in waiting])
        except Exception:  # noqa: BLE001 - one value that Redis has no type for; find whose it is
            packed: list[bytes] = []
            for command, waiter in waiting:
                try:
                    packed.append(pack_command(command))
                except Exception as error:  # noqa: BLE001 - see above
                    # Something must be sent in its place: the answers are counted.
                    packed.append(pack_command(("PING",)))
                    said = f"Redis has no type for an argument of {command[0]}: {error}"
                    _tell(waiter, StoreError(said))
            return b"".join(packed)

    async def _open(self) -> None:
        """Connect, and send what waits. A connection that cannot be made fails all who wait."""
        try:
            connection = self._connect()
            # It also tells the server who we are, and waits for the answer.
            with Alarm(self._patience, "connect", self._patience, self._name):
                await connection.connect()
            self._line = _Line(connection, self._answered, self._broken)
        except asyncio.CancelledError:
            self._hang_up(StoreDown(f"the connection to {self._name} was closed."))
            raise
        except TimeoutExceeded:
            self._hang_up(self._late())
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._hang_up(self._down(error))
        finally:
            self._opening = None
        self._flush()

    # -- answers

    def _answered(self, answer: Any) -> None:
        _, batch = self._sent[0]
        waiter = batch.popleft()
        if not batch:
            self._sent.popleft()
        _tell(waiter, answer)
        self._look_empty()

    def _look_empty(self) -> None:
        if self._empty is not None and not (self._empty.done() or self._sent or self._waiting or self._adds):
            self._empty.set_result(None)

    def _broken(self, line: _Line, error: Exception) -> None:
        if self._line is line:
            self._hang_up(self._down(error))

    def _look(self) -> None:
        """Give up a connection whose oldest command has waited too long."""
        self._watch = None
        if not self._sent:
            return
        left = self._sent[0][0] + self._patience - clock.monotonic()
        if left <= 0:
            self._hang_up(self._late())
        else:
            self._watch = clock.call_later(left, self._look)

    def _hang_up(self, error: StoreError) -> None:
        line, self._line = self._line, None
        if line is None or self._gone:
            self._add()  # who has only just asked need not wait for the next connection to fail as well
        self.scripts.clear()
        sent, self._sent = self._sent, deque()
        waiting, self._waiting = self._waiting, []
        for waiter in [*(one for _, batch in sent for one in batch), *(one for _, one in waiting)]:
            _tell(waiter, twin(error))
        self._look_empty()
        if line is not None:
            line.close()

    def _late(self) -> StoreDown:
        return StoreDown(f"{self._name} did not answer within {self._patience:g} s.")

    def _is_closed(self) -> StoreDown:
        return StoreDown(f"the connection to {self._name} is closed.", hint="Open it again.")

    def _down(self, error: Exception) -> StoreError:
        from redis.exceptions import AuthenticationError, NoPermissionError

        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, AuthenticationError | NoPermissionError):
            mapped: StoreError = StoreError(
                f"{self._name} refused us: {said}", hint="Check user and password in its URL."
            )
        else:
            mapped = StoreDown(f"{self._name} cannot be used now: {said.rstrip('.')}.")
        mapped.__cause__ = error
        return mapped


def _tell(waiter: _Waiter, answer: Any) -> None:
    future, answered = waiter
    if future is None or future.done():
        if answered is not None:
            answered(answer)
    elif isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


class _Line(asyncio.Protocol):
    """The bytes of a connection that redis-py has opened."""

    def __init__(
        self,
        connection: AbstractConnection,
        answered: Answered,
        broken: Callable[[_Line, Exception], None],
    ) -> None:
        import hiredis
        from redis.exceptions import ReadOnlyError

        self._connection = connection
        self._answered = answered
        self._broken = broken
        self._leave = ReadOnlyError
        # They have no public name, and no release of the last years went without them.
        opened: Any = connection
        self._reader: Any = hiredis.Reader(replyError=opened._parser.parse_error)
        self._transport: asyncio.WriteTransport = opened._writer.transport
        self._before: asyncio.Protocol = self._transport.get_protocol()  # pyright: ignore[reportAttributeAccessIssue]
        self._transport.set_protocol(self)

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        self._transport.abort()
        hang_up = asyncio.get_running_loop().create_task(_quietly(self._connection))
        _hanging_up.add(hang_up)
        hang_up.add_done_callback(_hanging_up.discard)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (answer := reader.gets()) is not False:
                if isinstance(answer, self._leave):
                    self._broken(self, answer)  # a server that became a replica: another one has its place
                    return
                self._answered(answer)
        except Exception as error:  # noqa: BLE001 - what is no answer of Redis
            self._broken(self, error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._before.connection_lost(exc)  # so that redis-py's streams know
        self._broken(self, exc or ConnectionError("the server hung up"))


_hanging_up: set[asyncio.Task[None]] = set()


async def _quietly(connection: AbstractConnection) -> None:
    try:
        await connection.disconnect(nowait=True)
    except Exception:  # noqa: BLE001, S110 - it is gone either way
        pass
