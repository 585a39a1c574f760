"""Answering one call to a model: parse, call the route, write. It knows how a request goes, not what models are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm.core import AttemptStarted, Context, Event
from tidyllm.core.events import default_hooks
from tidyllm.errors import TidyllmError
from tidyllm.gateway.asgi import Headers, Receive, Send, send_bytes
from tidyllm.gateway.body import ClientGone, read_body
from tidyllm.gateway.heads import parse
from tidyllm.gateway.reply import send_error, stream_error
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece
from tidyllm.models.request import Request
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.config import Route
    from tidyllm.gateway.app import Gateway

__all__ = ["Answering"]


class Answering:
    """One request to one of the endpoints that call models."""

    def __init__(self, gateway: Gateway, format: str, headers: Headers, receive: Receive, send: Send) -> None:
        self.gateway = gateway
        self.format = format
        self.headers = headers
        self._receive = receive
        self._send = send
        self._attempts: list[AttemptStarted] = []
        hooks = (*default_hooks(), self._notice)
        self.ctx = Context.new(trace_parent=headers.get("traceparent"), hooks=hooks)
        self.request_id: str = self.ctx.run_id
        self.status = 0
        self.model = ""
        self._started = False

    def _notice(self, event: Event) -> None:
        if isinstance(event, AttemptStarted):
            self._attempts.append(event)

    async def run(self) -> None:
        """Answer it. Every failure is told to the caller in his own format; a caller who is gone is told nothing."""
        watcher: asyncio.Task[None] | None = None
        task = asyncio.current_task()
        assert task is not None
        gone: list[bool] = []
        try:
            settings = self.gateway.settings.server
            await self.gateway.authenticate(self.headers)
            body = await read_body(
                self._receive, self.headers, limit=int(settings.max_body_mb * 1e6), timeout=settings.body_timeout
            )
            self.model, call = parse(self.format, body, self.headers)
            route = self.gateway.routes.find(self.model)
            watcher = asyncio.create_task(_watch(self._receive, task, gone))
            await (self._stream(route, call) if call.stream else self._whole(route, call))
        except ClientGone:
            self.status = 499
        except asyncio.CancelledError:
            if not gone:
                raise
            task.uncancel()
            self.status = 499
        except TidyllmError as error:
            await self._fail(error)
        except Exception as error:
            self.gateway.report(self, error)
            await self._fail(TidyllmError(f"the gateway failed on this request ({type(error).__name__})."))
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _whole(self, route: Route, call: Forward) -> None:
        response: Response = await self.ctx.call(route.step, call)  # pyright: ignore[reportArgumentType]
        if isinstance(response, Forwarded):
            body = response.body
        else:
            body = msgspec.json.encode(wire_format(self.format).encode_response(response))
        self.status = 200
        self._started = True
        await send_bytes(self._send, 200, body, headers=self._headers(response))

    async def _stream(self, route: Route, call: Forward) -> None:
        pieces: AsyncGenerator[Any, None] = self.ctx.stream(route.step, call)  # pyright: ignore[reportArgumentType]
        encoder: Any = None
        try:
            async for piece in pieces:
                if isinstance(piece, ForwardedPiece):
                    data = piece.data
                else:
                    if encoder is None:
                        encoder = wire_format(self.format).stream_encoder(call.request())
                    data = encoder.feed(piece)
                if not self._started:
                    await self._start()
                if data:
                    await self._send({"type": "http.response.body", "body": data, "more_body": True})
            if encoder is not None:
                await self._send({"type": "http.response.body", "body": encoder.end(), "more_body": True})
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        except TidyllmError as error:
            if not self._started:
                raise
            self.status = 502
            encoder = encoder or wire_format(self.format).stream_encoder(Request("", model=self.model))
            await self._send(
                {"type": "http.response.body", "body": encoder.error(stream_error(error)), "more_body": False}
            )
        finally:
            await pieces.aclose()

    async def _start(self) -> None:
        self._started = True
        self.status = 200
        headers = [("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
        headers += self._headers(None)
        await self._send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers],
            }
        )

    def _headers(self, response: Response | None) -> list[tuple[str, str]]:
        headers = [("x-request-id", self.request_id), ("x-tidyllm-attempts", str(len(self._attempts)))]
        if self._attempts:
            last = self._attempts[-1]
            headers.append(("x-tidyllm-model", f"{last.target}/{last.model}"))
        if response is not None and response.cost_usd is not None:
            headers.append(("x-tidyllm-cost-usd", format(response.cost_usd, "f")))
        return headers

    async def _fail(self, error: TidyllmError) -> None:
        if self._started:
            return
        self._started = True
        extra = (("x-tidyllm-attempts", str(len(self._attempts))),) if self._attempts else ()
        self.status = await send_error(
            self._send, error, self.format_of_errors, request_id=self.request_id, headers=extra
        )

    @property
    def format_of_errors(self) -> str:
        """Embeddings and token counts have no error format of their own."""
        return {"openai_embeddings": "openai_chat", "anthropic_count_tokens": "anthropic"}.get(self.format, self.format)


async def _watch(receive: Receive, task: asyncio.Task[Any], gone: list[bool]) -> None:
    """Cancel `task` when the client closes the connection: what runs upstream for it is stopped at once."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.append(True)
    task.cancel()
