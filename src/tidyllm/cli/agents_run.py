"""`tidyllm agents run`: a team at work, durably. It puts plan, workspace, runtime and view together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any

import msgspec

from tidyllm import clock
from tidyllm.agents.coordinator import Coordinator
from tidyllm.agents.coordinator_events import ProjectEvent, Warned
from tidyllm.agents.project import ProjectResult
from tidyllm.cli.agents_back import Back, put_back
from tidyllm.cli.agents_kept import Kept, ids, imported, keep, new, stem
from tidyllm.cli.agents_order import Order, Plan, plan
from tidyllm.cli.agents_people import InputEnded, answering, answers_itself
from tidyllm.cli.agents_told import told, told_json
from tidyllm.cli.agents_view import JsonLines, View, chosen_view
from tidyllm.cli.output import say
from tidyllm.cli.settings import chosen_store
from tidyllm.durable import Run, Runtime, workflow
from tidyllm.durable.database import Connection
from tidyllm.durable.place import beside
from tidyllm.durable.starting import outcome
from tidyllm.durable.tables import DONE
from tidyllm.errors import ConfigError, RunDiverged, RunNotFound, TidyllmError
from tidyllm.money import Budget, Ledger
from tidyllm.sandbox import Workspace
from tidyllm.store import Store
from tidyllm.store.location import Location

__all__ = ["FLOW", "Talk", "run"]

FLOW = "agents"
"""The name of the flow: what `tidyllm runs list --flow` knows these runs by."""
_ASKED = ("run_command", "delete_file", "move_file")
"""Tools that a person who said --ask decides on: what an edit does can be read, and is undone; these reach further."""
_TWICE = 0.5
"""Seconds."""


@dataclass(frozen=True, kw_only=True)
class Talk:
    """How the command talks. `yes` answers what is asked; `ask` asks a person; neither: only on a terminal."""

    yes: bool = False
    ask: bool = False
    as_json: bool = False
    afresh: bool = False
    keep: bool = False
    """The tree stays as agents left it, also where they failed."""
    store: str | None = None

    @property
    def asks(self) -> bool:
        """Whether a person is asked."""
        return not self.yes and (
            self.ask or (sys.stdin.isatty() and sys.stderr.isatty() and not self.as_json)
        )


def run(order: Order, talk: Talk) -> int:
    """Let the team work to its end; returns the exit status.

    :raises TidyllmError: it could not begin or go on.
    """
    if talk.yes and talk.ask:
        raise ConfigError("--yes and --ask cannot both hold.", hint="--yes answers what --ask would ask you.")
    view: View | None = None
    try:
        chosen = plan(order)
        url = chosen_store(talk.store)
        view = chosen_view(as_json=talk.as_json)
        logs = _Logs(view)
        logging.getLogger("tidyllm").addHandler(logs)
        return asyncio.run(_Work(chosen, talk, view, url, logs.told).whole())
    except TidyllmError as error:
        if view is not None:
            view.close()
        if talk.as_json:
            JsonLines().write({"event": "error", "error": type(error).__name__, "message": str(error)})
        raise
    finally:
        if view is not None:
            view.close()


class _Standing(msgspec.Struct, frozen=True):
    """What is recorded of a run."""

    unfinished: bool
    over: bool = False
    """It has a result."""
    calls: int = 0


def _standing(at: Connection, run: str) -> _Standing:
    try:
        found = outcome(at, run)
    except RunNotFound:
        return _Standing(unfinished=False)
    if found.status == "failed":
        return _Standing(unfinished=False)
    calls = at.rows("SELECT count(*) FROM {s}tidyllm_steps WHERE run = ? AND state = ?", (run, DONE))[0][0]
    over = found.status == "done"
    return _Standing(unfinished=not over, over=over, calls=calls)


class _Logs(logging.Handler):
    """What is logged meanwhile goes where the run is shown, not across it."""

    def __init__(self, view: View) -> None:
        super().__init__(logging.WARNING)
        self._view = view
        self.told: set[str] = set()
        """Warnings that the view has shown as events."""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.told:
            self._view.notice(f"   note: {text}")


class _Work:
    def __init__(self, chosen: Plan, talk: Talk, view: View, url: str | None, warned: set[str]) -> None:
        self.warned = warned
        self._plan = chosen
        self._talk = talk
        self._view = view
        self._url = url
        self._location: Location = beside(url)
        self._stopped: signal.Signals | None = None
        self._since = 0.0

    async def whole(self) -> int:
        talk = self._talk
        async with Runtime(self._location, ask=talk.yes or talk.asks) as runtime:
            kept, standing = await self._chosen(runtime)
            with self._workspace(kept) as workspace:
                async with self._books() as ledger:
                    try:
                        return await self._run(runtime, kept, standing, workspace, ledger)
                    finally:
                        await runtime.close()  # before workspace and books: its agents stop first

    @contextlib.asynccontextmanager
    async def _books(self) -> AsyncGenerator[Ledger]:
        """What is spent is written down before it is spent: a call in flight at a crash is in doubt, and counts."""
        store = await asyncio.to_thread(Store.open, self._url)
        ledger = Ledger(store, writer="agents")
        try:
            await ledger.recover()  # what a process left open that was killed: this run's, or another's
            yield ledger
        finally:
            await ledger.aclose()
            await store.aclose()

    async def _chosen(self, runtime: Runtime) -> tuple[Kept, _Standing]:
        """The unfinished run of this goal, or a new one."""
        chosen = self._plan
        before = ids(stem(chosen.project, chosen.goal.text))
        last = before[-1] if before else None
        if last is not None and not last.undone and not self._talk.afresh:
            name = last.id
            standing = await runtime.query(lambda at: _standing(at, name))
            if standing.unfinished or (standing.over and not last.told):
                others = chosen.options.differences(last.options)
                if others:
                    raise ConfigError(
                        f"run {last.id} of this goal is unfinished, and began with other options: "
                        f"{', '.join(others)}.",
                        hint="Give them as before to go on with it, or --new to start afresh.",
                    )
                return last, standing
        kept = new(
            chosen.project, chosen.goal.text, last.number + 1 if last is not None else 1, chosen.options
        )
        return kept, _Standing(unfinished=False)

    def _workspace(self, kept: Kept) -> Workspace:
        chosen = self._plan
        return Workspace(
            chosen.project,
            run=kept.id,
            protect=chosen.options.protect,
            allow_commands=chosen.commands,
            unsandboxed=True,  # the plan has asked where there is no sandbox; where there is one, it is used
            allow_tests=chosen.options.allow_tests,
        )

    async def _run(
        self, runtime: Runtime, kept: Kept, standing: _Standing, workspace: Workspace, ledger: Ledger
    ) -> int:
        chosen, view = self._plan, self._view
        self._greet(kept, standing)
        team = Coordinator(
            chosen.model,
            workspace,
            mode=chosen.mode,
            check=chosen.check,
            limits=chosen.limits,
            policies=dict.fromkeys(_ASKED, "ask") if chosen.options.ask else {},
            observe=self._observe,
        )
        runtime.hub.budget = Budget(chosen.max_usd, name=f"run:{kept.id}", ledger=ledger)
        keep(kept)
        began = clock.monotonic()
        run = await runtime.start(workflow(team, name=FLOW, version="1"), chosen.goal, id=kept.id)
        found = await run.outcome()
        if found.status == "running" and found.executor != runtime.hub.engine.executor:
            view.notice(f"Run {kept.id} is under way elsewhere; this waits for its end.")
        result = await self._result(runtime, run)
        if result is None:
            return await self._left(runtime, kept)
        back = Back() if self._talk.keep else await asyncio.to_thread(put_back, kept, result, workspace)
        if isinstance(view, JsonLines):
            view.write(told_json(kept, result, back))
        else:
            view.close()
            say(told(kept, result, back, clock.monotonic() - began))
        keep(msgspec.structs.replace(kept, told=True))
        imported(chosen.project, chosen.goal.text).unlink(missing_ok=True)  # it was the beginning of this one
        return result.exit_code

    def _observe(self, event: ProjectEvent) -> None:
        if isinstance(event, Warned):
            self.warned.add(event.text)
        self._view.event(event)

    def _greet(self, kept: Kept, standing: _Standing) -> None:
        chosen, view = self._plan, self._view
        if isinstance(view, JsonLines):
            view.write(
                {
                    "event": "started",
                    "run": kept.id,
                    "project": str(chosen.project),
                    "mode": chosen.mode,
                    "model": chosen.model.name,
                    "goes_on": standing.unfinished or standing.over,
                    "recorded_calls": standing.calls,
                }
            )
        usd = "no cap on dollars" if chosen.max_usd is None else f"at most ${chosen.max_usd}"
        if standing.unfinished or standing.over:
            view.notice(f"goes on with run {kept.id}, {standing.calls:,} calls recorded")
        else:
            view.notice(f"run {kept.id} · {chosen.mode} · {chosen.model.name} · {usd}")
        for note in chosen.notes:
            view.notice(note)
        if chosen.check is None:
            view.notice(
                "No --check: nobody will know whether the goal is reached, and the exit status is 3 at best."
            )

    async def _result(self, runtime: Runtime, run: Run[ProjectResult]) -> ProjectResult | None:
        """What the team gives; None when it was told to stop."""
        stop = asyncio.Event()
        with _signals(self._signalled(stop)):
            tasks: list[asyncio.Task[Any]] = [
                asyncio.create_task(run.result()),
                asyncio.create_task(stop.wait()),
            ]
            if self._talk.yes:
                tasks.append(asyncio.create_task(answers_itself(runtime, run, self._view)))
            elif self._talk.asks:
                tasks.append(asyncio.create_task(answering(runtime, run, self._view)))
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks[2:]:
                    if task.done() and isinstance(task.exception(), InputEnded):
                        self._view.notice(
                            "A question is open, and standard input is at its end. Answer it with "
                            f"`tidyllm runs approve {run.id} --answer TEXT`, or stop this and go on with --yes."
                        )
                        await asyncio.wait(tasks[:2], return_when=asyncio.FIRST_COMPLETED)
                    elif task.done():
                        task.result()
                if tasks[0].done():
                    return self._read(tasks[0])
                return None
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    @staticmethod
    def _read(task: asyncio.Task[ProjectResult]) -> ProjectResult:
        try:
            return task.result()
        except RunDiverged as error:
            error.hint = "The program or its options have changed since: start afresh with --new."
            raise

    def _signalled(self, stop: asyncio.Event) -> Callable[[signal.Signals], None]:
        def came(number: signal.Signals) -> None:
            if stop.is_set():
                # Who passes signals on sends two of one: a person takes longer.
                if clock.monotonic() - self._since > _TWICE:
                    os._exit(128 + number)  # at once, as after a crash
                return
            self._stopped, self._since = number, clock.monotonic()
            self._view.notice("Stopping; once more to leave at once.")
            stop.set()

        return came

    async def _left(self, runtime: Runtime, kept: Kept) -> int:
        """It was told to stop: say how to go on."""
        view = self._view
        await runtime.close()
        async with Runtime(self._location) as again:
            standing = await again.query(lambda at: _standing(at, kept.id))
        number = self._stopped or signal.SIGINT
        if isinstance(view, JsonLines):
            view.write({"event": "interrupted", "run": kept.id, "recorded_calls": standing.calls})
        view.notice(
            f"Stopped; {standing.calls:,} calls are recorded. The same command goes on with run {kept.id}; "
            f"`tidyllm agents undo {kept.id}` takes it back."
        )
        return 128 + number


@contextlib.contextmanager
def _signals(came: Callable[[signal.Signals], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, came, number)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
