"""A run in the hands of whoever started or found it: its result, its questions, its end. It executes nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tidyllm import clock
from tidyllm.durable.codec import encode_plain
from tidyllm.durable.database import Connection
from tidyllm.durable.journal import PATIENCE
from tidyllm.durable.starting import Outcome, outcome
from tidyllm.durable.tables import ASKED, DONE, FAILED, RUNNING
from tidyllm.errors import RunCancelled, RunError, RunNotFound, StoreDown

if TYPE_CHECKING:
    from tidyllm.durable.flow import Flow
    from tidyllm.durable.runtime import Runtime

__all__ = ["Run", "RunEvent"]

O_co = TypeVar("O_co", covariant=True)

_KINDS = {RUNNING: "started", DONE: "finished", FAILED: "failed", ASKED: "asked"}


class RunEvent(msgspec.Struct, frozen=True):
    """Something that happened in a run. `kind`: started, finished, failed, asked, or ended (the run itself)."""

    kind: str
    path: str
    step: str
    at: float
    """Seconds since 1970."""
    text: str | None = None
    """The answer or error as JSON; for a question its words; for the run's end its status."""


class Run(Generic[O_co]):
    """Made by `Runtime.start` and `Runtime.get`."""

    def __init__(self, runtime: Runtime, run: str, flow: Flow[Any, O_co] | None) -> None:
        self.id = run
        self._runtime = runtime
        self._flow = flow

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    async def outcome(self) -> Outcome:
        """What the database says of it now. :raises RunNotFound: it was removed."""
        return await self._runtime.query(lambda at: outcome(at, self.id))

    async def status(self) -> str:
        """`queued`, `running`, `done`, `failed`, `cancelled`, or `stopped` (it diverged, or nobody knows its flow)."""
        return (await self.outcome()).status

    async def result(self, timeout: float | None = None) -> O_co:
        """Wait for its end, and return its answer.

        :raises TimeoutError: `timeout` seconds are over; the run goes on.
        :raises RunFailed: it ended with an error that is not ours; an error of ours is raised as it is.
        :raises RunCancelled: it was cancelled.
        :raises RunDiverged: it was stopped, because the program has changed.
        """
        found = await self._over(timeout)
        if found.status != "done":
            raise found.failure(self.id)
        text = await self._runtime.whole(found.output or "null")
        if self._flow is None:
            return msgspec.json.decode(text)
        return self._flow.output.decode(text)

    async def _over(self, timeout: float | None) -> Outcome:
        pause = 0.002
        until = None if timeout is None else clock.monotonic() + timeout
        away: float | None = None
        while True:
            try:
                found = await self.outcome()
                away = None
            except StoreDown:
                # The run itself waits as long for its database.
                away = away or clock.monotonic()
                if clock.monotonic() - away > PATIENCE:
                    raise
                await clock.sleep(0.25)
                continue
            if found.is_over:
                return found
            if until is not None and clock.monotonic() > until:
                raise TimeoutError(f"run {self.id!r} is {found.status} after {timeout:g} s")
            await clock.sleep(pause)
            # Of a run that goes on here the end is near when its body has left; another one is asked for less often.
            here = self._runtime.is_active(self.id)
            pause = min(pause * 1.5, 0.02 if here else 0.25)

    async def cancel(self) -> None:
        """Stop it, wherever it runs: here at once, elsewhere within a second."""
        await self.outcome()
        await self._runtime.hub.engine.cancel(self.id)
        session = self._runtime.hub.active.get(self.id)
        if session is not None:
            session.stop(RunCancelled(f"run {self.id!r} was cancelled.", run_id=self.id))

    async def signal(self, name: str, value: Any = None) -> None:
        """Send it a value, which `signalled(name, ctx)` receives, now or later."""
        await self._send("signal", name, encode_plain(value))

    async def approve(self, question: str | None = None, answer: str = "yes") -> None:
        """Answer a question of it. `question` is its path; None: the only one that is open.

        :raises RunError: no such question is open, or there are several.
        """
        path = question
        open_ones = [one.path for one in await self.questions()]
        if path is not None and path not in open_ones:
            raise RunError(
                f"run {self.id!r} asks nothing at {path!r}; open: {', '.join(open_ones) or 'none'}.",
                run_id=self.id,
            )
        if path is None:
            if len(open_ones) != 1:
                what = (
                    f"{len(open_ones)} questions are open: {', '.join(open_ones)}"
                    if open_ones
                    else "no question is open"
                )
                raise RunError(f"run {self.id!r}: {what}.", run_id=self.id, hint="Name one by its path.")
            path = open_ones[0]
        await self._send("answer", path, msgspec.json.encode(answer).decode())

    async def questions(self) -> list[RunEvent]:
        """Questions that wait for an answer."""
        return [event for _, event in await self._since(0) if event.kind == "asked"]

    async def fork(self, from_step: str | None = None, *, id: str | None = None) -> Run[O_co]:
        """A new run with the records of this one that ended before `from_step` (a path) began; it and what came
        later is done again. None: all that was recorded is kept, and only what failed is done again.

        :raises RunNotFound: there is no such step.
        """
        return await self._runtime.fork(self, from_step, id)

    async def events(self, poll: float = 0.1) -> AsyncGenerator[RunEvent, None]:
        """What happened and happens in it, until its end."""
        last = 0
        while True:
            found = await self.outcome()
            for seq, event in await self._since(last):
                last = max(last, seq)
                yield event
            if found.is_over:
                yield RunEvent("ended", "", found.flow, clock.now(), found.status)
                return
            await clock.sleep(poll)

    async def _since(self, seq: int) -> list[tuple[int, RunEvent]]:
        sql = (
            "SELECT seq, state, path, step, started, ended, output FROM {s}tidyllm_steps"
            " WHERE run = ? AND seq > ? ORDER BY seq"
        )
        rows = await self._runtime.query(lambda at: at.rows(sql, (self.id, seq)))
        return [
            (row[0], RunEvent(_KINDS.get(row[1], "left"), row[2], row[3], row[5] or row[4], row[6]))
            for row in rows
        ]

    async def _send(self, kind: str, name: str, text: str) -> None:
        sql = "INSERT INTO {s}tidyllm_messages (run, kind, name, value, at) VALUES (?, ?, ?, ?, ?)"

        def work(at: Connection) -> None:
            if not at.rows("SELECT 1 FROM {s}tidyllm_runs WHERE id = ?", (self.id,)):
                raise RunNotFound(f"no run {self.id!r} is in {at.location.name}.", run_id=self.id)
            at.run(sql, (self.id, kind, name, text, clock.now()))

        await self._runtime.query(work)
