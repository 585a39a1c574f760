"""Limits in Redis, for many workers on many machines. It knows who asks in one turn of an event loop, and no tables.

All who come in one turn under the same key and team are asked for in one script (16 at most), and so are those who go.

A mark in Redis, the time when it was made, says that its counters are whole. Where it is missing Redis was restarted
or flushed: then whoever comes first reads the last minute of all keys and teams in the ledger, and writes it there
together with the mark. Places come back with the next renewal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import json

from tidyllm.access.key import Subject
from tidyllm.access.limits_scripts import ENTER, FILL, LEAVE, RENEW
from tidyllm.access.recent import used_lately
from tidyllm.access.window import Denied, What
from tidyllm.errors import StoreDown, StoreError
from tidyllm.errors.twin import twin

if TYPE_CHECKING:
    from tidyllm.store import Store
    from tidyllm.store.shared import SharedState

__all__ = ["RedisLimits"]

_WHAT: tuple[What, ...] = ("requests_per_minute", "tokens_per_minute", "concurrency")
_log = logging.getLogger("tidyllm.access")
_MANY = 10_000
"""Sets of subjects that are remembered."""
_AGAIN = 2
"""Times that counters are rebuilt for one call: a Redis that is flushed again and again counts nothing."""
_AT_ONCE = 16
"""Calls in one script. With more all calls of a busy worker would go in step, and wait for Redis and the database at
the same moments; with fewer Redis does more."""
_MOST_TOKENS = 10**12
"""More are no tokens of anybody, and sums of them would soon be no numbers that Redis counts with."""
_Seconds: TypeAlias = tuple[int, ...]


class _Coming:
    """One call that asks to be let in: None where the counters are not whole."""

    __slots__ = ("answer", "place", "tokens")

    def __init__(self, answer: asyncio.Future[_Seconds | Denied | None], tokens: int, place: str) -> None:
        self.answer = answer
        self.tokens = tokens
        self.place = place


class _Going:
    """Calls that are over: their places, and how their tokens differ from what was counted."""

    __slots__ = ("back", "more", "places", "used")

    def __init__(self) -> None:
        self.places: list[str] = []
        self.back = self.more = self.used = 0


class _Turn:
    """Who came and went since the last scripts were sent."""

    __slots__ = ("coming", "going")

    def __init__(self) -> None:
        self.coming: dict[tuple[tuple[Subject, ...], float], list[_Coming]] = {}
        self.going: dict[tuple[tuple[Subject, ...], _Seconds], _Going] = {}


class RedisLimits:
    """Counts in Redis: exact for all workers that share it. See `Backend`.

    - `store`: whose ledger knows what was used before Redis lost its counters; None: nobody does, they begin at 0.
    - `prefix` begins the name of each key in Redis. `now`: another clock than the server's, for tests.
    """

    leases = True

    def __init__(
        self,
        shared: SharedState,
        store: Store | None = None,
        *,
        prefix: str = "tidyllm:limit:",
        now: Callable[[], float] | None = None,
    ) -> None:
        from tidyllm.store.shared import Script
        from tidyllm.store.turns import Turns

        self._shared = shared
        self._store = store
        self._prefix = prefix
        self._now = now
        self._enter, self._leave = Script(ENTER), Script(LEAVE)
        self._renew, self._fill = Script(RENEW), Script(FILL)
        self._filling: asyncio.Future[None] | None = None
        self._turns = Turns(shared, _Turn, self._send)
        self._known: dict[tuple[Subject, ...], tuple[tuple[str, ...], tuple[int, ...]]] = {}

    async def enter(
        self, subjects: Sequence[Subject], tokens: int, place: str, lease_seconds: float
    ) -> tuple[int, ...] | Denied:
        subjects = tuple(subjects)
        answer = await self._ask(subjects, tokens, place, lease_seconds)
        for _ in range(_AGAIN):
            if answer is not None:
                break
            await self._rebuilt()
            answer = await self._ask(subjects, tokens, place, lease_seconds)
        if answer is None:
            raise StoreDown(f"{self._shared.name} forgets what it is told.", hint="Give it more memory.")
        return answer

    async def _ask(
        self, subjects: tuple[Subject, ...], tokens: int, place: str, lease_seconds: float
    ) -> _Seconds | Denied | None:
        self._shared.check_open()
        one = _Coming(asyncio.get_running_loop().create_future(), _bounded(tokens), place)
        self._turns.current().coming.setdefault((subjects, lease_seconds), []).append(one)
        try:
            return await one.answer
        except asyncio.CancelledError:
            # If the answer is still to come, `_answered` gives back what it brings.
            if one.answer.done() and not one.answer.cancelled() and one.answer.exception() is None:
                answer = one.answer.result()
                if answer is not None and not isinstance(answer, Denied):
                    self._post_leave(subjects, answer, place, one.tokens, 0)
            raise

    async def leave(
        self, subjects: Sequence[Subject], seconds: Sequence[int], place: str, counted: int, used: int
    ) -> None:
        self._post_leave(tuple(subjects), tuple(seconds), place, counted, used)

    def _post_leave(
        self, subjects: tuple[Subject, ...], seconds: _Seconds, place: str, counted: int, used: int
    ) -> None:
        counted, used = _bounded(counted), _bounded(used)
        turn = self._turns.current()
        going = turn.going.get((subjects, seconds))
        if going is None:
            going = turn.going[subjects, seconds] = _Going()
        going.places.append(place)
        going.used += used
        if used < counted:
            going.back += counted - used
        else:
            going.more += used - counted

    # -- what one turn of an event loop sends

    def _send(self, turn: _Turn) -> None:
        # First who goes: there is room for those who come.
        for (subjects, seconds), going in turn.going.items():
            try:
                self._send_going(subjects, seconds, going)
            except Exception:  # noqa: BLE001 - others of this turn must be sent all the same
                _log.exception("places were not given back, they end by themselves")
        for (subjects, lease_seconds), all_coming in turn.coming.items():
            for start in range(0, len(all_coming), _AT_ONCE):
                coming = all_coming[start : start + _AT_ONCE]
                try:
                    self._send_coming(subjects, lease_seconds, coming)
                except Exception as error:  # noqa: BLE001 - those who wait must hear of it
                    _log.exception("nobody can be let in")
                    failed = StoreError(f"{self._shared.name} was not asked: {type(error).__name__}.")
                    self._answered(subjects, coming, failed)

    def _send_coming(
        self, subjects: tuple[Subject, ...], lease_seconds: float, coming: list[_Coming]
    ) -> None:
        keys, limits = self._told(subjects)
        arguments: list[str | int | float] = [self._time(), lease_seconds, *limits]
        for one in coming:
            arguments += (one.tokens, one.place)
        answered = partial(self._answered, subjects, coming)
        self._shared.post(self._enter, keys, arguments, answered=answered)

    def _answered(self, subjects: tuple[Subject, ...], coming: list[_Coming], answer: Any) -> None:
        if isinstance(answer, StoreError):
            for one in coming:
                if not one.answer.done():
                    one.answer.set_exception(twin(answer))
            return
        if answer[0] == -1:
            for one in coming:
                if not one.answer.done():
                    one.answer.set_result(None)
            return
        seconds, told = tuple(answer[0]), answer[1]
        for one, why in zip(coming, told, strict=True):
            if not one.answer.done():
                one.answer.set_result(seconds if why == 1 else _denied(subjects, why))
            elif why == 1:  # he was cancelled meanwhile
                self._post_leave(subjects, seconds, one.place, one.tokens, 0)

    def _send_going(self, subjects: tuple[Subject, ...], seconds: _Seconds, going: _Going) -> None:
        keys, _ = self._told(subjects)
        mark: int | str = ""
        if len(seconds) > len(subjects):
            mark = seconds[-1]
        elif self._store is not None:
            keys = keys[:-1]  # it was let in elsewhere: nothing tells whether the counters are the same ones
        arguments: list[str | int] = [self._time(), going.back, going.more, going.used, mark]
        for one, second in zip(subjects, seconds, strict=False):
            rated = one.requests_per_minute is not None or one.tokens_per_minute is not None
            arguments += (second, int(rated))
        for start in range(0, len(going.places), _AT_ONCE):
            self._shared.post(self._leave, keys, [*arguments, *going.places[start : start + _AT_ONCE]])
            arguments[1:4] = 0, 0, 0

    async def renew(self, places: Sequence[tuple[Subject, str]], lease_seconds: float) -> None:
        keys = [f"{self._prefix}{one.name}:places" for one, _ in places]
        await self._shared.run(
            self._renew, keys, [self._time(), lease_seconds, *(place for _, place in places)]
        )

    async def aclose(self) -> None:
        pass  # what was posted is waited for where the connection is closed

    async def _rebuilt(self) -> None:
        """Counters are what the ledger says; all who ask meanwhile wait for the same reading."""
        filling = self._filling
        if filling is None or filling.done() or filling.get_loop() is not asyncio.get_running_loop():
            filling = self._filling = asyncio.ensure_future(self._rebuild())
        await asyncio.shield(filling)

    async def _rebuild(self) -> None:
        assert self._store is not None
        used = await self._store.read(used_lately)
        keys = [self._prefix + "whole", *(f"{self._prefix}{name}:minute" for name in used)]
        told = [json.encode(seconds).decode() for seconds in used.values()]
        if await self._shared.run(self._fill, keys, [self._time(), *told]) and used:
            what = "the limits of %d keys and teams in %s were lost, and are rebuilt from the ledger"
            _log.warning(what, len(used), self._shared.name)

    def _time(self) -> str:
        return "" if self._now is None else repr(self._now())

    def _told(self, subjects: tuple[Subject, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """The keys of the subjects in Redis, and what the script is told of their limits."""
        told = self._known.get(subjects)
        if told is None:
            if len(self._known) >= _MANY:
                self._known.clear()
            keys = [f"{self._prefix}{one.name}:{part}" for one in subjects for part in ("minute", "places")]
            if self._store is not None:
                keys.append(self._prefix + "whole")
            limits = [
                -1 if limit is None else limit
                for one in subjects
                for limit in (one.requests_per_minute, one.tokens_per_minute, one.concurrency)
            ]
            told = self._known[subjects] = tuple(keys), tuple(limits)
        return told


def _bounded(tokens: int) -> int:
    return max(0, min(tokens, _MOST_TOKENS))


def _denied(subjects: tuple[Subject, ...], why: list[Any]) -> Denied:
    """What the script says, in our words."""
    subject, what = subjects[int(why[0]) - 1], _WHAT[int(why[1]) - 1]
    limit: int = getattr(subject, what)
    return Denied(subject.name, what, int(why[2]), limit, float(why[3]) if why[3] else None)
