"""The gateway as an ASGI application: which path is answered by what. It knows paths, not formats."""

from __future__ import annotations

import logging
from typing import Any

from tidyllm import clock
from tidyllm.config import Routes, Settings
from tidyllm.errors import TidyllmError
from tidyllm.gateway.answer import Answering
from tidyllm.gateway.asgi import Headers, Receive, Scope, Send, headers_of, send_bytes, send_json
from tidyllm.gateway.auth import Authenticator, Caller
from tidyllm.gateway.heads import PATHS
from tidyllm.gateway.listing import list_models
from tidyllm.gateway.reply import Draining, MethodNotAllowed, PathNotFound, error_format, send_error
from tidyllm.gateway.traffic import Traffic

__all__ = ["Gateway"]

_GET = ("/v1/models", "/livez", "/readyz", "/metrics")


class Gateway:
    """Answers HTTP. `routes` may be replaced at any time: a request that has begun keeps those it began with.

    `traffic` counts requests for the metrics, `authenticate` says who calls; without one everybody may.
    """

    def __init__(
        self, routes: Routes, *, authenticate: Authenticator | None = None, traffic: Traffic | None = None
    ) -> None:
        self.routes = routes
        self.authenticator = authenticate
        self.traffic = traffic or Traffic()
        self.draining = False
        self._log = logging.getLogger("tidyllm.gateway")

    @property
    def settings(self) -> Settings:
        """The settings behind the present routes."""
        return self.routes.settings

    async def authenticate(self, headers: Headers) -> Caller:
        """:raises AuthError: whoever sent these headers may not call."""
        return Caller("anyone") if self.authenticator is None else await self.authenticator(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the gateway speaks HTTP only, not {scope['type']!r}")
        path: str = scope["path"]
        format = PATHS.get(path)
        if format is not None and scope["method"] == "POST" and not self.draining:
            started = clock.monotonic()
            answering = Answering(self, format, headers_of(scope), receive, send)
            self.traffic.begin()
            try:
                await answering.run()
            finally:
                self.traffic.end(path, answering.status, clock.monotonic() - started)
            return
        await self._simple(path, scope["method"], headers_of(scope), send)

    async def _simple(self, path: str, method: str, headers: Headers, send: Send) -> None:
        try:
            await self._get(path, method, headers, send)
        except TidyllmError as error:
            allow = (("allow", "POST" if path in PATHS else "GET"),) if isinstance(error, MethodNotAllowed) else ()
            status = await send_error(
                send, error, error_format(path, headers), request_id=headers.get("x-request-id", "-"), headers=allow
            )
            self.traffic.simple(path if path in PATHS or path in _GET else "other", status)

    async def _get(self, path: str, method: str, headers: Headers, send: Send) -> None:
        if path in PATHS:
            if method != "POST":
                raise MethodNotAllowed(f"{path} takes POST, not {method}.")
            raise Draining("this server is stopping.", hint="Try again: another one will answer.")
        if path not in _GET and not path.startswith("/v1/models/"):
            known = ", ".join((*PATHS, *_GET))
            raise PathNotFound(f"there is nothing at {path[:200]!r}.", hint=f"Paths are {known}.")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{path} takes GET, not {method}.")
        if path == "/livez":
            # Alive means that the loop turns; whether a provider answers is none of its business, and would cost money.
            await send_json(send, 200, {"status": "alive"})
        elif path == "/readyz":
            ready = not self.draining
            await send_json(send, 200 if ready else 503, {"status": "ready" if ready else "draining"})
        elif path == "/metrics":
            content_type, body = await self.traffic.exposition()
            await send_bytes(send, 200, body, content_type=content_type)
        else:
            await self.authenticate(headers)
            await send_json(send, 200, list_models(self.routes, headers, path.removeprefix("/v1/models").strip("/")))

    def report(self, answering: Answering, error: BaseException) -> None:
        """A failure that nobody foresaw: told to whoever runs the gateway, with the request's id."""
        self._log.error("request %s failed unexpectedly", answering.request_id, exc_info=error)


async def _lifespan(receive: Receive, send: Send) -> None:
    answers: dict[str, Any] = {
        "lifespan.startup": "lifespan.startup.complete",
        "lifespan.shutdown": "lifespan.shutdown.complete",
    }
    while True:
        message = await receive()
        await send({"type": answers[message["type"]]})
        if message["type"] == "lifespan.shutdown":
            return
