"""The run that a DSPy program belongs to. It knows how DSPy hands its settings to threads, not what is called in them.

DSPy's own threads (`dspy.Parallel`, `Evaluate`) inherit DSPy's settings, and no other variable of the task that
started them. The context therefore travels in both.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta

from tidyllm.core import Budget, Context
from tidyllm.core.ambient import get_current, reset_current, set_current
from tidyllm.dspy.foreign import given, within
from tidyllm.errors import ConfigError

__all__ = ["here", "scope"]

_KEY = "tidyllm_context"
"""The name under which DSPy's settings hold it."""


def here() -> Context | None:
    """The context of this task or thread; None outside of any run."""
    at = get_current()
    if at is not None:
        return at
    held: Context | None = given(_KEY)
    # A thread of DSPy's: deadline and cancellation of the run must be watched from here anew.
    return held.detached() if held is not None and held.entered else held


@contextmanager
def scope(
    ctx: Context | None = None,
    *,
    deadline: float | timedelta | None = None,
    tags: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> Generator[Context, None, None]:
    """All that DSPy does in this block belongs to one run, in its threads and tasks as well.

    >>> with scope(deadline=30, tags={"tidyllm.tenant": "acme"}):    # doctest: +SKIP
    ...     program(question="…")

    `ctx`: default: the run that is under way, else a new one. `deadline` (seconds), `tags` and `budget` are added to
    it; a budget that was in force stays in force.

    :raises ConfigError: `budget` cannot be joined with the one in force.
    """
    at = ctx or here() or Context.new()
    outer = at.budget
    if budget is not None and outer is not None:
        join = getattr(budget, "under", None)
        if join is None:
            raise ConfigError(
                f"{budget!r} cannot stand below the budget that is in force.",
                where="scope.budget",
                hint="Use tidyllm.money.Budget, or give the outer budget to nobody.",
            )
        budget = join(outer)
    if not deadline is tags is budget is None:
        at = at.with_(deadline=deadline, tags=tags, budget=budget)
    token = set_current(at)
    try:
        with within(**{_KEY: at}):
            yield at
    finally:
        reset_current(token)
