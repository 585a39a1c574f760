"""What one request did, counted from its events: attempts, tokens, what a cache gave. It keeps no event."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from tidyllm.core import AttemptFinished, AttemptStarted, CacheLookup, CacheSaved, Event
from tidyllm.errors import Unreachable
from tidyllm.gateway.asgi import field_value

if TYPE_CHECKING:
    from tidyllm.money import Ledger

__all__ = ["Tally"]

_GIVEN = frozenset({"hit", "joined", "similar"})
_BEHIND = frozenset({408, 499, 502, 504, 524})
"""Statuses of a proxy that left a server which may have gone on working."""


class Tally:
    """A hook of one run. Events refer to the run, and the run to this: so it keeps none of them.

    - `ledger`: is told of answers that a cache gave.
    """

    __slots__ = ("_unknown", "attempts", "cache", "ledger", "model", "saved_usd", "target", "tokens")

    def __init__(self) -> None:
        self.attempts = 0
        self.target = ""
        self.model = ""
        self.tokens = 0
        """Of input and output, of all attempts, as far as providers told."""
        self._unknown = 0
        self.cache: str | None = None
        """What the outermost cache that was asked said; None: there was none."""
        self.saved_usd: Decimal | None = None
        self.ledger: Ledger | None = None

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, AttemptStarted):
            self.attempts += 1
            self._unknown += 1
            self.target, self.model = event.target, event.model
        elif isinstance(event, AttemptFinished):
            given = event.attributes
            self.tokens += (given.get("input_tokens") or 0) + (given.get("output_tokens") or 0)
            self._unknown -= _known(event)
        elif isinstance(event, CacheLookup):
            self._cached(event)
        elif isinstance(event, CacheSaved):
            self._write(event)

    @property
    def used(self) -> int | None:
        """Tokens of all attempts; None where one may have used more than it told, as when the caller left it."""
        return None if self._unknown else self.tokens

    def _cached(self, event: CacheLookup) -> None:
        self.cache = event.outcome
        if event.outcome not in _GIVEN:
            return
        self.saved_usd = event.saved_usd
        if not event.more:
            self._write(event)

    def _write(self, event: CacheLookup | CacheSaved) -> None:
        """Tell the ledger of an answer that a cache gave."""
        if self.ledger is not None:
            facts = event.attributes
            self.ledger.hit(
                event.ctx,
                target=event.name,
                model=str(facts.get("response_model") or ""),
                provider=str(facts.get("provider") or "cache"),
                saved_usd=event.saved_usd,
            )

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What the headers of the answer say of it."""
        found: list[tuple[bytes, bytes]] = []
        if self.attempts:
            served = field_value(f"{self.target}/{self.model}")
            found += [(b"x-tidyllm-attempts", str(self.attempts).encode()), (b"x-tidyllm-model", served)]
        if self.cache is not None:
            found.append((b"x-tidyllm-cache", self.cache.encode()))
        if self.saved_usd is not None:
            found.append((b"x-tidyllm-saved-usd", format(self.saved_usd, "f").encode()))
        return found


def _known(ended: AttemptFinished) -> bool:
    """Whether the tokens of an attempt are known. What had come of a broken stream is not all that was written."""
    told = ended.attributes
    if ended.error is None:
        return ended.operation == "count_tokens" or "input_tokens" in told or "output_tokens" in told
    if isinstance(ended.error, Unreachable) and not ended.error.sent:
        return True
    status: int | None = told.get("status")
    return status is not None and not 200 <= status < 300 and status not in _BEHIND
