"""The book-keeping of one attempt on the wire: money put aside before, a record for the hooks after.

It knows what an attempt costs and how it ended; it sends nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from random import getrandbits
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidyllm import clock
from tidyllm.core import AttemptFinished, AttemptStarted, Booking, Budget, Context, Reservation
from tidyllm.core.trace import format_traceparent
from tidyllm.errors import BudgetExceeded, ModelError, TidyllmError, Unreachable
from tidyllm.models.asked import Asked
from tidyllm.models.bound import bound_usd, closer_usd, uncounted_usd
from tidyllm.models.content import answered_content, asked_content
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward, Forwarded
from tidyllm.models.http_target import target
from tidyllm.models.pricing import served_tier
from tidyllm.models.pricing_cache import prompt_cache_saved_usd, used_cache
from tidyllm.models.request import Request
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.models.http import HTTPAnswer
    from tidyllm.models.model import Model

__all__ = ["Attempt", "request_id", "server_attributes"]


class Attempt:
    """Made when a call begins. In order: `reserve`, `begin`, `answered`, then exactly one of `succeeded` and `failed`.

    What fails before `begin` (a request that cannot be encoded, a budget that says no) was no attempt: nobody hears
    of it. After it, the hooks get one `AttemptStarted` and one `AttemptFinished`, however it ends.
    """

    __slots__ = (
        "_asked",
        "_begun",
        "_booking",
        "_ctx",
        "_first_piece",
        "_model",
        "_operation",
        "_question",
        "_reservation",
        "_span_id",
        "_started",
        "_stream",
        "_uncounted",
        "request_id",
        "status",
    )  # fmt: skip

    def __init__(self, model: Model, ctx: Context, *, stream: bool, operation: str = "chat") -> None:
        self._model = model
        self._ctx = ctx
        self._stream = stream
        self._operation = operation
        self._asked: Asked | None = None
        self._question: Request | Forward | None = None
        self._begun = False
        self._booking: Booking | None = None
        self._first_piece: float | None = None
        self._reservation: Reservation | None = None
        self._span_id = 0
        self._started = 0.0
        self._uncounted = Decimal(0)
        self.request_id: str | None = None
        """The provider's id of this call, once it has answered."""
        self.status: int | None = None
        """The HTTP status, once it has answered."""

    async def reserve(self, body: bytes, fields: Mapping[str, Any], format: str) -> None:
        """Put the most that sending `body` can cost aside, if the run has a budget.

        `fields`: its top-level fields; `format`: the wire format in which it is sent.
        """
        ctx = self._ctx
        budget = ctx.budget
        if budget is None and not ctx.watched:
            return
        self._asked = asked = Asked.of(fields, format)
        if budget is not None and self._operation != "count_tokens":  # counting is free
            self._uncounted = uncounted_usd(asked, self._model.info, format)
            bound = bound_usd(body, asked, self._model.info, operation=self._operation)
            try:
                await self._put_aside(budget, bound)
            except BudgetExceeded as full:
                room = Decimal(full.limit_usd) - Decimal(full.spent_usd) - Decimal(full.reserved_usd)
                info = self._model.info
                closer = closer_usd(body, asked, info, room_usd=room, operation=self._operation)
                if closer is None or closer > room:
                    raise
                await self._put_aside(budget, closer)

    async def _put_aside(self, budget: Budget, bound: Decimal | None) -> None:
        book = getattr(budget, "book", None)
        if book is None:
            self._reservation = await budget.reserve(bound, what=self._model.name)
        else:
            self._booking = await book(bound, self._start())

    def _start(self) -> AttemptStarted:
        at = self._model.provider
        self._span_id = self._span_id or getrandbits(64) or 1
        return AttemptStarted(self._ctx, self._span_id, at.catalog_name, at.name, self._model.model)

    @property
    def records_content(self) -> bool:
        """Whether a hook asks for what is sent and answered."""
        return self._ctx.records_content

    def asks(self, question: Request | Forward) -> None:
        """What is asked, for those who record content."""
        self._question = question

    def begin(self) -> dict[str, str]:
        """The request is about to be sent. Returns the headers of its trace: the provider's spans hang below it."""
        ctx = self._ctx
        self._begun = True
        self._started = clock.monotonic()
        self._span_id = self._span_id or getrandbits(64) or 1
        if ctx.watched:
            ctx.emit(self._start())
        headers = {"traceparent": format_traceparent(ctx.trace_id, self._span_id, ctx.trace_flags)}
        if ctx.scope.trace_state:
            headers["tracestate"] = ctx.scope.trace_state
        return headers

    def answered(self, answer: HTTPAnswer) -> None:
        """Status and headers are here."""
        self.status = answer.status
        self.request_id = request_id(answer.headers)

    def piece(self) -> None:
        """A piece has come."""
        if self._first_piece is None:
            self._first_piece = clock.monotonic()

    async def succeeded(self, response: Response) -> None:
        """The answer is whole."""
        ended = self._ended(None, response)
        cost = response.cost_usd
        await self._settle(None if cost is None else cost + self._uncounted, ended)

    async def failed(self, error: BaseException, partial: Response | None = None) -> None:
        """It ended with `error`; `partial` is what had come of a stream."""
        ended = self._ended(_cause(error), partial) if self._begun else None
        await self._settle(None if self._may_be_billed(error) else Decimal(0), ended)

    def _may_be_billed(self, error: BaseException) -> bool:
        """Whether this attempt, which failed, may have cost something: then only the provider's bill knows how much.

        What had come of a stream is no bill: the provider may have written more than arrived.
        """
        if not self._begun or (isinstance(error, Unreachable) and not error.sent):
            return False
        return self.status is None or 200 <= self.status < 300 or self.status in _BEHIND

    async def _settle(self, cost: Decimal | None, ended: AttemptFinished | None) -> None:
        if self._booking is not None:
            booking, self._booking = self._booking, None
            booking.close(cost, ended)
        if self._reservation is None:
            return
        reservation, self._reservation = self._reservation, None
        # A task of its own: whoever is cancelled while he settles would leave the money aside for ever.
        task = asyncio.ensure_future(_settled(reservation, cost))
        _settling.add(task)
        task.add_done_callback(_settling.discard)
        await asyncio.shield(task)

    def _ended(self, error: BaseException | None, response: Response | None) -> AttemptFinished | None:
        """The record of the end, for whoever watches and whoever keeps books; None when nobody does."""
        watched = self._ctx.watched
        if not watched and self._booking is None:
            return None
        ended = self._record(error, response)
        if watched:
            self._ctx.emit(ended)
        return ended

    def _record(self, error: BaseException | None, response: Response | None) -> AttemptFinished:
        provider = self._model.provider
        attributes: dict[str, Any] = dict(self._model.span_attributes)
        attributes["stream"] = self._stream
        if self._asked is not None:
            for name in ("max_tokens", "temperature", "top_p"):
                if (value := getattr(self._asked, name)) is not None:
                    attributes[name] = value
        if self.status is not None:
            attributes["status"] = self.status
        if self.request_id is not None:
            attributes["request_id"] = self.request_id
        if isinstance(error, ModelError) and error.status is not None:
            attributes["status"] = error.status
        if response is not None:
            _tell(response, attributes)
            if used_cache(response.usage):
                tier = served_tier(response)
                saved = prompt_cache_saved_usd(response.usage, self._model.info, tier=tier)
                if saved is not None:
                    attributes["cache_saved_usd"] = saved
        if self._ctx.records_content:
            attributes.update(_content(self._question, response))
        return AttemptFinished(
            self._ctx,
            self._span_id,
            self._operation,
            provider.catalog_name,
            provider.name,
            self._model.model,
            self._started,
            clock.monotonic(),
            error,
            self._first_piece,
            attributes,
        )


