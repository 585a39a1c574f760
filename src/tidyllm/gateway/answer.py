"""Answering one call to a model: read it, call the route, write. It knows how a request goes, not what models are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm.core import Context
from tidyllm.core.events import default_hooks
from tidyllm.core.tags import EXPERIMENT_TAG, USER_TAG
from tidyllm.errors import BadRequest, TidyllmError
from tidyllm.gateway.asgi import Headers, Receive, Scope, Send, field_value, send_bytes
from tidyllm.gateway.body import ClientGone, read_body
from tidyllm.gateway.client import ClientWatch
from tidyllm.gateway.heads import parse
from tidyllm.gateway.protocol import connection_of
from tidyllm.gateway.reply import Draining, encode_error, id_fields, send_error, told
from tidyllm.gateway.tags import user_of
from tidyllm.gateway.tally import Tally
from tidyllm.models.formats import family, wire_format
from tidyllm.models.forward import LARGE_BYTES, Forward, Forwarded, ForwardedPiece
from tidyllm.models.piece import Served, Start
from tidyllm.models.request import Request

if TYPE_CHECKING:
    from tidyllm.config import Route
    from tidyllm.gateway.admit import Ticket
    from tidyllm.gateway.app import Gateway
    from tidyllm.models.format import StreamEncoder
    from tidyllm.models.response import Response

__all__ = ["Answering"]

_EVENT_STREAM = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class Answering:
    """One request to one of the endpoints that call models. `status` is what it was answered with, once it was.

    499 stands for a client who left; a stream that broke after its beginning counts as what it broke of.
    """

    __slots__ = (
        "_receive", "_scope", "_send", "_started", "_tally", "_unread", "ctx", "endpoint", "gateway",
        "headers", "status",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, endpoint: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.endpoint = endpoint
        self.headers = Headers(scope["headers"])
        self.status = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._started = False
        self._unread = True
        self._tally = Tally()
        self.ctx = Context.new(
            trace_parent=self.headers.get("traceparent"),
            trace_state=self.headers.joined("tracestate"),
            hooks=(*default_hooks(), self._tally),
        )

    @property
    def request_id(self) -> str:
        """What the caller is told, and what logs and traces call this run."""
        return self.ctx.run_id

    async def run(self) -> None:
        """Answer. Every failure is told to the caller in his own format; a caller who is gone is told nothing."""
        watch = ClientWatch(self._scope, self._receive)
        try:
            caller = await self.gateway.authenticate(self.headers)
            body = await self._body()
            if len(body) > LARGE_BYTES:
                model, call = await asyncio.to_thread(parse, self.endpoint, body, self.headers)
            else:
                model, call = parse(self.endpoint, body, self.headers)
            admission = self.gateway.admission
            if admission is None:
                await self._go(self.gateway.routes.find(model), call, watch)
            else:
                ticket = await admission.admit(
                    caller, self._scope, self.headers, model=model, call=call, size=len(body)
                )
                try:
                    await self._go(self._routed(ticket, model, call), call, watch)
                finally:
                    await ticket.leave(self._tally.used)
        except ClientGone:
            self.status = 499
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not (watch.gone or self.gateway.draining):
                raise
            task.uncancel()
            if watch.gone:
                self.status = 499
            else:
                await self._fail(
                    Draining("this server is stopping, and could not wait for the answer any longer.")
                )
        except TidyllmError as error:
            await self._fail(error)
        except RecursionError:
            await self._fail(BadRequest("the request is nested too deeply."))
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets an answer
            await self._fail(self._unforeseen(error))

    async def _go(self, route: Route, call: Forward, watch: ClientWatch) -> None:
        with watch:
            await (self._stream(route, call) if call.stream else self._whole(route, call))

    def _routed(self, ticket: Ticket, model: str, call: Forward) -> Route:
        """The route, with the run's tags and budget in place."""
        gateway = self.gateway
        if ticket.tags or ticket.budget is not None:
            self.ctx = self.ctx.with_(tags=ticket.tags or None, budget=ticket.budget)
        self._tally.ledger = None if gateway.admission is None else gateway.admission.ledger
        routes = gateway.routes
        route = routes.find(model)
        test = routes.experiments.get(route.name) if routes.experiments else None
        if test is not None:
            if test.settings.sticky == "user" and (user := user_of(call.fields)):
                self.ctx = self.ctx.with_(tags={USER_TAG: user})
            arm = gateway.verdicts.deal(test, self.ctx, routes)
            if arm is not None:
                self.ctx = self.ctx.with_(tags={EXPERIMENT_TAG: arm})
        return route

    async def _body(self) -> bytes:
        server = self.gateway.settings.server
        connection = connection_of(self._scope)
        body = await read_body(
            self._receive,
            self.headers,
            limit=int(server.max_body_mb * 1e6),
            timeout=server.body_timeout,
            is_here=connection is not None and connection.body_is_here,
        )
        self._unread = False
        return body

    # -- the answer

    async def _whole(self, route: Route, call: Forward) -> None:
        response: Response = await self.ctx.call(route.step, call)  # pyright: ignore[reportArgumentType]
        if isinstance(response, Forwarded):
            body = response.body
        else:
            body = msgspec.json.encode(wire_format(self.endpoint).encode_response(response, call.fields))
        fields = [*id_fields(self.request_id, self.endpoint), *self._tally.fields()]
        if not response.cached:
            fields += _of_provider(response.request_id)
        if response.dropped:
            fields.append(_dropped(response.dropped))
        if response.cost_usd is not None:
            fields.append((b"x-tidyllm-cost-usd", format(response.cost_usd, "f").encode()))
        self.status = 200
        self._started = True
        if (connection := connection_of(self._scope)) is not None:
            connection.join_next()
        await send_bytes(self._send, 200, body, headers=fields)

    async def _stream(self, route: Route, call: Forward) -> None:
        pieces: AsyncGenerator[Any, None] = self.ctx.stream(route.step, call)  # pyright: ignore[reportArgumentType]
        encoder: StreamEncoder | None = None
        try:
            async for piece in pieces:
                if isinstance(piece, ForwardedPiece):
                    data = piece.data
                else:
                    encoder = encoder or wire_format(self.endpoint).stream_encoder(
                        call.request(), call.fields
                    )
                    data = encoder.feed(piece)
                if not self._started:
                    await self._start(piece)
                if data:
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
            data = b"" if encoder is None else encoder.end()
        except Exception as error:
            if not self._started:
                raise
            data = self._broken(error, encoder)
        finally:
            await pieces.aclose()
        await self._send({"type": "http.response.body", "body": data})

    async def _start(self, piece: object) -> None:
        fields = [*_EVENT_STREAM, *id_fields(self.request_id, self.endpoint), *self._tally.fields()]
        if (served := _served(piece)) is not None:
            if not served.cached:
                fields += _of_provider(served.request_id)
            if served.dropped:
                fields.append(_dropped(served.dropped))
        self.status = 200
        self._started = True
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})

    # -- failures

    def _broken(self, error: Exception, encoder: StreamEncoder | None) -> bytes:
        """The event for an error in the middle of a stream. No end marker follows it."""
        known = error if isinstance(error, TidyllmError) else self._unforeseen(error)
        self.status, _ = encode_error(known, self.endpoint, self.request_id)
        encoder = encoder or wire_format(self.endpoint).stream_encoder(Request(""))
        return encoder.error(told(known), request_id=self.request_id)

    async def _fail(self, error: TidyllmError) -> None:
        if not self._started:
            self._started = True
            self.status = await send_error(
                self._receive if self._unread else None,
                self._send,
                error,
                self.endpoint,
                request_id=self.request_id,
                fields=[*self._tally.fields(), *_of_provider(getattr(error, "request_id", None))],
            )
            return
        # The server stops in the middle of a stream.
        encoder = wire_format(family(self.endpoint)).stream_encoder(Request(""))
        self.status = 503
        event = encoder.error(told(error), request_id=self.request_id)
        await self._send({"type": "http.response.body", "body": event})

    def _unforeseen(self, error: Exception) -> TidyllmError:
        return self.gateway.unforeseen(self.request_id, error)


def _served(piece: object) -> Served | None:
    """Who serves a stream that begins with this piece, as far as it says so."""
    found = piece.pieces if isinstance(piece, ForwardedPiece) else (piece,)
    return next((one.served for one in found if isinstance(one, Start)), None)


def _of_provider(request_id: str | None) -> list[tuple[bytes, bytes]]:
    if not request_id:
        return []
    return [(b"x-tidyllm-provider-request-id", field_value(request_id)[:_LONGEST_FIELD])]


def _dropped(names: tuple[str, ...]) -> tuple[bytes, bytes]:
    return b"x-tidyllm-dropped", field_value(", ".join(names))[:_LONGEST_FIELD]


_LONGEST_FIELD = 1_000
"""Bytes of a list of fields: a long conversation may have many of them, and clients take headers of some kB only."""
