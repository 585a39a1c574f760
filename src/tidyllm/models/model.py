"""A model: a step from `Request` to `Response`. It knows how a call goes, not what any format looks like.

One call is one attempt on the wire: nothing here tries again. Errors are raised, never returned.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from collections.abc import Sequence as Pieces
from typing import Any

import msgspec

from tidyllm.core import Alarm, Context, Step
from tidyllm.errors import BadAnswer, ModelError, StreamInterrupted, TimeoutExceeded, Unreachable
from tidyllm.models.attempt import Attempt, server_attributes
from tidyllm.models.catalog import Catalog, ModelInfo
from tidyllm.models.cross import crossing
from tidyllm.models.fold import Fold, fold, unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece
from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport, default_transport
from tidyllm.models.jsonl import LineParser
from tidyllm.models.passthrough import Passthrough
from tidyllm.models.piece import Piece
from tidyllm.models.pricing import cost_usd
from tidyllm.models.provider import Endpoint, Provider
from tidyllm.models.request import Request, RequestLike
from tidyllm.models.response import Response
from tidyllm.models.sse import EventParser

__all__ = ["Model"]


class Model(Step[RequestLike, Response]):
    """Sends requests to one model of one provider. Make it with `tidyllm.model("openai/gpt-5.1")`.

    `lenient`: fields which the provider has no place for are left out and named in `Response.dropped`, instead of
    raising `Unsupported`. `info`: what the catalogue knows of it; None for an unknown model, whose price is unknown.
    """

    def __init__(
        self,
        model: str,
        provider: Provider,
        *,
        transport: Transport | None = None,
        info: ModelInfo | None = None,
        lenient: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name or f"{provider.name}/{model}")
        self.model = model
        self.provider = provider
        self.endpoint = provider.endpoints[0]
        self.format = wire_format(self.endpoint.format)
        self.transport = transport or default_transport()
        self.info = info
        self.lenient = lenient
        self.span_attributes: Mapping[str, Any] = server_attributes(provider.base_url)

    # -- the whole answer

    async def invoke(self, x: RequestLike | Forward, ctx: Context) -> Response:
        attempt = Attempt(self, ctx, stream=False, operation=_operation(x))
        try:
            direct = self.provider.endpoint(x.format) if isinstance(x, Forward) else None
            if isinstance(x, Forward) and direct is not None:
                response: Response = await self._forward(x, direct, attempt)
            else:
                response = await self._ask(self.prepare(x), attempt)
        except BaseException as error:
            await attempt.failed(self._at(error))
            raise
        await attempt.succeeded(response)
        return response

    async def _ask(self, request: Request, attempt: Attempt) -> Response:
        encoded = self.format.encode_request(request, stream=False, lenient=self.lenient)
        body = msgspec.json.encode(encoded.body)
        await attempt.reserve(len(body), request.max_output_tokens)
        async with await self._send(self.endpoint, body, {}, attempt, stream=False) as answer:
            raw = _json_object(await answer.read())
            response = self.format.decode_response(raw)
        return self._complete(response, answer, request, encoded.dropped, raw)

    async def _forward(self, call: Forward, endpoint: Endpoint, attempt: Attempt) -> Forwarded:
        passthrough = Passthrough(call, self)
        body = passthrough.body()
        await attempt.reserve(len(body), passthrough.max_output_tokens)
        async with await self._send(endpoint, body, call.headers, attempt, stream=False) as answer:
            return passthrough.whole(await answer.read(), answer)

    # -- in pieces

    async def invoke_stream(self, x: RequestLike | Forward, ctx: Context) -> AsyncGenerator[Any, None]:
        """Pieces; for a `Forward` in a format this provider speaks, `ForwardedPiece`s.

        :raises StreamInterrupted: it ended early after at least one piece; `partial` is what had come.
        """
        attempt = Attempt(self, ctx, stream=True, operation=_operation(x))
        seen = Fold()
        count = 0
        try:
            direct = self.provider.endpoint(x.format) if isinstance(x, Forward) else None
            if isinstance(x, Forward) and direct is not None:
                pieces: AsyncGenerator[Any, None] = self._forward_stream(x, direct, attempt)
            else:
                pieces = self._ask_stream(self.prepare(x), attempt)
            try:
                async for piece in pieces:
                    for one in piece.pieces if isinstance(piece, ForwardedPiece) else (piece,):
                        seen.add(one)
                    if not count:
                        attempt.piece()
                    count += 1
                    yield piece
            finally:
                await pieces.aclose()
        except BaseException as error:
            partial = self._priced(seen.response()) if count else None
            if isinstance(error, ModelError) and count:
                where = {"status": error.status, "code": error.code, "provider_message": error.provider_message}
                broken = StreamInterrupted(
                    f"the stream broke after {count} pieces: {error.message}", partial=partial, **where
                )
                await attempt.failed(self._at(broken), partial)
                raise broken from error
            await attempt.failed(self._at(error), partial)
            raise
        await attempt.succeeded(self._priced(seen.response()))

    async def _ask_stream(self, request: Request, attempt: Attempt) -> AsyncGenerator[Piece, None]:
        encoded = self.format.encode_request(request, stream=True, lenient=self.lenient)
        body = msgspec.json.encode(encoded.body)
        await attempt.reserve(len(body), request.max_output_tokens)
        async with await self._send(self.endpoint, body, {}, attempt, stream=True) as answer:
            if answer.headers.get("content-type", "").startswith("application/json"):
                # A server that does not stream answers whole, even when asked for a stream.
                for piece in unfold(self.format.decode_response(_json_object(await answer.read()))):
                    yield piece
                return
            parser = LineParser() if self.format.name == "ollama" else EventParser()
            decoder = self.format.stream_decoder()
            chunks = answer.chunks()
            async for chunk in chunks:
                for event in parser.feed(chunk):
                    for piece in decoder.feed(event):
                        yield piece
                if decoder.done:
                    await drain(chunks)
                    return
            raise Unreachable(
                "the provider closed the stream before its end marker.", hint="The answer is incomplete; try again."
            )

    async def _forward_stream(
        self, call: Forward, endpoint: Endpoint, attempt: Attempt
    ) -> AsyncGenerator[ForwardedPiece, None]:
        passthrough = Passthrough(call, self)
        body = passthrough.body()
        await attempt.reserve(len(body), passthrough.max_output_tokens)
        async with await self._send(endpoint, body, call.headers, attempt, stream=True) as answer:
            chunks = answer.chunks()
            async for chunk in chunks:
                piece = passthrough.feed(chunk)
                if piece is not None:
                    yield piece
                if passthrough.done:
                    await drain(chunks)
                    return
            raise Unreachable(
                "the provider closed the stream before its end marker.", hint="The answer is incomplete; try again."
            )

    def join(self, pieces: Pieces[Any]) -> Response:
        """The response that the pieces make up, with usage and cost as far as they are known."""
        ours: list[Piece] = []
        for piece in pieces:
            ours.extend(piece.pieces if isinstance(piece, ForwardedPiece) else (piece,))
        return self._priced(fold(ours))

    @property
    def joins_like(self) -> object:
        return Model.join

    # -- shared

    def prepare(self, x: RequestLike | Forward) -> Request:
        """The request as this model will encode it: in our types, with the model's name and the output cap filled in."""
        if isinstance(x, Forward):
            request = crossing(x.request(), x.format, self.format.name)
            request = msgspec.structs.replace(request, model=self.model)
        else:
            request = Request.of(x)
            if not request.model:
                request = msgspec.structs.replace(request, model=self.model)
        if request.max_output_tokens is None and self.format.name == "anthropic" and self.info:
            request = msgspec.structs.replace(request, max_output_tokens=self.info.max_output_tokens)
        return request

    async def _send(
        self, endpoint: Endpoint, body: bytes, headers: Mapping[str, str], attempt: Attempt, *, stream: bool
    ) -> HTTPAnswer:
        sent = {
            **headers,
            **self.provider.auth_headers(),
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            "traceparent": attempt.trace_parent,
        }
        answer = await self.transport.send(HTTPCall("POST", self.provider.url(endpoint), sent, body))
        if 200 <= answer.status < 300:
            return answer
        async with answer:
            text = await answer.read()
        format = self.format if endpoint.format == self.format.name else _format_of(endpoint)
        raise format.decode_error(answer.status, answer.headers, text)

    def _complete(
        self, response: Response, answer: HTTPAnswer, request: Request, dropped: tuple[str, ...], raw: dict[str, Any]
    ) -> Response:
        return msgspec.structs.replace(
            response,
            provider=self.provider.name,
            request_id=request_id(answer.headers),
            cost_usd=cost_usd(response.usage, self.info),
            dropped=dropped,
            output=request.output,
            raw=raw,
        )

    def _priced(self, response: Response) -> Response:
        return msgspec.structs.replace(
            response, provider=self.provider.name, cost_usd=cost_usd(response.usage, self.info)
        )

    def _at(self, error: BaseException) -> BaseException:
        return error.at(provider=self.provider.name, model=self.model) if isinstance(error, ModelError) else error

    def __repr__(self) -> str:
        return f"model({self.name!r})"


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of this call, from its headers."""
    return headers.get("x-request-id") or headers.get("request-id") or headers.get("cf-ray")


async def drain(chunks: AsyncIterator[bytes]) -> None:
    """Read what little follows an end marker, so that the connection can be used again; give up after 0.2 s."""
    try:
        with Alarm(0.2, "total", 0.2, "the end of a stream"):
            async for _ in chunks:
                pass
    except (TimeoutExceeded, ModelError):
        pass  # the answer is whole; only the connection is lost


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"the answer is not JSON ({error}): it begins with {body[:80]!r}.") from error
    if not isinstance(value, dict):
        raise BadAnswer(f"the answer is {type(value).__name__} where a JSON object was expected.")
    return value  # pyright: ignore[reportUnknownVariableType]


def _operation(x: object) -> str:
    return "embeddings" if isinstance(x, Forward) and x.format == "openai_embeddings" else "chat"


def _format_of(endpoint: Endpoint) -> Any:
    family = {"openai_embeddings": "openai_chat", "anthropic_count_tokens": "anthropic"}
    return wire_format(family.get(endpoint.format, endpoint.format))
