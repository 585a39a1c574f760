"""Several workers on one socket: started, told of signals, replaced when they die. It knows processes, not HTTP."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Generator
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

import msgspec

from tidyllm import clock
from tidyllm.config import Routes
from tidyllm.errors import TidyllmError
from tidyllm.gateway.worker import Work, given_key, work

__all__ = ["Supervisor"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BETWEEN_STARTS = 1.0
"""Seconds between two starts in the same place: a worker that dies at once would else be started without end."""


class _Place:
    """One of the workers that there shall be."""

    def __init__(self) -> None:
        self.process: SpawnProcess | None = None
        self.started = float("-inf")


class Supervisor:
    """Keeps `count` workers on one socket.

    SIGTERM and SIGINT reach the workers as SIGTERM, so that a key pressed in a terminal, which signals all of them,
    does not count twice. SIGHUP reaches them only when the new settings are good.
    """

    def __init__(self, task: Work, listener: socket.socket, count: int) -> None:
        self._task = task
        self._listener = listener
        self._places = [_Place() for _ in range(count)]
        self._stopping = False
        self._waiting: list[int] = []
        self._context = multiprocessing.get_context("spawn")
        self._log = logging.getLogger("tidyllm.gateway")

    def run(self) -> None:
        """Return when a signal said to stop and the last worker has ended."""
        # Workers count into files here, so that any of them can tell the sums of all.
        _remove_left_behind()
        directory = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        for one in _SIGNALS:
            signal.signal(one, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # what came while nobody could hear it
        try:
            while not (self._stopping and all(place.process is None for place in self._places)):
                self._tend()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._waiting.append(number)

    def _tend(self) -> None:
        while self._waiting:
            self._hear(self._waiting.pop(0))
        now = clock.monotonic()
        for place in self._places:
            process = place.process
            if process is not None and process.exitcode is not None:
                process.join()
                _forget_gauges(process.pid)
                place.process = None
                if not self._stopping:
                    self._log.error(
                        "worker %s ended with %s; another one takes its place", process.pid, process.exitcode
                    )
            if place.process is None and not self._stopping and now - place.started >= _BETWEEN_STARTS:
                place.process = self._start()
                place.started = now
        # A signal does not end the wait; it is heard with the next turn.
        wait([place.process.sentinel for place in self._places if place.process is not None], 0.1)

    def _start(self) -> SpawnProcess:
        process = self._context.Process(
            target=_begin, args=(self._task, self._listener), name="tidyllm-worker"
        )
        with _signals_held():  # a worker starts with them held, and hears them when it is ready
            process.start()
        return process

    def _hear(self, number: int) -> None:
        if number == signal.SIGHUP:
            try:
                settings = self._task.source.settings()
                Routes(settings)
                key = given_key(settings) or self._task.key
            except TidyllmError as error:
                self._log.error("the configuration was not reloaded, the one before goes on: %s", error)
                return
            except Exception:  # noqa: BLE001 - whatever it is, the workers go on with what they have
                self._log.exception("the configuration was not reloaded, the one before goes on")
                return
            # Workers that take a dead one's place begin with what the others have read.
            self._task = msgspec.structs.replace(self._task, settings=settings, key=key)
        else:
            self._stopping = True
            number = signal.SIGTERM
        for place in self._places:
            process = place.process
            if process is not None and process.pid is not None and process.exitcode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, number)


@contextlib.contextmanager
def _signals_held() -> Generator[None]:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _begin(task: Work, listener: socket.socket) -> None:
    """The main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(task, listener, supervised=True)


_PREFIX = "tidyllm-metrics-"


def _remove_left_behind() -> None:
    """Directories of supervisors that were killed and could not remove them; those of others who run stay."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        number = path.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            if not number.isdecimal() or path.stat().st_uid != os.getuid():
                continue
            if int(number) != os.getpid():  # in a container each one has the same number as the one before
                os.kill(int(number), 0)
                continue
        except ProcessLookupError:
            pass
        except (OSError, OverflowError):
            continue
        shutil.rmtree(path, ignore_errors=True)


def _forget_gauges(pid: int | None) -> None:
    from prometheus_client import multiprocess

    if pid is not None:
        multiprocess.mark_process_dead(pid)  # pyright: ignore[reportUnknownMemberType]
