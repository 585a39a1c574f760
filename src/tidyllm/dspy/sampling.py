"""Which of several equal questions this one is. It knows DSPy's `rollout_id` and `n`, not what a cache does with them.

DSPy strips a rollout's id before its engine is asked, and for `n` answers it asks `n` times with equal requests. Both
are told to our caches by a tag of the run, so that five samples are five calls, and the same sample again is one.
"""

from __future__ import annotations

from contextvars import ContextVar

__all__ = ["Sample", "current"]


class Sample:
    """One call of a language model, with the answers that were asked for so far."""

    __slots__ = ("_given", "_rollout", "uncached")

    def __init__(self, rollout: object, *, uncached: bool = False) -> None:
        """`uncached`: the caller said `cache=False` for this call."""
        self.uncached = uncached
        self._rollout = "" if rollout is None else str(rollout)
        self._given = 0

    def next(self) -> str | None:
        """The tag's value for the next answer; None for the first one of no rollout, which is a plain question."""
        candidate = self._given
        self._given += 1
        if not candidate:
            return self._rollout or None
        return f"{self._rollout}#{candidate}"


current: ContextVar[Sample | None] = ContextVar("tidyllm_dspy_sample", default=None)
"""The call that this task or thread is in."""
