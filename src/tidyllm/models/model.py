"""A model: a step from `Request` to `Response`. It knows how a call goes, not what any format looks like.

One call is one attempt on the wire: nothing here tries again. Errors are raised, never returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from collections.abc import Sequence as Pieces
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tidyllm.core import Context, Step
from tidyllm.errors import BadRequest, ModelError
from tidyllm.models.attempt import Attempt, server_attributes
from tidyllm.models.caller_field import in_words_of
from tidyllm.models.cross import crossing
from tidyllm.models.fold import Fold, fold, unfold
from tidyllm.models.formats import family, provider_format
from tidyllm.models.forward import Forward, Forwarded, ForwardedPiece, operation
from tidyllm.models.given import checked_request
from tidyllm.models.http import HTTPAnswer, HTTPCall, Transport, default_transport
from tidyllm.models.losses import without_empty_tools
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.passthrough import whole_answer
from tidyllm.models.piece import Piece, Served, Start, UsagePiece
from tidyllm.models.pricing import cost_usd, served_tier
from tidyllm.models.provider import Endpoint, Provider
from tidyllm.models.reading import ContentReader, error_body, json_object, read_events, read_pieces
from tidyllm.models.request import Request, RequestLike
from tidyllm.models.response import Response
from tidyllm.models.secret import Secrets
from tidyllm.models.served import interrupted, with_served
from tidyllm.models.touch import Touch, going_out, touched
from tidyllm.models.window import check_window, fit_window

__all__ = ["Model"]


class Model(Step[RequestLike, Response]):
    """Sends requests to one model of one provider. Make it with `tidyllm.model("openai/gpt-5.1")`.

    - `lenient`: fields which the provider has no place for are left out and named in `Response.dropped`, instead of
      raising `Unsupported`.
    - `info`: what the catalogue knows of it; None for an unknown model, whose price is unknown.
    - `touch`: may change the body of what is sent in the format `anthropic`, such as with marks for its cache.

    A call raises what went wrong as one of `tidyllm.errors.ModelError`, with the provider, the model and the provider's
    request id in it. It may be called from several event loops at once.
    """

    reports_partial = True
    """Wrappers need not keep the pieces of a stream: what breaks after one is `StreamInterrupted` with the partial."""

    def __init__(
        self,
        model: str,
        provider: Provider,
        *,
        transport: Transport | None = None,
        info: ModelInfo | None = None,
        lenient: bool = False,
        name: str | None = None,
        touch: Touch | None = None,
    ) -> None:
        super().__init__(name or f"{provider.name}/{model}")
        self.model = model
        self.provider = provider
        self.endpoint = provider.endpoints[0]
        self.format = provider_format(self.endpoint.format)
        self.transport = transport or default_transport()
        self.info = info
        self.lenient = lenient
        self.touch = touch
        self._secrets = Secrets(provider)
        self.span_attributes: Mapping[str, Any] = server_attributes(provider.base_url)

    if TYPE_CHECKING:  # the same method: here with the type of its pieces

        def stream(self, x: RequestLike, ctx: Context | None = None) -> AsyncGenerator[Piece, None]: ...

    # -- the whole answer

    async def invoke(self, x: RequestLike | Forward, ctx: Context) -> Response:
        attempt = Attempt(self, ctx, stream=False, operation=operation(x))
        try:
            endpoint = self.provider.endpoint(x.format) if isinstance(x, Forward) else None
            if isinstance(x, Forward) and endpoint is not None:
                response: Response = await self._forward(x, endpoint, attempt)
            else:
                response = await self._ask(x, attempt)
        except BaseException as error:
            await attempt.failed(self._at(error, attempt))
            raise
        await attempt.succeeded(response)
        return response

    async def _ask(self, x: RequestLike | Forward, attempt: Attempt) -> Response:
        if isinstance(x, Forward) and x.is_large:
            request, sent, body, dropped = await asyncio.to_thread(self._ready, x, stream=False)
        else:
            request, sent, body, dropped = self._ready(x, stream=False)
        attempt.asks(request)
        await attempt.reserve(body, sent, self.format.name)
        async with await self._send(self.endpoint, body, {}, attempt, stream=False) as answer:
            raw = json_object(await answer.read())
            response = self.format.decode_response(raw)
        check_window(self.format.name, sent, response.usage)
        response = msgspec.structs.replace(response, dropped=dropped, output=request.output, raw=raw)
        return self._told(response, attempt)

    async def _forward(self, call: Forward, endpoint: Endpoint, attempt: Attempt) -> Forwarded:
        attempt.asks(call)
        body, _ = await going_out(call, self.model, self.provider, self.touch)
        await attempt.reserve(body, call.fields, call.format)
        async with await self._send(endpoint, body, call.headers, attempt, stream=False) as answer:
            response = whole_answer(call, await answer.read())
        return self._told(response, attempt)

    # -- in pieces

    async def invoke_stream(self, x: RequestLike | Forward, ctx: Context) -> AsyncGenerator[Any, None]:
        """Pieces; for a `Forward` in a format this provider speaks, `ForwardedPiece`s.

        :raises StreamInterrupted: it ended early after the first piece that is no head (`piece.is_head`: who answers,
            and usage so far); `partial` is what had come. Before that it raises what `invoke` would.
        """
        attempt = Attempt(self, ctx, stream=True, operation=operation(x))
        endpoint = self.provider.endpoint(x.format) if isinstance(x, Forward) else None
        if isinstance(x, Forward) and endpoint is not None:
            batches: AsyncGenerator[Pieces[Any], None] = self._forward_stream(x, endpoint, attempt)
        else:
            batches = self._ask_stream(x, attempt)
        seen = Fold()
        count = 0
        begun = False
        # Passed on as it is, a stream is not decoded; only whoever records content makes us do it.
        reader = (
            ContentReader(x.format)
            if isinstance(x, Forward) and endpoint and attempt.records_content
            else None
        )
        try:
            try:
                async for batch in batches:
                    for piece in batch:
                        if isinstance(piece, ForwardedPiece):
                            for one in piece.pieces if reader is None else reader.read(piece):
                                seen.add(one)
                        else:
                            seen.add(piece)
                        if not begun and not piece.is_head:
                            begun = True
                            attempt.piece()
                        count += 1
                        yield piece
            finally:
                await batches.aclose()
        except BaseException as error:
            partial = self._told(seen.response(), attempt) if count else None
            self._at(error, attempt)
            if isinstance(error, Exception) and begun:
                broken = self._at(interrupted(error, count, partial), attempt)
                await attempt.failed(broken, partial)
                raise broken from error
            await attempt.failed(error, partial)
            raise
        await attempt.succeeded(self._told(seen.response(), attempt))

    async def _ask_stream(
        self, x: RequestLike | Forward, attempt: Attempt
    ) -> AsyncGenerator[Pieces[Piece], None]:
        if isinstance(x, Forward) and x.is_large:
            request, sent, body, dropped = await asyncio.to_thread(self._ready, x, stream=True)
        else:
            request, sent, body, dropped = self._ready(x, stream=True)
        attempt.asks(request)
        await attempt.reserve(body, sent, self.format.name)
        async with await self._send(self.endpoint, body, {}, attempt, stream=True) as answer:
            served = Served(self.provider.name, self.info, attempt.request_id, dropped, request.output)
            source = read_pieces(answer, self.format)
            telling = True
            try:
                async for batch in source:
                    for piece in batch:
                        if isinstance(piece, UsagePiece):
                            check_window(self.format.name, sent, piece.usage)
                    if telling:
                        told, telling = with_served(batch, served)
                        yield told
                    else:
                        yield batch
            finally:
                await source.aclose()

    async def _forward_stream(
        self, call: Forward, endpoint: Endpoint, attempt: Attempt
    ) -> AsyncGenerator[Pieces[ForwardedPiece], None]:
        attempt.asks(call)
        body, hides_usage = await going_out(call, self.model, self.provider, self.touch)
        await attempt.reserve(body, call.fields, call.format)
        async with await self._send(endpoint, body, call.headers, attempt, stream=True) as answer:
            served = Served(self.provider.name, self.info, attempt.request_id)
            source = read_events(answer, call, hides_usage=hides_usage)
            telling = True
            try:
                async for batch in source:
                    if telling and batch[0].pieces:
                        pieces, telling = with_served(batch[0].pieces, served)
                        yield (msgspec.structs.replace(batch[0], pieces=tuple(pieces)),)
                    else:
                        yield batch
            finally:
                await source.aclose()

    def join(self, pieces: Pieces[Any]) -> Response:
        """The response that the pieces make up, with usage and cost as far as they are known.

        The pieces may come from any model: they say themselves who served, and at which prices.
        """
        ours: list[Piece] = []
        for piece in pieces:
            ours.extend(piece.pieces if isinstance(piece, ForwardedPiece) else (piece,))
        served = next((one.served for one in ours if isinstance(one, Start) and one.served), None)
        if served is None:
            return fold(ours)
        base = Response(
            provider=served.provider,
            request_id=served.request_id,
            dropped=served.dropped,
            output=served.output,
        )
        whole = _priced(fold(ours, base), served.info)
        if not served.cached:
            return whole
        saved = whole.cost_usd if served.saved_usd is None else served.saved_usd
        return msgspec.structs.replace(whole, cached=True, cost_usd=Decimal(0), saved_usd=saved)

    def split(self, answer: Response) -> Pieces[Piece]:
        """Pieces that join to this answer, who served it included."""
        pieces = unfold(answer)
        told = (answer.provider, self.info, answer.request_id, answer.dropped, answer.output)
        served = Served(*told, answer.cached, answer.saved_usd)
        return with_served(pieces, served)[0]

    @property
    def joins_like(self) -> object:
        return Model.join

    # -- shared

    def prepare(self, x: RequestLike | Forward) -> tuple[Request, tuple[str, ...]]:
        """The request as this model will encode it: in our types, with the model's name and the output cap filled in.

        Also the names of fields that were left out because they mean nothing to this provider.

        :raises BadRequest: it is no request, or names another model.
        :raises Unsupported: it came in another format and holds what cannot cross.
        """
        left_out: list[str] = []
        if isinstance(x, Forward):
            request = crossing(
                x.request(), x.format, self.format.name, report=left_out.append, lenient=self.lenient
            )
            request = msgspec.structs.replace(request, model=self.model)
        else:
            request = crossing(checked_request(x, self.model), None, self.format.name, report=left_out.append)
        if (
            self.format.name == "anthropic"
            and request.max_output_tokens is None
            and "max_tokens" not in request.extra
            and self.info is not None
        ):
            # The format has no default of its own; without the catalogue the encoder chooses one.
            request = msgspec.structs.replace(request, max_output_tokens=self.info.max_output_tokens)
        return request, tuple(left_out)

    def _ready(
        self, x: RequestLike | Forward, *, stream: bool
    ) -> tuple[Request, dict[str, Any], bytes, tuple[str, ...]]:
        """The request, its top-level fields as they are sent, the body, and what was left out."""
        if isinstance(x, Forward):
            x.request()  # decoding names the caller's fields itself
        with in_words_of(x):
            request, left_out = self.prepare(x)
            return request, *self._encode(request, left_out, stream=stream)

    def _encode(
        self, request: Request, left_out: tuple[str, ...], *, stream: bool
    ) -> tuple[dict[str, Any], bytes, tuple[str, ...]]:
        encoded = self.format.encode_request(request, stream=stream, lenient=self.lenient)
        if encoded.dropped:
            without_empty_tools(encoded.body)
        if stream and not self.provider.kind.stream_usage and "stream_options" not in request.extra:
            encoded.body.pop("stream_options", None)  # some services refuse what asks for usage
        fit_window(self.format.name, encoded.body, request, self.info)
        try:
            body = msgspec.json.encode(encoded.body)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise BadRequest(f"the request cannot be written as JSON: {error}.") from error
        return encoded.body, touched(body, self.touch, self.format.name), (*left_out, *encoded.dropped)

    async def _send(
        self, endpoint: Endpoint, body: bytes, passed: Mapping[str, str], attempt: Attempt, *, stream: bool
    ) -> HTTPAnswer:
        headers = {
            **self.provider.headers_for(passed),
            "content-type": "application/json",
            "accept": "text/event-stream" if stream else "application/json",
            **attempt.begin(),
        }
        answer = await self.transport.send(HTTPCall("POST", self.provider.url(endpoint), headers, body))
        attempt.answered(answer)
        if 200 <= answer.status < 300:
            return answer
        async with answer:
            text = await error_body(answer)
        raise provider_format(family(endpoint.format)).decode_error(answer.status, answer.headers, text)

    def _told(self, response: _R, attempt: Attempt) -> _R:
        """The response with what only we know: who served it, and what it cost."""
        known = msgspec.structs.replace(response, provider=self.provider.name, request_id=attempt.request_id)
        return _priced(known, self.info)

    def _at(self, error: _E, attempt: Attempt) -> _E:
        """The error with where it happened, and without our key: from here on callers, logs and traces see it."""
        if isinstance(error, Exception):
            self._secrets.clean(error)
        if isinstance(error, ModelError):
            error.at(provider=self.provider.name, model=self.model, request_id=attempt.request_id)
        return error

    def __repr__(self) -> str:
        return f"model({self.name!r})"


_R = TypeVar("_R", bound=Response)
_E = TypeVar("_E", bound=BaseException)


def _priced(response: _R, info: ModelInfo | None) -> _R:
    cost = cost_usd(response.usage, info, tier=served_tier(response))
    return msgspec.structs.replace(response, cost_usd=cost)
