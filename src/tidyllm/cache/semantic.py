"""Answers to questions that mean the same. It knows vectors and guards; the vectors come from the user's embedder.

Off unless asked for. A near question gets an answer only within one tenant, to a request that is equal in everything
but the last user's text, at or above the threshold, and when the guards find no difference in numbers,
names and negation.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from tidyllm import clock
from tidyllm.cache.guards import Signature, difference
from tidyllm.cache.nearest import Nearest
from tidyllm.cache.question import split_question
from tidyllm.core import Alarm, Context, Step, as_step
from tidyllm.errors import ConfigError

__all__ = ["Embedder", "Similar"]

Embedder: TypeAlias = (
    Step[Any, Any]
    | Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]
    | Callable[[Sequence[str]], Sequence[Sequence[float]]]
)
"""Texts to vectors, one for each text, all of one length."""

_log = logging.getLogger("tidyllm.cache")
_LONGEST = 4_000
"""Characters of a question. Longer ones are documents: two of them are near each other whatever they ask."""
_LOOKED_AT = 5
"""How many near questions the guards look at; where five are refused, the sixth is no better."""
_QUIET = 30.0


class Similar:
    """Finds the question that was asked before in other words. It belongs to one `AnswerCache`, in one process.

    - `embed`: a step or function from texts to vectors. When it fails, takes longer than `embed_seconds`, or gives what
      are no vectors, the question counts as new. A plain function runs on the event loop; one that takes longer than a
      few milliseconds should be a `@step(thread=True)`.
    - `threshold`: least cosine of the angle between two questions, up to 1. 0.95: below it, embedders of today take
      questions for equal that are not; a lower one needs `allow_low_threshold=True`.
    - `max_entries`: questions that are remembered; the least recently used go first.

    `near` counts questions that had a neighbour above the threshold, `rejected` those of them whose every neighbour the
    guards refused, `rejections` why; `rejection_rate` is the share. `failures` counts those of the embedder.

    :raises ConfigError: an argument is out of range, or NumPy is missing.
    """

    def __init__(
        self,
        embed: Embedder,
        *,
        threshold: float = 0.95,
        allow_low_threshold: bool = False,
        max_entries: int = 5_000,
        embed_seconds: float = 2.0,
    ) -> None:
        lowest = 0.0 if allow_low_threshold else 0.95
        if not _is_number(threshold) or not lowest <= threshold <= 1:
            raise ConfigError(
                f"{threshold!r} is out of range; expected {lowest:g} to 1.",
                where="Similar.threshold",
                hint=None
                if allow_low_threshold
                else "Below 0.95 questions with other answers are taken for equal; "
                "allow_low_threshold=True takes that risk.",
            )
        if not _is_number(embed_seconds) or not (math.isfinite(embed_seconds) and embed_seconds > 0):
            raise ConfigError(
                f"{embed_seconds!r} is out of range; expected seconds above 0.", where="Similar.embed_seconds"
            )
        if isinstance(max_entries, bool) or not isinstance(max_entries, int) or max_entries < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigError(
                f"{max_entries!r} is out of range; expected a whole number from 1 on.",
                where="Similar.max_entries",
            )
        self.embed = as_step(embed)
        self.threshold = float(threshold)
        self.embed_seconds = float(embed_seconds)
        self.asked = 0
        self.near = 0
        self.rejected = 0
        self.failures = 0
        self.rejections: dict[str, int] = {"numbers": 0, "names": 0, "negation": 0}
        self._nearest = Nearest(max_entries)
        self._asked: OrderedDict[bytes, tuple[bytes, Signature, Sequence[float]]] = OrderedDict()
        self._logged_at = -math.inf

    @property
    def rejection_rate(self) -> float | None:
        """Share of near questions that the guards refused altogether; None before the first."""
        return self.rejected / self.near if self.near else None

    def __len__(self) -> int:
        return len(self._nearest)

    async def find(
        self, key: bytes, x: Any, place: tuple[str, ...], ctx: Context, *, stream: bool
    ) -> bytes | None:
        """The key of the answer to a question that means the same as `x`, whose own key is `key`."""
        question = split_question(x, place, stream=stream)
        if question is None or len(question[1]) > _LONGEST:
            return None
        part, text = question
        vector = await self._vector(text, ctx)
        if vector is None:
            return None
        self.asked += 1
        mine = Signature.of(text)
        found: bytes | None = None
        reasons: list[str] = []
        for near, theirs in self._nearest.find(part, vector, self.threshold, _LOOKED_AT):
            reason = difference(mine, theirs)
            if reason is None:
                found = near
                break
            reasons.append(reason)
        if found is not None or reasons:
            self.near += 1
        if found is None and reasons:
            self.rejected += 1
            self.rejections[reasons[0]] += 1
        self._asked[key] = (part, mine, vector)
        while len(self._asked) > 1_000:  # calls that failed never come back for theirs
            self._asked.popitem(last=False)
        return found

    def served(self, key: bytes) -> None:
        """What `find` found for `key` was there: nothing is going to be kept for it."""
        self._asked.pop(key, None)

    def add(self, key: bytes) -> None:
        """The answer to a question that `find` looked for in vain is kept now under `key`."""
        asked = self._asked.pop(key, None)
        if asked is not None:
            part, signature, vector = asked
            self._nearest.add(part, key, signature, vector)

    def forget(self, key: bytes) -> None:
        """The answer under `key` is gone."""
        self._nearest.forget(key)

    async def _vector(self, text: str, ctx: Context) -> Sequence[float] | None:
        """The question's direction, of length 1; None when the embedder fails."""
        try:
            with Alarm(self.embed_seconds, "total", self.embed_seconds, "the embedder of the cache"):
                vectors: Any = await ctx.place("embed").run_here(self.embed, [text])
            return self._nearest.unit(vectors, 1)
        except Exception as error:  # noqa: BLE001 - whatever an embedder does, the model can be asked
            self.failures += 1
            now = clock.monotonic()
            if now - self._logged_at >= _QUIET:
                self._logged_at = now
                _log.warning(
                    "the embedder of a cache failed (%d times so far), so questions count as new: %s: %s",
                    self.failures,
                    type(error).__name__,
                    error,
                )
            return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
