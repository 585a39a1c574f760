"""`Runtime(url)`: starts, finds and serves durable runs. What runs them is the hub that all runtimes here share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from tidyllm import clock
from tidyllm.core import Budget, Step
from tidyllm.durable import blobs, leases
from tidyllm.durable.asked import check_queue, check_start
from tidyllm.durable.database import Connection
from tidyllm.durable.flow import flow_of
from tidyllm.durable.forking import copy_records
from tidyllm.durable.place import runs_location
from tidyllm.durable.run import Run
from tidyllm.durable.starting import Outcome, enter, outcome, same_run
from tidyllm.errors import RunError
from tidyllm.store.location import Location

if TYPE_CHECKING:
    from tidyllm.durable.hub import Hub

__all__ = ["Runtime"]

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
T = TypeVar("T")


class Runtime:
    """Runs flows durably in the database at `url`: a path, `sqlite:///path`, or `postgresql://…`.

    None is `runs.db` beside the default store; of a store's file it is `runs.db` beside that. Nothing is opened before
    the first use. Several runtimes of one process share one engine, so they must mean the same database.

    - `budget`: what the steps of all runs here reserve from.
    - `ask`: whether somebody can be asked: without, questions raise `NobodyToAsk`, and what is in doubt and would be
      asked about fails.

    :raises AnotherRuntime: this process runs flows in another database already.
    :raises ConfigError: `url` is no database that we know.
    """

    def __init__(
        self, url: str | Path | Location | None = None, *, budget: Budget | None = None, ask: bool = True
    ) -> None:
        from tidyllm.durable.hub import hub_for

        self.location = url if isinstance(url, Location) else runs_location(url)
        self._hub = hub_for(self.location)
        self._budget, self._ask = budget, ask

    def __repr__(self) -> str:
        return f"Runtime({self.location.name!r})"

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def hub(self) -> Hub:
        """What executes; for `Run` and the worker."""
        return self._hub

    async def close(self) -> None:
        """Leave the database. Runs that are under way here stop before their next step, and can be resumed."""
        await self._hub.close(id(self))

    async def _open(self) -> None:
        from tidyllm.durable.hub import hub_for

        self._hub = hub_for(self.location)  # another one than at first, if all had been closed in between
        if self._budget is not None:
            self._hub.budget = self._budget
        if not self._ask:
            self._hub.has_people = False
        await self._hub.open(id(self))

    def register(self, *flows: Step[Any, Any] | Callable[..., Any]) -> None:
        """Make flows known here by name, so that their runs can be resumed. The last one of a name counts."""
        for flow in map(flow_of, flows):
            self._hub.flows[flow.name] = flow

    # -- starting

    @overload
    async def start(
        self, flow: Step[I, O], input: I, *, id: str | None = None, queue: str | None = None,
        priority: int | None = None, timeout: float | timedelta | None = None, tags: Mapping[str, str] | None = None,
    ) -> Run[O]: ...  # fmt: skip
    @overload
    async def start(
        self, flow: Callable[..., Any], input: Any, *, id: str | None = None, queue: str | None = None,
        priority: int | None = None, timeout: float | timedelta | None = None, tags: Mapping[str, str] | None = None,
    ) -> Run[Any]: ...  # fmt: skip
    async def start(
        self,
        flow: Any,
        input: Any,
        *,
        id: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        timeout: float | timedelta | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run[Any]:
        """Start a run, here and now, or by whoever serves `queue`.

        An `id` that exists already is joined: the run that goes on elsewhere or is over is given back as it is; one
        whose process died, or that was cancelled or stopped, goes on here. `timeout`: seconds from now until it is
        interrupted, waiting in a queue included. `priority`: lower is sooner.

        :raises RunError: that id belongs to a run of another flow, or with another input; or an argument is none.
        :raises UnregisteredType: the input cannot be saved.
        """
        await self._open()
        program = flow_of(flow)
        program.check()
        self.register(program)
        run = id or token_hex(16)
        check_start(run, priority, queue, timeout)
        text = program.input.encode(input)
        deadline = None if timeout is None else clock.now() + clock.seconds(timeout)

        def work(at: Connection) -> Outcome:
            enter(at, run, program.name, program.version, text, tags=tags, deadline=deadline, queue=queue)
            return outcome(at, run)

        found = await self.query(work)
        same_run(found, run, program.name, text)
        if found.status == "new":
            await self._hub.engine.start(run, queue=queue, priority=priority)
        elif found.status not in ("done", "failed", "queued"):
            await self._go_on(run, found)
        return Run(self, run, program)

    async def resume(self, id: str, *flows: Step[Any, Any] | Callable[..., Any]) -> Run[Any]:
        """Let a run go on here, if nobody else runs it: after a crash, a cancellation, or a divergence mended.

        :raises RunNotFound: there is no such run.
        :raises RunError: nobody told this process its flow (`register`, or give it here).
        """
        await self._open()
        self.register(*flows)
        run = await self.get(id)
        found = await run.outcome()
        if found.flow not in self._hub.flows:
            raise RunError(
                f"run {id!r} is one of {found.flow!r}, which this process does not know.",
                run_id=id,
                hint="Give the flow: runtime.resume(id, flow).",
            )
        if found.status in ("running", "cancelled", "stopped", "queued", "new"):
            await self._go_on(id, found)
        return run

    async def get(self, id: str) -> Run[Any]:
        """The run of that id, wherever it runs.

        :raises RunNotFound: there is none.
        """
        await self._open()
        found = await self.query(lambda at: outcome(at, id))
        return Run(self, id, self._hub.flows.get(found.flow))

    join = get

    async def _go_on(self, run: str, found: Outcome) -> None:
        """Continue a run that nobody runs."""
        hub = self._hub
        if run in hub.present:
            return
        if found.status == "new":
            await hub.engine.start(run, queue=None, priority=None)
            return
        executor: str | None = None
        if found.status == "running":
            executor = found.executor
            mine = executor == hub.engine.executor
            if not mine and executor is not None and not await self.query(lambda at: _is_dead(at, executor)):
                return
        await self.query(lambda at: at.run("UPDATE {s}tidyllm_runs SET stopped = NULL WHERE id = ?", (run,)))
        await hub.in_thread(self._claim, run, found.raw or "", executor)

    def _claim(self, run: str, raw: str, executor: str | None) -> None:
        self._hub.engine.claim(self._hub.asking, run, raw, executor)

    async def fork(self, run: Run[O], from_step: str | None, id: str | None = None) -> Run[O]:
        """See `Run.fork`."""
        found = await run.outcome()
        new = id or token_hex(16)
        await self.query(lambda at: copy_records(at, run.id, new, from_step))
        flow = self._hub.flows.get(found.flow)
        from tidyllm.durable.engine import queue_of

        # Without its flow nobody could run it here: it waits for a worker.
        await self._hub.engine.start(
            new, queue=None if flow is not None else queue_of(found.flow), priority=None
        )
        return Run(self, new, flow)

    # -- serving

    async def serve(
        self,
        flows: Sequence[Step[Any, Any] | Callable[..., Any]],
        *,
        queues: Sequence[str] = (),
        concurrency: int | None = None,
    ) -> None:
        """Take runs of `flows` from their queues and from `queues`, and those of dead workers, until `close`.

        `concurrency`: how many run here at once; default: no limit.
        """
        from tidyllm.durable.engine import queue_of

        await self._open()
        hub = self._hub
        self.register(*flows)
        names = [flow_of(flow).name for flow in flows]
        served = [flow_of(flow) for flow in flows]
        hub.kind = " ".join(["worker", *(f"{flow.name}={flow.version}" for flow in served)])
        hub.slots = None if concurrency is None else asyncio.Semaphore(concurrency)
        own = [queue_of(name) for name in names]
        for name in own:
            await hub.engine.make_queue(name, worker_concurrency=concurrency)
        for name in queues:
            await hub.engine.make_queue(name, keep=True)
        hub.engine.listen([*own, *queues])
        hub.serving.update(names)

    async def queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        worker_concurrency: int | None = None,
        rate: tuple[int, float] | None = None,
    ) -> None:
        """Make or change a queue: `concurrency` runs at once over all workers, `worker_concurrency` in each, at most
        `rate` (`(number, seconds)`) begun in so many seconds.

        :raises RunError: with these numbers it would never begin a run.
        """
        check_queue(name, concurrency, worker_concurrency, rate)
        await self._open()
        await self._hub.engine.make_queue(
            name, concurrency=concurrency, worker_concurrency=worker_concurrency, rate=rate
        )

    async def schedule(
        self,
        name: str,
        cron: str,
        flow: Step[I, Any] | Callable[..., Any],
        input: I,
        *,
        timezone: str | None = None,
    ) -> None:
        """Start a run of `flow` whenever `cron` says so (five fields, or six with seconds first; UTC by default), by
        whoever serves that flow. A schedule of that name is replaced; a time fires once, however many processes watch.

        :raises RunError: `cron` or `timezone` cannot be read; a schedule of that name stays as it was.
        """
        await self._open()
        program = flow_of(flow)
        self.register(program)
        await self._hub.engine.make_schedule(name, cron, program.name, program.input.encode(input), timezone)

    async def unschedule(self, name: str) -> None:
        """Remove a schedule."""
        await self._open()
        await self._hub.engine.drop_schedule(name)

    # -- for `Run`

    async def query(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds in the database."""
        await self._open()
        return await self._hub.query(work)

    def is_active(self, run: str) -> bool:
        """Whether it is under way in this process."""
        return run in self._hub.present

    async def whole(self, text: str) -> str:
        """A saved answer, fetched where it was too large for its place."""
        return await self.query(lambda at: blobs.whole(at, text))


def _is_dead(at: Connection, executor: str) -> bool:
    known = at.rows("SELECT 1 FROM {s}tidyllm_workers WHERE id = ?", (executor,))
    return not known or executor in leases.dead_executors(at)
