"""DBOS, as we use it: the one place that touches it. It starts, claims, queues and ends runs; it knows no steps.

Of DBOS we use the open-source core alone: no Conductor, no key, no connection but that to the database. Its workflow is
one function of ours that runs any flow by name, and which records steps in our own tables, by path.
"""

# The engine is pinned to one version: what of it is not public is used here, and nowhere else.
# pyright: reportPrivateUsage=false
from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib import import_module
from secrets import token_hex
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy
from dbos import DBOS, DBOSClient, SetEnqueueOptions, SetWorkflowID
from dbos._context import get_local_dbos_context
from dbos._core import execute_dequeued_workflow
from dbos._utils import GlobalParams
from sqlalchemy import event

from tidyllm.durable.database import Connection
from tidyllm.durable.serializer import Ended, JsonSerializer
from tidyllm.errors import RunError, StoreDown
from tidyllm.store.location import Location

__all__ = ["Engine", "enqueue", "queue_of", "sql_engine"]

VERSION = "tidyllm"
"""Of the application, as DBOS sees it. Versions of programs are ours: each run bears that of its flow."""
_POLL = {"sqlite": 0.1, "postgresql": 0.5}

Body = Callable[[str, str], Awaitable[str]]
Due = Callable[[str, str, str], Awaitable[None]]

_body: Body | None = None
_due: Due | None = None


async def _run(run: str) -> Any:
    """Any run. What it gives is written already: the engine saves it as it is."""
    import msgspec

    assert _body is not None
    context = get_local_dbos_context()
    assert context is not None
    assert context.owner_xid is not None
    return msgspec.Raw((await _body(run, context.owner_xid)).encode())


async def _scheduled(when: Any, plan: Any) -> Any:
    assert _due is not None
    await _due(str(when), plan["flow"], plan["input"])
    return None


# Registered once a process: the engine's registry is global, and outlives its instances.
_RUN = DBOS.workflow(name="tidyllm.run", max_recovery_attempts=None)(_run)
_SCHEDULED = DBOS.workflow(name="tidyllm.scheduled")(_scheduled)


def _is_cron(text: str) -> bool:
    """Whether the engine's own reader takes it: it would say so only after an older schedule is gone."""
    reader: Any = import_module("croniter").croniter
    return bool(reader.is_valid(text, second_at_beginning=True))


def queue_of(flow: str) -> str:
    """The queue that runs of `flow` wait in, when nobody names another."""
    return f"flow:{flow}"


def enqueue(location: Location, run: str, queue: str) -> None:
    """Put `run` into `queue` from a process that runs nothing itself."""
    client = DBOSClient(system_database_url=_url(location), serializer=JsonSerializer())
    try:
        client.enqueue(
            {"workflow_name": "tidyllm.run", "queue_name": queue, "workflow_id": run, "app_version": VERSION},
            run,
        )
    finally:
        client.destroy()


