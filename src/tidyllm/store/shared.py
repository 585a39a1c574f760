"""What many workers share in Redis: commands and scripts, pipelined by themselves. It knows no keys of ours."""

from __future__ import annotations

import asyncio
import hashlib
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

from tidyllm.errors import ConfigError, StoreDown, StoreError
from tidyllm.store.lane import Lane

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

__all__ = ["Script", "SharedState"]

Value = bytes | str | int | float


class Script:
    """A Lua script. It is sent whole once to each server; afterwards only its hash is."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # Redis' own name for it


class SharedState:
    """A Redis server. Any event loop may use it: each has a connection of its own, made when it is first needed."""

    def __init__(self, name: str, connect: Callable[[], AbstractConnection], *, patience: float) -> None:
        self.name = name
        """Its URL without password."""
        self._connect = connect
        self._patience = patience
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Lane] = weakref.WeakKeyDictionary()
        self._last: Lane | None = None

    @classmethod
    def open(cls, url: str, *, patience: float = 2.0) -> Self:
        """The Redis at `url` (`redis://`, `rediss://` or `unix://`); it is not asked anything yet.

        Who waits for `patience` seconds gets `StoreDown`; enough for a slow network, and less than callers wait.

        :raises ConfigError: `url` is no such URL. :raises StoreError: the package `redis` is not installed.
        """
        scheme = url.partition("://")[0]
        if scheme not in {"redis", "rediss", "unix"}:
            shown = scheme if "://" in url else "a text without ://"
            raise ConfigError(f"expected redis://host:port/number, got {shown!r}.", where="redis")
        try:
            from redis.asyncio.connection import ConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ModuleNotFoundError as error:
            raise StoreError(
                "Redis needs a package that is missing.", hint="pip install 'tidyllm[redis]'"
            ) from error
        try:
            pool = ConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - its options are untyped
                url,
                protocol=2,
                socket_timeout=None,
                socket_connect_timeout=patience,
                socket_keepalive=True,
                health_check_interval=0,
                retry=Retry(NoBackoff(), 0),
            )
            pool.make_connection()  # not made yet, only its options are read
        except (ValueError, TypeError):
            # Their message may hold the URL, and so the password.
            raise ConfigError(
                "the Redis URL cannot be read; expected redis://host:port/number.", where="redis"
            ) from None
        return cls(_without_password(url), pool.make_connection, patience=patience)

    def __repr__(self) -> str:
        return f"SharedState({self.name!r})"

    def _lane(self) -> Lane:
        loop = asyncio.get_running_loop()
        last = self._last
        if last is not None and last.loop is loop:
            return last  # nearly always there is one loop
        lane = self._lanes.get(loop)
        if lane is None:
            lane = Lane(self._connect, self.name, patience=self._patience)
            self._lanes[loop] = lane
        self._last = lane
        return lane

    async def command(self, *command: Value) -> Any:
        """Send any command; returns its answer as Redis gives it (bytes, int, None, lists of these).

        :raises StoreDown: Redis cannot be reached. If the connection broke after the command was sent, nobody knows
            whether it was done.
        :raises StoreError: Redis refused the command.
        """
        from redis.exceptions import RedisError

        try:
            return await self._lane().send(command)
        except RedisError as error:
            raise self._refused(str(command[0]), error) from error

    async def run(
        self,
        script: Script,
        keys: Sequence[str | bytes] = (),
        args: Sequence[Value] = (),
        *,
        late: Callable[[Any], object] | None = None,
    ) -> Any:
        """Run a script, which is alone while it runs; returns its answer.

        A script that was sent runs, also when whoever waits is cancelled: then `late` is called with its answer.

        :raises StoreDown: as in `command`. :raises StoreError: the script failed.
        """
        from redis.exceptions import NoScriptError, RedisError

        try:
            try:
                return await self._heard(("EVALSHA", script.sha, len(keys), *keys, *args), late)
            except NoScriptError:  # a new or restarted server: EVAL also keeps the script
                return await self._heard(("EVAL", script.text, len(keys), *keys, *args), late)
        except RedisError as error:
            raise self._refused("a script", error) from error

    async def _heard(self, command: tuple[Any, ...], late: Callable[[Any], object] | None) -> Any:
        if late is None:
            return await self._lane().send(command)
        future = self._lane().send(command, _unless_failed(late))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                late(future.result())  # it came in the very turn in which he was cancelled
            raise

    def post(
        self,
        script: Script,
        keys: Sequence[str | bytes] = (),
        args: Sequence[Value] = (),
        *,
        answered: Callable[[Any], object] | None = None,
    ) -> None:
        """`run` for who does not wait: it leaves with what else is sent in this turn of the loop.

        Commands issued afterwards on this event loop come after it. `answered` is called with its answer, or with the
        `StoreError` that `run` would raise.
        """
        lane = self._lane()
        # The text where the server may not know the script: asking again would be too late for what comes next.
        self._post(lane, script, (len(keys), *keys, *args), answered, known=script.sha in lane.scripts)

    def check_open(self) -> None:
        """:raises StoreDown: it is being closed."""
        lane = self._lane()
        if lane.closed:
            raise StoreDown(f"the connection to {self.name} is closed.", hint="Open it again.")

    def before(self, add: Callable[[], object]) -> None:
        """Call `add` at the end of this turn of the event loop: what it posts leaves with what else is sent in it."""
        self._lane().before(add)

    def _post(
        self,
        lane: Lane,
        script: Script,
        rest: tuple[Any, ...],
        answered: Callable[[Any], object] | None,
        *,
        known: bool,
    ) -> None:
        def heard(answer: Any) -> None:
            if not isinstance(answer, Exception):
                lane.scripts.add(script.sha)
            elif known and type(answer).__name__ == "NoScriptError":  # somebody has flushed the scripts
                lane.scripts.discard(script.sha)
                self._post(lane, script, rest, answered, known=False)
                return
            if answered is None:
                return
            if isinstance(answer, Exception) and not isinstance(answer, StoreError):
                refused = self._refused("a script", answer)
                refused.__cause__ = answer
                answer = refused
            answered(answer)

        command = ("EVALSHA", script.sha) if known else ("EVAL", script.text)
        lane.post((*command, *rest), heard)

    def _refused(self, what: str, error: Exception) -> StoreError:
        from redis.exceptions import (
            BusyLoadingError,
            ClusterDownError,
            MasterDownError,
            OutOfMemoryError,
            TryAgainError,
        )

        away = BusyLoadingError | ClusterDownError | MasterDownError | OutOfMemoryError | TryAgainError
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if isinstance(error, away):
            return StoreDown(f"{self.name} cannot do {what} now: {said}.")
        return StoreError(f"{self.name} refused {what}: {said}.")

    async def get(self, key: str | bytes) -> bytes | None:
        """The value of a key; None when there is none."""
        return await self.command("GET", key)

    async def set(
        self, key: str | bytes, value: Value, *, ttl_seconds: float | None = None, only_new: bool = False
    ) -> bool:
        """Set a key, for `ttl_seconds` or until it is deleted; False when `only_new` and there was one."""
        options: list[Value] = []
        if ttl_seconds is not None:
            options += ["PX", max(1, round(ttl_seconds * 1000))]
        if only_new:
            options.append("NX")
        return await self.command("SET", key, value, *options) is not None

    async def delete(self, *keys: str | bytes) -> int:
        """Delete keys; returns how many there were."""
        return await self.command("DEL", *keys) if keys else 0

    async def aclose(self) -> None:
        """Wait for answers to what was sent from this event loop, then hang up; connections of other loops stay."""
        lane = self._lanes.get(asyncio.get_running_loop())
        if lane is not None:
            await lane.close()
            self._lanes.pop(lane.loop, None)
            self._last = None


def _unless_failed(late: Callable[[Any], object]) -> Callable[[Any], None]:
    def answered(answer: Any) -> None:
        if not isinstance(answer, Exception):
            late(answer)

    return answered


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{name}@{host}" if name else host, query=""))
