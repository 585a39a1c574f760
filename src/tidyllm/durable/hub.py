"""What all runtimes of this process share: the engine, the journal, the signs of life, and the runs under way here.

There is one a process, because the engine is. It executes runs; it does not start or list them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidyllm import clock
from tidyllm.core import Budget, Context
from tidyllm.durable import blobs, leases
from tidyllm.durable.codec import encode_error
from tidyllm.durable.database import Connection, DatabaseError, connect, prepare
from tidyllm.durable.flow import Flow
from tidyllm.durable.heart import Heart
from tidyllm.durable.journal import Journal
from tidyllm.durable.replay import Replay
from tidyllm.durable.session import CONTROL, Session
from tidyllm.errors import (
    AnotherRuntime,
    LeaseLost,
    RunCancelled,
    RunDiverged,
    RunError,
    StoreDown,
    TidyllmError,
)
from tidyllm.errors.extras import installed
from tidyllm.store.location import Location

if TYPE_CHECKING:
    from tidyllm.durable.engine import Engine

__all__ = ["Hub", "hub_for"]

T = TypeVar("T")

_RUN = "SELECT flow, version, input, tags, deadline FROM {s}tidyllm_runs WHERE id = ?"
_STEPS = (
    "SELECT path, seq, step, digest, state, tries, policy, started, output, blob"
    " FROM {s}tidyllm_steps WHERE run = ?"
)
_MESSAGE = (
    "SELECT id, value FROM {s}tidyllm_messages"
    " WHERE run = ? AND kind = ? AND name = ? AND taken IS NULL ORDER BY id LIMIT 1"
)
_PARK = (
    "UPDATE {e}workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL"
    " WHERE workflow_uuid = ? AND status = 'PENDING' AND owner_xid = ?"
)

_the_hub: Hub | None = None
_guard = threading.Lock()


def hub_for(location: Location) -> Hub:
    """The hub of this process.

    :raises AnotherRuntime: it works on another database.
    """
    global _the_hub  # noqa: PLW0603 - there is one a process, because the engine is
    with _guard:
        if _the_hub is not None and _the_hub.location.name != location.name:
            raise AnotherRuntime(
                f"this process runs its flows in {_the_hub.location.name} already, and cannot run others in"
                f" {location.name}.",
                hint="Close the first runtime (`await runtime.close()`), or use a process of its own.",
            )
        if _the_hub is None:
            _the_hub = Hub(location)
        return _the_hub


class Hub:
    """Engine, journal and heart of this process. Made by `hub_for`."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self.flows: dict[str, Flow[Any, Any]] = {}
        self.active: dict[str, Session] = {}
        self.present: set[str] = set()
        """Runs that are here, those included that wait for a slot."""
        self.holders: set[int] = set()
        """Runtimes that have opened it and not closed it."""
        self.budget: Budget | None = None
        self.has_people = True
        self.kind = "runtime"
        self.serving: set[str] = set()
        """Flows whose runs are taken over from dead workers."""
        self.slots: asyncio.Semaphore | None = None
        self._engine: Engine | None = None
        self._opening = threading.Lock()
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="tidyllm-runs")

    @property
    def engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    # -- opening and closing

    async def open(self, holder: int) -> None:
        """Launch everything, once; called by whoever is about to use it, on the loop that runs are to run on.

        :raises StoreDown: the database cannot be reached.
        """
        self.holders.add(holder)
        if self._engine is None:
            with self._opening:
                if self._engine is None:
                    try:
                        self._launch()
                    except BaseException:
                        self.holders.discard(holder)
                        _forget(self)
                        raise
        self.engine.adopt_loop()

    def _launch(self) -> None:
        with installed("durable"):
            from tidyllm.durable.engine import Engine

        # Our own connections: the journal's, one to read and change by, and one for the heart alone.
        self.asking = connect(self.location, create=True)
        engine = Engine(self.location, self._execute, self._start_due)
        engine.launch()  # makes the engine's tables
        prepare(self.asking)
        self._journal = Journal(connect(self.location))
        self._engine = engine
        leases.sign_on(self.asking, engine.executor, self.kind)
        leases.forget_old(self.asking)
        self._heart = Heart(self, connect(self.location))
        atexit.register(self._at_exit)

    async def close(self, holder: int) -> None:
        """Leave it; the last one stops what runs here, which stays resumable, and closes everything."""
        self.holders.discard(holder)
        if self.holders:
            return
        sessions = list(self.active.values())
        for session in sessions:
            session.stop(LeaseLost("the runtime was closed.", run_id=session.run))
        for _ in range(500):
            if not self.active:
                break
            await clock.sleep(0.01)
        if self._engine is not None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, self._shut)
            # The engine had put its own threads in this place, and has just ended them.
            loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
            self._threads.shutdown(wait=False)
        _forget(self)

    def _shut(self) -> None:
        if self._engine is None:
            return
        atexit.unregister(self._at_exit)
        self._heart.stop()
        engine, self._engine = self._engine, None
        engine.close()
        self._journal.close()
        with contextlib.suppress(DatabaseError):
            leases.sign_off(self.asking, engine.executor)
        self.asking.close()

    def _at_exit(self) -> None:
        # The interpreter ends: threads of ours are daemons. Say that we are gone, so that others need not wait.
        with contextlib.suppress(Exception):
            if self._engine is not None:
                leases.sign_off(self.asking, self._engine.executor)

    # -- the database

    async def query(self, work: Callable[[Connection], T]) -> T:
        """What `work` finds or changes, in a thread.

        :raises StoreDown: the database cannot be reached.
        """
        # In threads of ours: those of the loop are the engine's while it lives, and end with it.
        return await self.in_thread(lambda: self.query_sync(work))

    async def in_thread(self, work: Callable[..., T], *values: Any) -> T:
        """What `work` gives, in a thread of ours."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*values))

    def query_sync(self, work: Callable[[Connection], T]) -> T:
        with self.asking.lock:
            try:
                return work(self.asking)
            except DatabaseError as error:
                if not error.away:
                    raise StoreDown(f"{self.location.name}: {error}.") from error
            self.asking.again()
            try:
                return work(self.asking)
            except DatabaseError as error:
                raise StoreDown(f"{self.location.name}: {error}.") from error

    # -- executing

    async def _execute(self, run: str, owner: str) -> str:
        """Run `run` to its end and return its answer as JSON; the engine calls this.

        :raises Ended: it failed.
        :raises asyncio.CancelledError: it was cancelled, parked, or is another worker's by now: nothing is to be saved.
        """
        self.present.add(run)
        try:
            async with self.slots or contextlib.nullcontext():
                return await self._in_slot(run, owner)
        finally:
            self.present.discard(run)

    async def _in_slot(self, run: str, owner: str) -> str:
        from tidyllm.durable.serializer import Ended

        try:
            session, flow, x, ctx = await self._prepared(run, owner)
        except (TidyllmError, msgspec.MsgspecError) as error:
            await self._park(run, owner, error)
            raise asyncio.CancelledError from error
        self.active[run] = session
        try:
            session.task = asyncio.create_task(_body(flow, x, ctx, session))
            answer = await session.task
            # When the engine has written the outcome, the fence lets nothing of this run pass any more.
            await self._journal.flush()
        except asyncio.CancelledError:
            if isinstance(session.stopped, RunDiverged):
                await self._park(run, owner, session.stopped)
            elif session.stopped is None and not _is_being_cancelled():
                # The program has cancelled itself (`ctx.cancel()`).
                await self.query(lambda at: at.run(_PARK, (run, owner)))
            raise
        except Exception as error:
            if isinstance(session.stopped or error, CONTROL):
                await self._park(run, owner, session.stopped or error)
                raise asyncio.CancelledError from error
            raise Ended(encode_error(error)) from error
        finally:
            self.active.pop(run, None)
        text = flow.output.encode(answer)
        flow.output.decode(text)  # what nobody could read is no answer
        return await self.query(lambda at: blobs.keep(at, text)) if blobs.is_apart(text) else text

    async def _prepared(self, run: str, owner: str) -> tuple[Session, Flow[Any, Any], Any, Context]:
        rows, steps = await self.query(lambda at: (at.rows(_RUN, (run,)), at.rows(_STEPS, (run,))))
        if not rows:
            raise RunError(f"run {run!r} has no entry of ours.", run_id=run)
        name, version, text, tags, deadline = rows[0]
        flow = self.flows.get(name)
        if flow is None:
            raise RunError(
                f"run {run!r} is one of {name!r}, which this process does not know.",
                run_id=run,
                hint=f"Start a worker that has it: tidyllm worker module:{name}",
            )
        if not version:  # a fork belongs to the program that runs it first
            version = flow.version
            await self.query(
                lambda at: at.run("UPDATE {s}tidyllm_runs SET version = ? WHERE id = ?", (version, run))
            )
        replay = Replay(run, version, flow.version, steps)
        session = Session(
            run,
            owner,
            replay,
            self._journal,
            load_blob=self._blob,
            messages=self._message,
            has_people=self.has_people,
        )
        ctx = Context.new(
            run_id=run_number(run),
            deadline=None if deadline is None else deadline - clock.now(),
            tags=msgspec.json.decode(tags, type=dict[str, str]),
            idempotency_key=run,
            budget=self.budget,
            asker=session.ask,
            caller=session,
        )
        return session, flow, flow.input.decode(text), ctx

    async def _park(self, run: str, owner: str, error: BaseException) -> None:
        """Leave `run` where somebody can look at it and resume it, with the reason."""
        if isinstance(error, LeaseLost | RunCancelled | StoreDown):
            return

        def work(at: Connection) -> None:
            if at.run(_PARK, (run, owner)):
                at.run("UPDATE {s}tidyllm_runs SET stopped = ? WHERE id = ?", (encode_error(error), run))

        await self.query(work)

    def _blob(self, name: str) -> str:
        return self.query_sync(lambda at: blobs.fetch(at, name))

    async def _message(self, run: str, kind: str, name: str) -> tuple[int, str] | None:
        rows = await self.query(lambda at: at.rows(_MESSAGE, (run, kind, name)))
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    async def _start_due(self, when: str, flow: str, text: str) -> None:
        from tidyllm.durable.engine import queue_of
        from tidyllm.durable.starting import enter

        run = f"{flow}@{when}"
        version = self.flows[flow].version if flow in self.flows else ""
        await self.query(lambda at: enter(at, run, flow, version, text))
        await self.engine.start(run, queue=queue_of(flow), priority=None)


async def _body(flow: Flow[Any, Any], x: Any, ctx: Context, session: Session) -> Any:
    answer = await ctx.call(flow, x)
    if session.stopped is not None:
        raise session.stopped
    try:
        session.replay.finish()
    except RunDiverged as error:
        session.stopped = error
        raise
    return answer


def _is_being_cancelled() -> bool:
    """Whether it is this task that somebody cancels, as a loop does with all of them at its end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def run_number(run: str) -> str:
    """The id of a run as the number that traces know."""
    return blake2b(run.encode(), digest_size=16).hexdigest()


def _forget(hub: Hub) -> None:
    global _the_hub  # noqa: PLW0603 - there is one a process, because the engine is
    with _guard:
        if _the_hub is hub:
            _the_hub = None
