"""One serving process: it runs the gateway on a socket until it is told to stop. It knows signals, not models.

SIGHUP reads the configuration again; running requests keep the routes they began with. SIGTERM and SIGINT drain: new
requests get 503, running ones finish, at most for `server.drain` seconds; a second signal stops at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn

from tidyllm import clock
from tidyllm.config import Routes, Settings, read, secret
from tidyllm.config.defaults import found_in_environment, ollama_is_up
from tidyllm.errors import TidyllmError
from tidyllm.gateway.admit import Admission
from tidyllm.gateway.app import Gateway
from tidyllm.gateway.auth import MasterKey
from tidyllm.gateway.feedback import Verdicts
from tidyllm.gateway.memory import Memory
from tidyllm.gateway.protocol import Bounds, guarded
from tidyllm.gateway.traffic import Traffic
from tidyllm.observe import observe

__all__ = ["Source", "Work", "given_key", "reloads_held", "work"]


class Source(msgspec.Struct, frozen=True):
    """Where the settings come from: a file with its overlay, or (None) what the environment offers."""

    path: str | None = None
    env: str | None = None

    def settings(self) -> Settings:
        """:raises ConfigError: the file is missing or wrong."""
        if self.path is not None:
            return read(Path(self.path), env=self.env)
        return found_in_environment(os.environ, ollama=ollama_is_up())


class Work(msgspec.Struct, frozen=True):
    """What a worker process is told."""

    source: Source
    settings: Settings
    key: str
    open_metrics: bool = False
    workers: int = 1


def given_key(settings: Settings) -> str | None:
    """The master key that somebody chose: in the settings, else in TIDYLLM_MASTER_KEY.

    :raises ConfigError: it is weak, or not where the settings say.
    """
    where, key = "TIDYLLM_MASTER_KEY", os.environ.get("TIDYLLM_MASTER_KEY") or None
    if settings.server.master_key is not None:
        where = "server.master_key"
        key = secret(settings.server.master_key, where=where)
    if key is not None:
        MasterKey(key, where=where)
    return key


@contextlib.contextmanager
def reloads_held() -> Generator[None]:
    """Keep SIGHUP waiting until somebody hears it: by its default it would end a process that has just begun."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))


class _Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops listening, and reloads."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, source: Source, *, supervised: bool) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._source = source
        self._supervised = supervised
        self._drain_until = 0.0
        self._memory = Memory()
        self._reloading: asyncio.Task[None] | None = None
        self._reload_again = False
        """A reload was asked for while one ran, which may have read the file before it was changed."""
        self._log = logging.getLogger("tidyllm.gateway")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self._hear_reload)
            # A supervisor starts its workers with signals held: what came meanwhile is heard now.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        parent = multiprocessing.parent_process()
        if self._supervised and parent is not None:
            loop.add_reader(parent.sentinel, self._orphaned)

    def _orphaned(self) -> None:
        """The supervisor was killed: nobody else will stop this process."""
        parent = multiprocessing.parent_process()
        if parent is not None:
            asyncio.get_running_loop().remove_reader(parent.sentinel)
        self._drain()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._gateway.draining:
            self.force_exit = self.should_exit = True
        else:
            self._drain()

    def _drain(self) -> None:
        self._gateway.draining = True
        self._drain_until = clock.monotonic() + self._gateway.settings.server.drain

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # every second
            self._memory.tend()
        if self._gateway.draining and not self.should_exit:
            running = self._gateway.traffic.running
            late = clock.monotonic() >= self._drain_until
            if late and running:
                self._log.warning("%d requests did not finish within the drain, and are ended", running)
            self.should_exit = late or not running
        return await super().on_tick(counter)

    def _hear_reload(self) -> None:
        self._reload_again = True
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        while self._reload_again:
            self._reload_again = False
            try:
                await self._reload_once()
            except TidyllmError as error:
                self._log.error("the configuration was not reloaded, the one before goes on: %s", error)
            except Exception:  # noqa: BLE001 - whatever it is, the gateway goes on with what it has
                self._log.exception("the configuration was not reloaded, the one before goes on")

    async def _reload_once(self) -> None:
        before = self._gateway.routes
        routes, key = await asyncio.to_thread(_read_again, self._source, before)
        if self._gateway.admission is not None:  # it may refuse: then everything stays as it was
            self._gateway.admission.renew(routes.settings, key)
        self._gateway.routes = routes
        if key is not None:
            self._gateway.authenticator = key
        routes.stores.tidy(routes.settings)
        self._log.info("the configuration was reloaded: models %s", ", ".join([*routes, *routes.patterns]))
        for name in _fixed_changes(before.settings, routes.settings):
            self._log.warning("%s has changed: this takes effect with the next start", name)


def _read_again(source: Source, before: Routes) -> tuple[Routes, MasterKey | None]:
    settings = source.settings()
    key = given_key(settings) if settings.server.master_key is not None else None
    return Routes(settings, earlier=before), None if key is None else MasterKey(key)


def _fixed_changes(before: Settings, after: Settings) -> list[str]:
    """What has changed in the settings and cannot change while the server runs."""
    changed = [
        f"server.{name}"
        for name in ("host", "port", "workers")
        if getattr(before.server, name) != getattr(after.server, name)
    ]
    sections = ("observe", "redis", "sign_on", "store")
    return changed + [name for name in sections if getattr(before, name) != getattr(after, name)]


def work(task: Work, listener: socket.socket, *, supervised: bool = False) -> None:
    """Serve on `listener` until a signal says to stop."""
    seen = observe(task.settings.observe)
    gateway = _gateway(task, Traffic(seen.metrics))
    config = uvicorn.Config(
        gateway,
        http=guarded(lambda: Bounds(head=gateway.settings.server.header_timeout)),
        ws="none",
        lifespan="on",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        # Longer than the 60 s after which common load balancers drop an idle connection: they close first, not we.
        timeout_keep_alive=65,
        timeout_graceful_shutdown=1,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    _calm_garbage_collection()
    try:
        _Server(config, gateway, task.source, supervised=supervised).run([listener])
    finally:
        seen.close()


def _gateway(task: Work, traffic: Traffic) -> Gateway:
    routes = Routes(task.settings)
    master = MasterKey(task.key)
    gateway = Gateway(routes, authenticate=master, traffic=traffic, open_metrics=task.open_metrics)
    stores = routes.stores
    gateway.admission = admission = Admission(
        task.settings, stores, master, workers=task.workers, on_degraded=traffic.limits_degraded
    )
    gateway.verdicts = Verdicts(stores.store, on_stopped=traffic.arm_stopped)
    if stores.store is not None:
        from tidyllm.gateway.backstage import backstage

        gateway.admin = backstage(admission, stores.store, task.settings)
    return gateway


def _calm_garbage_collection() -> None:
    """Collect less often, and never look again at what was loaded at the start.

    Nearly all that a request makes is freed at once by its reference count; the collector only has to find the few
    cycles. Measured at 6,000 requests a second: 166 µs of CPU a request before, 140 after, for 4 MiB of memory. A
    higher threshold than this was not quicker, and let 3 MiB more pile up after 3,000 requests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(8_000, 10, 10)