class _NoNews(logging.Filter):
    """A run that failed or was parked is told by its own status, not by a traceback of the engine."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, Ended) and "no longer owned" not in record.getMessage()


class Engine:
    """DBOS on one database. There is one a process."""

    def __init__(self, location: Location, body: Body, due: Due) -> None:
        """:raises StoreDown: the database cannot be reached."""
        global _body, _due
        self.location = location
        self.executor = f"tidyllm-{token_hex(8)}"
        _body, _due = body, due
        logging.getLogger("dbos").addFilter(_NoNews())
        self._sql = sql_engine(location)
        self._dbos = DBOS(
            config={
                "name": "tidyllm",
                "system_database_url": _url(location),
                "system_database_engine": self._sql,
                "serializer": JsonSerializer(),
                "executor_id": self.executor,
                "application_version": VERSION,
                "log_level": "ERROR",
                "scheduler_polling_interval_sec": 1.0,
                # We wait for none of its notifications: this is only how long its thread takes to end.
                "notification_listener_polling_interval_sec": 0.1,
                "enable_otlp": False,
                "use_listen_notify": False,
            }
        )
        DBOS.listen_queues([])

    def launch(self) -> None:
        """:raises StoreDown: the database cannot be reached."""
        try:
            DBOS.launch()
        except Exception as error:
            self.close()
            raise StoreDown(
                f"{self.location.name} cannot be used for runs: {str(error).splitlines()[0]}."
            ) from error

    def close(self) -> None:
        """End it. Runs that are under way stay so in the database, for whoever takes over."""
        # Not `destroy(workflow_completion_timeout_sec=…)`: what goes on is ended by us before.
        DBOS.destroy()
        self._sql.dispose()

    def adopt_loop(self) -> None:
        """Run what comes from queues on the loop that is running now."""
        self._dbos._background_event_loop.set_main_loop()

    # -- runs

    async def start(self, run: str, *, queue: str | None, priority: int | None) -> None:
        """Begin `run` here, or put it into `queue`. Nothing happens for an id that the engine has already."""
        # In a context of its own: below another run, the engine would number it among that run's steps, by order.
        begun = asyncio.create_task(self._start(run, queue, priority), context=contextvars.Context())
        await asyncio.shield(begun)

    async def _start(self, run: str, queue: str | None, priority: int | None) -> None:
        with SetWorkflowID(run):
            if queue is None:
                handle = await DBOS.start_workflow_async(_RUN, run)
                _hold(handle)
                return
            with SetEnqueueOptions(priority=priority):
                await DBOS.enqueue_workflow_async(queue, _RUN, run)

    def claim(self, at: Connection, run: str, status: str, executor: str | None) -> bool:
        """Make `run` ours, if it is still as it was seen, and go on with it on our loop. Blocks: not on the loop."""
        owner = token_hex(16)
        sql = (
            "UPDATE {e}workflow_status SET status = 'PENDING', executor_id = ?, owner_xid = ?, application_version = ?,"
            " completed_at = NULL, queue_name = NULL, recovery_attempts = COALESCE(recovery_attempts, 0) + 1"
            " WHERE workflow_uuid = ? AND status = ? AND (executor_id = ? OR CAST(? AS TEXT) IS NULL)"
        )
        values = (self.executor, owner, GlobalParams.app_version, run, status, executor, executor)
        with at.lock:
            if at.run(sql, values) != 1:
                return False
        found = self._dbos._sys_db.get_workflow_status(run)
        if found is None or found["status"] != "PENDING":
            return False
        execute_dequeued_workflow(self._dbos, found, owner)
        return True

    def requeue(self, run: str, executor: str, queue: str) -> bool:
        """Give a run of a dead executor back to its queue, where any worker finds it."""
        return self._dbos._sys_db.reenqueue_for_recovery(run, [executor], queue)

    async def cancel(self, run: str) -> None:
        await DBOS.cancel_workflow_async(run)

    async def resume(self, run: str, queue: str) -> None:
        await asyncio.to_thread(self._dbos._sys_db.resume_workflows, [run], queue_name=queue)

    async def delete(self, runs: Sequence[str]) -> None:
        await asyncio.to_thread(self._dbos._sys_db.delete_workflows, list(runs))

    # -- queues and schedules

    async def make_queue(
        self,
        name: str,
        *,
        concurrency: int | None = None,
        worker_concurrency: int | None = None,
        rate: tuple[int, float] | None = None,
        keep: bool = False,
    ) -> None:
        await DBOS.register_queue_async(
            name,
            global_concurrency=concurrency,
            worker_concurrency=worker_concurrency,
            limiter=None if rate is None else {"limit": rate[0], "period": rate[1]},
            polling_interval_sec=_POLL[self.location.dialect],
            on_conflict="never_update" if keep else "always_update",
        )

    def listen(self, names: Sequence[str]) -> None:
        """Take runs from these queues, too, from now on."""
        listening = self._dbos._listening_queues
        assert listening is not None
        listening.extend(name for name in names if name not in listening)

    async def make_schedule(self, name: str, cron: str, flow: str, text: str, timezone: str | None) -> None:
        if not _is_cron(cron):
            raise RunError(
                f"{cron!r} is no schedule; expected five fields, such as '0 * * * *', or six with seconds first."
            )
        try:
            if timezone is not None:
                ZoneInfo(timezone)
        except (ValueError, OSError, KeyError) as error:
            raise RunError(f"{timezone!r} is no time zone; expected a name such as 'Europe/Oslo'.") from error
        await self.drop_schedule(name)
        await DBOS.create_schedule_async(
            schedule_name=name,
            workflow_fn=_SCHEDULED,
            schedule=cron,
            context={"flow": flow, "input": text},
            cron_timezone=timezone,
        )

    async def drop_schedule(self, name: str) -> None:
        await DBOS.delete_schedule_async(name)


_held: set[asyncio.Task[Any]] = set()


def _hold(handle: Any) -> None:
    """The engine's handle holds the task of a run that was begun here; its error is told by `Run.result`."""
    task = asyncio.ensure_future(_quietly(handle))
    _held.add(task)
    task.add_done_callback(_held.discard)


async def _quietly(handle: Any) -> None:
    task = getattr(handle, "task", None)
    if task is not None:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()


def _url(location: Location) -> str:
    if location.path is not None:
        return f"sqlite:///{location.path}"
    assert location.url is not None
    return location.url.render_as_string(hide_password=False)


def sql_engine(location: Location) -> sqlalchemy.Engine:
    """How the engine opens its database: SQLite in WAL, Postgres with a pool."""
    if location.path is None:
        assert location.url is not None
        return sqlalchemy.create_engine(
            location.url, pool_size=10, max_overflow=10, pool_pre_ping=True, hide_parameters=True
        )
    engine = sqlalchemy.create_engine(f"sqlite:///{location.path}", hide_parameters=True)
    event.listen(engine, "connect", _pragmas)
    return engine


def _pragmas(driver: Any, _: object) -> None:
    driver.isolation_level = "IMMEDIATE"
    for pragma in ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL"):
        driver.execute(f"PRAGMA {pragma}")
