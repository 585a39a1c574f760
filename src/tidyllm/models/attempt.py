"""The book-keeping of one attempt on the wire: money put aside before, a record for the hooks after.

It knows what an attempt costs and how it ended; it sends nothing.
"""

from __future__ import annotations

from decimal import Decimal
from random import getrandbits
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tidyllm import clock
from tidyllm.core import AttemptFinished, AttemptStarted, Context, Reservation
from tidyllm.models.pricing import cost_usd
from tidyllm.models.response import Response, Usage

if TYPE_CHECKING:
    from tidyllm.models.model import Model

__all__ = ["Attempt"]


class Attempt:
    """Made when an attempt begins; `reserve`, then exactly one of `succeeded` and `failed`."""

    __slots__ = ("_ctx", "_first_piece", "_model", "_operation", "_reservation", "_started", "_stream", "span_id")

    def __init__(self, model: Model, ctx: Context, *, stream: bool, operation: str = "chat") -> None:
        self._model = model
        self._ctx = ctx
        self._stream = stream
        self._operation = operation
        self._started = clock.monotonic()
        self._first_piece: float | None = None
        self._reservation: Reservation | None = None
        self.span_id = getrandbits(64) or 1
        if ctx.watched:
            at = model.provider
            ctx.emit(AttemptStarted(ctx, self.span_id, at.catalog_name, at.name, model.model))

    @property
    def trace_parent(self) -> str:
        """The `traceparent` header: the provider's own spans hang below this attempt."""
        return f"00-{self._ctx.run_id}-{self.span_id:016x}-01"

    async def reserve(self, body_bytes: int, max_output_tokens: int | None) -> None:
        """Put the most this attempt can cost aside, if the run has a budget.

        No tokenizer makes more tokens than there are UTF-8 bytes, so the body's size bounds the input.
        """
        budget = self._ctx.budget
        if budget is None:
            return
        info = self._model.info
        most = max_output_tokens or (info.max_output_tokens if info else None)
        at_most = (
            None if most is None else cost_usd(Usage(input_tokens=body_bytes, output_tokens=most), info)
        )
        self._reservation = await budget.reserve(at_most, what=self._model.name)

    def piece(self) -> None:
        """A piece has come."""
        if self._first_piece is None:
            self._first_piece = clock.monotonic()

    async def succeeded(self, response: Response) -> None:
        """The answer is whole."""
        await self._settle(response.cost_usd)
        if self._ctx.watched:
            self._emit(None, response)

    async def failed(self, error: BaseException, partial: Response | None = None) -> None:
        """It ended with `error`; `partial` is what had come of a stream."""
        if self._ctx.watched:
            self._emit(error, partial)
        if partial is not None:
            await self._settle(partial.cost_usd)
        else:
            # Refused by the provider: nothing was used. Anything else may have been billed, and stays in doubt.
            refused = isinstance(getattr(error, "status", None), int)
            await self._settle(Decimal(0) if refused else None)

    async def _settle(self, cost: Decimal | None) -> None:
        if self._reservation is not None:
            reservation, self._reservation = self._reservation, None
            await reservation.settle(cost)

    def _emit(self, error: BaseException | None, response: Response | None) -> None:
        provider = self._model.provider
        attributes: dict[str, Any] = dict(self._model.span_attributes)
        attributes["stream"] = self._stream
        if response is not None:
            usage = response.usage
            for name in _USAGE:
                value = getattr(usage, name)
                if value is not None:
                    attributes[name] = value
            attributes["finish_reason"] = response.finish_reason
            attributes["response_id"] = response.id
            attributes["response_model"] = response.model
            if response.cost_usd is not None:
                attributes["cost_usd"] = response.cost_usd
            if response.request_id is not None:
                attributes["request_id"] = response.request_id
        else:
            for name in ("status", "request_id"):
                value = getattr(error, name, None)
                if value is not None:
                    attributes[name] = value
        self._ctx.emit(
            AttemptFinished(
                self._ctx,
                self.span_id,
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
        )


_USAGE = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
)


def server_attributes(url: str) -> dict[str, Any]:
    """The provider's address as trace attributes."""
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    return {"server_address": parts.hostname or "", **({"server_port": port} if port else {})}
