"""The gateway as an ASGI application: which path is answered by what. It knows paths, not formats."""

from __future__ import annotations

import asyncio
import logging
import re
from difflib import get_close_matches
from typing import Any

from tidyllm import clock
from tidyllm.access.problems import Forbidden
from tidyllm.config import Routes, Settings
from tidyllm.core import Context
from tidyllm.errors import TidyllmError
from tidyllm.gateway.admit import Admission
from tidyllm.gateway.answer import Answering
from tidyllm.gateway.asgi import Application, Headers, Receive, Scope, Send, send_bytes, send_json
from tidyllm.gateway.auth import Authenticator, Caller
from tidyllm.gateway.body import ClientGone, read_body
from tidyllm.gateway.feedback import PATH as FEEDBACK
from tidyllm.gateway.feedback import Verdicts
from tidyllm.gateway.heads import PATHS
from tidyllm.gateway.listing import list_models
from tidyllm.gateway.reply import Draining, MethodNotAllowed, NotFound, error_format, send_error
from tidyllm.gateway.traffic import Traffic
from tidyllm.models.http import default_transport

__all__ = ["Gateway"]

_FEEDBACK_BYTES = 500_000
_GET = ("/", "/v1/models", "/livez", "/readyz", "/metrics")
_BY_A_PROXY = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers that proxies add, one at least."""


class Gateway:
    """Answers HTTP. `routes` may be replaced at any time: a request that has begun keeps those it began with.

    - `authenticate`: says who calls; without one everybody may.
    - `traffic`: counts requests, and gives out the metrics.
    - `open_metrics`: whether `/metrics` is shown without a key to those who come through no proxy. They tell names
      of models and what they cost.

    It runs under any ASGI server. Under uvicorn with `protocol.guarded` clients are bounded in the time they take, and
    one who leaves is noticed at no cost.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        authenticate: Authenticator | None = None,
        traffic: Traffic | None = None,
        open_metrics: bool = False,
    ) -> None:
        self.routes = routes
        self.authenticator = authenticate
        self.admission: Admission | None = None
        """Keys, limits and money; None: `authenticate` alone says who may call."""
        self.verdicts = Verdicts(None)
        """Takes feedback on answers."""
        self.admin: Application | None = None
        """Answers what is under `/admin/v1`."""
        self.traffic = traffic or Traffic()
        self.open_metrics = open_metrics
        self.draining = False
        """New calls are refused with 503; running ones go on."""
        self._log = logging.getLogger("tidyllm.gateway")

    @property
    def settings(self) -> Settings:
        """The settings behind the present routes."""
        return self.routes.settings

    async def authenticate(self, headers: Headers) -> Caller:
        """:raises AuthError: whoever sent these headers may not call."""
        if self.admission is not None:
            return await self.admission.identify(headers)
        return _ANYONE if self.authenticator is None else await self.authenticator(headers)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        """Who calls a path that asks no model.

        :raises AuthError: it is not known. :raises Forbidden: the key is not for this.
        """
        caller = await self.authenticate(headers)
        if self.admission is not None:
            self.admission.allow(caller, scope, headers)
        return caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            endpoint = PATHS.get(path) or PATHS.get(path := _plain(path))
            if endpoint is not None and scope["method"] == "POST" and not self.draining:
                await self._answer(endpoint, path, scope, receive, send)
            elif path == FEEDBACK and scope["method"] == "POST" and not self.draining:
                await self._feedback(scope, receive, send)
            elif self.admin is not None and path.startswith("/admin/"):
                await self.admin(scope, receive, send)
            else:
                await self._simple(path, scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise RuntimeError(f"the gateway speaks HTTP only, not {scope['type']!r}")

    async def _answer(self, endpoint: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        started = clock.monotonic()
        answering = Answering(self, endpoint, scope, receive, send)
        self.traffic.begin()
        try:
            await answering.run()
        finally:
            self.traffic.end(path, answering.status, clock.monotonic() - started)

    async def _feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope["headers"])
        request_id = Context.new(trace_parent=headers.get("traceparent")).run_id
        try:
            caller = await self._caller(scope, headers)
            timeout = self.settings.server.body_timeout
            body = await read_body(receive, headers, limit=_FEEDBACK_BYTES, timeout=timeout)
            understood = await self.verdicts.take(body, caller.key, self.routes)
            await send_json(send, 200, understood)
            self.traffic.simple(FEEDBACK, 200)
        except ClientGone:
            self.traffic.simple(FEEDBACK, 499)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            known = error if isinstance(error, TidyllmError) else self.unforeseen(request_id, error)
            status = await send_error(
                receive, send, known, error_format(FEEDBACK, headers), request_id=request_id
            )
            self.traffic.simple(FEEDBACK, status)

    async def _simple(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope["headers"])
        request_id = Context.new(trace_parent=headers.get("traceparent")).run_id
        try:
            await self._get(path, scope, headers, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            known = error if isinstance(error, TidyllmError) else self.unforeseen(request_id, error)
            allow = ((b"allow", b"POST" if path in PATHS or path == FEEDBACK else b"GET, HEAD"),)
            status = await send_error(
                receive,
                send,
                known,
                error_format(path, headers),
                request_id=request_id,
                fields=allow if isinstance(error, MethodNotAllowed) else (),
            )
            self.traffic.simple(path if path in PATHS or path in _GET else "other", status)

    async def _get(self, path: str, scope: Scope, headers: Headers, send: Send) -> None:
        method = scope["method"]
        if path in PATHS or path == FEEDBACK:
            if method != "POST":
                raise MethodNotAllowed(f"{path} takes POST, not {method}.")
            raise Draining("this server is stopping.", hint="Try again: another one will answer.")
        if path not in _GET and not path.startswith("/v1/models/"):
            raise NotFound(f"there is nothing at {path[:200]!r}.", hint=_instead(path, self._known))
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{path[:200]} takes GET, not {method}.")
        if path == "/":
            await send_json(send, 200, {"service": "tidyllm", "paths": self._known})
        elif path == "/livez":
            # Alive means that the loop turns; whether a provider answers is none of its business, and would cost money.
            await send_json(send, 200, {"status": "alive"})
        elif path == "/readyz":
            ready = not self.draining
            await send_json(send, 200 if ready else 503, {"status": "ready" if ready else "draining"})
        elif path == "/metrics":
            # A proxy on this machine brings in callers from anywhere: they are not the ones who may look unasked.
            if not self.open_metrics or any(name in headers for name in _BY_A_PROXY):
                caller = await self._caller(scope, headers)
                if caller.key is not None and caller.key.role is None:
                    raise Forbidden(
                        f"key {caller.key.prefix}… has no role, and may not see metrics.", what="role"
                    )
            content_type, body = await self.traffic.exposition()
            await send_bytes(send, 200, body, content_type=content_type.encode())
        else:
            key = (await self._caller(scope, headers)).key
            query, one = scope.get("query_string", b""), path[len("/v1/models/") :]
            await send_json(send, 200, list_models(self.routes, headers, one, query, key=key))

    @property
    def _known(self) -> list[str]:
        """The paths that there are."""
        return [*PATHS, FEEDBACK, *_GET, *(() if self.admin is None else ("/admin/v1",))]

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        answers: dict[str, Any] = {
            "lifespan.startup": "lifespan.startup.complete",
            "lifespan.shutdown": "lifespan.shutdown.complete",
        }
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                return  # the loop ends without a word
            if message["type"] == "lifespan.shutdown":
                await default_transport().aclose()
                if self.admission is not None:
                    await self.admission.aclose()
            await send({"type": answers[message["type"]]})
            if message["type"] == "lifespan.shutdown":
                return

    def unforeseen(self, request_id: str, error: Exception) -> TidyllmError:
        """A failure that nobody foresaw, as the caller is told it; the log has it whole, with the request's id."""
        self._log.error("request %s failed unexpectedly", request_id, exc_info=error)
        return TidyllmError(
            f"the gateway failed on this request ({type(error).__name__}).",
            hint=f"Its log says more, under {request_id}.",
        )


_ANYONE = Caller("anyone")


def _plain(path: str) -> str:
    """The path as it was meant: a base URL that ends in a slash, or a slash at the end, makes one too many.

    Only where models are called. Proxies that keep others from `/metrics` may compare paths as they are written.
    """
    path = f"/{path.lstrip('/')}" if path.startswith("//v1/") else path
    if path.startswith("/v1/models/") and path != "/v1/models/":
        return path  # what follows is a name, and may hold anything
    meant = _SLASHES.sub("/", path).rstrip("/")
    return meant if meant in PATHS or meant == "/v1/models" else path


_SLASHES = re.compile("/{2,}")


def _instead(path: str, known: list[str]) -> str:
    """What a caller with a wrong path probably wants."""
    if path.startswith("/v1/v1/"):
        return "Let the client's base_url end without /v1."
    if f"/v1{path}" in known:
        return "Let the client's base_url end in /v1."
    near = get_close_matches(path[:100], known, 1)
    return f"Did you mean {near[0]}?" if near else f"Paths are {', '.join(known)}."
