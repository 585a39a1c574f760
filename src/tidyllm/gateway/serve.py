"""`tidyllm serve`: checks what must be true before serving, binds the socket, and runs one worker or several."""

from __future__ import annotations

import ipaddress
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

import msgspec

from tidyllm import clock
from tidyllm.config import Routes, Settings
from tidyllm.config.read import secret
from tidyllm.errors import ConfigError
from tidyllm.gateway.auth import MasterKey, generated_key
from tidyllm.gateway.worker import Source, Work, work

__all__ = ["Started", "serve"]


class Started(msgspec.Struct, frozen=True):
    """What is true when the server is about to listen: for the words on the screen."""

    url: str
    routes: Routes
    key_file: Path | None
    """Where the generated key is; None when a key was given."""
    workers: int
    from_environment: bool


def serve(
    source: Source,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    tell: Callable[[Started], None],
) -> None:
    """Serve until a signal says to stop. `host`, `port` and `workers` go before what the settings say.

    :raises ConfigError: the settings are wrong, the address cannot be had, or it lies beyond loopback without a key.
    """
    settings = source.settings()
    server = settings.server
    routes = Routes(settings)
    chosen = server.host if host is None else host
    key, key_file = _key(settings, chosen)
    count = workers or server.workers
    listener = _listen(chosen, server.port if port is None else port)
    try:
        shown = f"[{chosen}]" if ":" in chosen else chosen
        url = f"http://{shown}:{listener.getsockname()[1]}"
        tell(Started(url, routes, key_file, count, source.path is None))
        task = Work(source, key)
        if count == 1:
            work(task, listener)
        else:
            _Supervisor(task, listener, count).run()
    finally:
        listener.close()


def _key(settings: Settings, host: str) -> tuple[str, Path | None]:
    given = os.environ.get("TIDYLLM_MASTER_KEY")
    if settings.server.master_key is not None:
        given = secret(settings.server.master_key, where="server.master_key")
    if given:
        MasterKey(given)  # refuses a weak one
        return given, None
    if not _is_loopback(host):
        raise ConfigError(
            f"the server would listen on {host}, beyond this machine, without a key of yours.",
            where="TIDYLLM_MASTER_KEY",
            hint="Set it (openssl rand -hex 24 makes one), or listen on 127.0.0.1.",
        )
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(base) / "tidyllm" / "master.key"
    return generated_key(path), path


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"there is no address {host!r}: {error.strerror or error}.", where="server.host") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}.",
            where="server.port",
            hint="Another program may use it; choose another with --port (0 takes a free one).",
        ) from error
    return listener


class _Supervisor:
    """Keeps `count` workers on one socket: starts them, passes signals on, and replaces those that die."""

    def __init__(self, task: Work, listener: socket.socket, count: int) -> None:
        self._task = task
        self._listener = listener
        self._count = count
        self._workers: list[SpawnProcess] = []
        self._stopping = False
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        # Workers count into files here, so that any of them can tell the sums of all.
        directory = tempfile.mkdtemp(prefix="tidyllm-metrics-")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        for name in ("SIGTERM", "SIGINT", "SIGHUP"):
            signal.signal(getattr(signal, name), self._pass_on)
        try:
            self._workers = [self._start() for _ in range(self._count)]
            while self._workers:
                self._tend()
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _start(self) -> SpawnProcess:
        process = self._context.Process(target=work, args=(self._task, self._listener), name="tidyllm-worker")
        process.start()
        return process

    def _tend(self) -> None:
        for process in list(self._workers):
            process.join(0.2 / len(self._workers))
            if process.exitcode is None:
                continue
            self._workers.remove(process)
            _forget_gauges(process.pid)
            if not self._stopping:
                # One that dies at once would be started again without end: not more than one a second.
                _pause(1.0)
                self._workers.append(self._start())

    def _pass_on(self, sig: int, frame: FrameType | None) -> None:
        if sig != signal.SIGHUP:
            self._stopping = True
        for process in self._workers:
            if process.pid is not None and process.exitcode is None:
                os.kill(process.pid, sig)


def _pause(seconds: float) -> None:
    until = clock.monotonic() + seconds
    while clock.monotonic() < until:
        signal.sigtimedwait([], min(0.1, seconds))


def _forget_gauges(pid: int | None) -> None:
    from prometheus_client import multiprocess

    if pid is not None:
        multiprocess.mark_process_dead(pid)
