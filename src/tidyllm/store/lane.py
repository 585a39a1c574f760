"""One connection to Redis on one event loop, with many commands on the way at once. It knows bytes, not commands.

Commands issued in one turn of the loop leave in one write. Answers come in the order of the commands, so that the next
write need not wait for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from tidyllm import clock
from tidyllm.errors import StoreDown, StoreError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["Lane"]

_Command = tuple[Any, ...]


class Lane:
    """Commands of one event loop. It connects when the first comes, and again after the connection broke."""

    def __init__(self, connect: Callable[[], AbstractConnection], name: str, *, patience: float) -> None:
        self._connect = connect
        self._name = name
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[_Command, asyncio.Future[Any]]] = []
        self._sent: deque[tuple[float, deque[asyncio.Future[Any]]]] = deque()
        self._connection: AbstractConnection | None = None
        self._pump: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watch: clock.Timer | None = None
        self._closed = False
        self.scripts: set[str] = set()
        """Hashes of scripts that the server knows, as far as this connection has seen."""

    def send(self, command: _Command) -> asyncio.Future[Any]:
        """The future answer. What is sent in the same turn of the loop travels together."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._closed:
            future.set_exception(
                StoreDown(f"the connection to {self._name} is closed.", hint="Open it again.")
            )
            return future
        self._waiting.append((command, future))
        if self._pump is None:
            self._pump = self._loop.create_task(self._send_all())
        return future

    async def close(self) -> None:
        """Wait for what was sent, up to the usual patience, then hang up."""
        self._closed = True
        while self._pump is not None or self._sent:
            waited = [one for _, batch in self._sent for one in batch]
            pump = [] if self._pump is None else [self._pump]
            await asyncio.wait([*pump, *waited], timeout=self._patience)
            if not pump:
                break
        self._hang_up(StoreDown(f"the connection to {self._name} was closed."))
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])

    async def _send_all(self) -> None:
        """Write what waits, until nothing does. A connection that cannot be made fails all who wait."""
        try:
            while self._waiting:
                connection = self._connection or await self._open()
                waiting, self._waiting = self._waiting, []
                futures = deque(future for _, future in waiting)
                packed = self._pack(waiting)
                self._sent.append((clock.monotonic(), futures))
                if self._watch is None:
                    self._watch = clock.call_later(self._patience, self._look)
                await connection.send_packed_command(packed, check_health=False)
        except asyncio.CancelledError:
            self._hang_up(StoreDown(f"the connection to {self._name} was closed."))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._hang_up(self._down(error))
        finally:
            self._pump = None

    def _pack(self, waiting: list[tuple[_Command, asyncio.Future[Any]]]) -> bytes:
        import hiredis  # packs in half the time that redis-py takes

        pack_command: Callable[[_Command], bytes] = getattr(hiredis, "pack_command")  # noqa: B009 - half typed
        try:
            return b"".join([pack_command(command) for command, _ in waiting])
        except Exception:  # noqa: BLE001 - one value that Redis has no type for; find whose it is
            packed: list[bytes] = []
            for command, future in tuple(waiting):
                try:
                    packed.append(pack_command(command))
                except Exception as error:  # noqa: BLE001 - see above
                    # Something must be sent in its place: the answers are counted.
                    packed.append(pack_command(("PING",)))
                    if not future.done():
                        said = f"Redis has no type for an argument of {command[0]}: {error}"
                        future.set_exception(StoreError(said))
            return b"".join(packed)

    async def _open(self) -> AbstractConnection:
        connection = self._connect()
        await connection.connect()
        self._connection = connection
        self._reader = self._loop.create_task(self._read_all(connection))
        return connection

    async def _read_all(self, connection: AbstractConnection) -> None:
        """Hand out answers as they come, also to notice at once when the server hangs up."""
        from redis.exceptions import ConnectionError as Broken
        from redis.exceptions import ReadOnlyError, ResponseError

        try:
            while True:
                answer: Any
                try:
                    answer = cast("Any", await connection.read_response(disconnect_on_error=False))
                except (Broken, ReadOnlyError):
                    raise
                except ResponseError as error:
                    answer = error
                _, batch = self._sent[0]
                future = batch.popleft()
                if not batch:
                    self._sent.popleft()
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - see `_send_all`
            if self._connection is connection:
                self._hang_up(self._down(error))

    def _look(self) -> None:
        """Give up a connection whose oldest command has waited too long."""
        self._watch = None
        if not self._sent:
            return
        left = self._sent[0][0] + self._patience - clock.monotonic()
        if left <= 0:
            self._hang_up(StoreDown(f"{self._name} did not answer within {self._patience:g} s."))
        else:
            self._watch = clock.call_later(left, self._look)

    def _hang_up(self, error: StoreError) -> None:
        connection, self._connection = self._connection, None
        self.scripts.clear()
        sent, self._sent = self._sent, deque()
        waiting, self._waiting = self._waiting, []
        for future in [*(one for _, batch in sent for one in batch), *(one for _, one in waiting)]:
            if not future.done():
                # Each its own: an error grows a traceback for each task that it is raised in.
                own = type(error)(error.message, hint=error.hint)
                own.__cause__ = error.__cause__
                future.set_exception(own)
        if connection is not None:
            hang_up = self._loop.create_task(_quietly(connection))
            _hanging_up.add(hang_up)
            hang_up.add_done_callback(_hanging_up.discard)

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


_hanging_up: set[asyncio.Task[None]] = set()


async def _quietly(connection: AbstractConnection) -> None:
    try:
        await connection.disconnect(nowait=True)
    except Exception:  # noqa: BLE001, S110 - it is gone either way
        pass