def _content(question: Request | Forward | None, response: Response | None) -> dict[str, str]:
    """What was asked and answered, as far as it can be read. A question in no format of messages has none."""
    found: dict[str, str] = {}
    try:
        if question is not None:
            found.update(asked_content(question.request() if isinstance(question, Forward) else question))
        if isinstance(response, Forwarded) and isinstance(question, Forward):
            body: object = msgspec.json.decode(response.body)
            response = wire_format(question.format).decode_response(cast("dict[str, Any]", body))
        if response is not None and response.content:
            found.update(answered_content(response))
    except (TidyllmError, KeyError, msgspec.DecodeError):
        pass  # an embedding or a count: there are no messages in it
    return found


_BEHIND = frozenset({408, 499, 502, 504, 524})
"""Statuses of a proxy that lost or left a server which may have gone on working. With others nothing is billed."""

_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "audio_cache_read_tokens",
)

_settling: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks only weakly."""


async def _settled(reservation: Reservation, cost: Decimal | None) -> None:
    await reservation.settle(cost)


def _cause(error: BaseException) -> BaseException:
    """What the record says: a reader who left a stream early cancelled it, as in the records of calls."""
    if isinstance(error, GeneratorExit):
        return asyncio.CancelledError("the reader left the stream")
    return error


def _tell(response: Response, attributes: dict[str, Any]) -> None:
    usage = response.usage
    for name in _USAGE:
        value = getattr(usage, name)
        if value is not None:
            attributes[name] = value
    attributes["finish_reason"] = response.finish_reason
    if response.id:
        attributes["response_id"] = response.id
    if response.model:
        attributes["response_model"] = response.model
    if response.cost_usd is not None:
        attributes["cost_usd"] = response.cost_usd


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's id of a call, from its headers."""
    return (
        headers.get("x-request-id")
        or headers.get("request-id")
        or headers.get("apim-request-id")
        or headers.get("x-amzn-requestid")
        or headers.get("cf-ray")
    )


def server_attributes(url: str) -> dict[str, Any]:
    """The provider's address as trace attributes.

    :raises ConfigError: it is no URL that can be called.
    """
    to = target(url)
    return {"server_address": to.host, "server_port": to.port}
