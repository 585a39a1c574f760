"""One serving process: it runs the gateway on a socket until it is told to stop. It knows signals, not models.

SIGHUP reads the configuration again; running requests keep the routes they began with. SIGTERM and SIGINT drain: new
requests get 503, running ones finish, at most for `server.drain` seconds; a second signal stops at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path
from types import FrameType

import msgspec
import uvicorn

from tidyllm import clock
from tidyllm.config import Routes, Settings, read
from tidyllm.config.defaults import found_in_environment, ollama_is_up
from tidyllm.errors import TidyllmError
from tidyllm.gateway.app import Gateway
from tidyllm.gateway.auth import MasterKey
from tidyllm.gateway.protocol import guarded
from tidyllm.gateway.traffic import Traffic
from tidyllm.observe import observe

__all__ = ["Source", "Work", "work"]


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
    key: str


class _Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops listening, and reloads."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, source: Source) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._source = source
        self._drain_until = 0.0
        self._log = logging.getLogger("tidyllm.gateway")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._gateway.draining:
            self.force_exit = self.should_exit = True
            return
        self._gateway.draining = True
        self._drain_until = clock.monotonic() + self._gateway.settings.server.drain

    async def on_tick(self, counter: int) -> bool:
        if self._gateway.draining and not self.should_exit:
            late = clock.monotonic() >= self._drain_until
            if late or self._gateway.traffic.running == 0:
                # Whatever still runs now is past its time.
                self.should_exit = True
                self.force_exit = late
                if late and self._gateway.traffic.running:
                    self._log.warning("%d requests were still running after the drain", self._gateway.traffic.running)
        return await super().on_tick(counter)

    def _reload(self) -> None:
        try:
            self._gateway.routes = Routes(self._source.settings())
        except TidyllmError as error:
            self._log.error("the configuration was not reloaded, the one before goes on: %s", error)
        else:
            self._log.info("the configuration was reloaded: models %s", ", ".join(self._gateway.routes) or "(patterns)")


def work(task: Work, listener: socket.socket) -> None:
    """Serve on `listener` until a signal says to stop. The main function of a worker process."""
    settings = task.source.settings()
    seen = observe(settings.observe)
    gateway = Gateway(Routes(settings), authenticate=MasterKey(task.key), traffic=Traffic(seen.metrics))
    config = uvicorn.Config(
        gateway,
        http=guarded(settings.server.header_timeout),
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
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        _Server(config, gateway, task.source).run([listener])
    finally:
        seen.close()
