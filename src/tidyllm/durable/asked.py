"""Whether what is asked of a runtime makes sense, before anything is written. It knows arguments, nothing else."""

from __future__ import annotations

import math
from datetime import timedelta

from tidyllm import clock
from tidyllm.errors import RunError

__all__ = ["check_queue", "check_start"]

_LONGEST = 500
_LOWEST = 2**31 - 1


def check_start(run: str, priority: int | None, queue: str | None, timeout: float | timedelta | None) -> None:
    """:raises RunError: an argument of `Runtime.start` that nobody can keep to."""
    if not run.isprintable() or len(run) > _LONGEST:
        raise RunError(f"{run[:80]!r} is no id: expected 1 to {_LONGEST} printable characters.")
    if priority is not None:
        _whole("priority", priority, 1, _LOWEST)
        if queue is None:
            raise RunError(
                f"priority={priority} without a queue: a run that is not queued begins at once.",
                hint="Name a queue, or leave the priority out.",
            )
    if timeout is not None and not math.isfinite(clock.seconds(timeout)):
        raise RunError(f"timeout={timeout!r} is no number of seconds.")


def check_queue(
    name: str, concurrency: int | None, worker_concurrency: int | None, rate: tuple[int, float] | None
) -> None:
    """:raises RunError: a queue that would never begin a run."""
    if not name or not name.isprintable():
        raise RunError(f"{name[:80]!r} is no name of a queue.")
    for word, number in (("concurrency", concurrency), ("worker_concurrency", worker_concurrency)):
        if number is not None:
            _whole(word, number, 1, _LOWEST)
    if rate is not None:
        _whole("rate: the number of runs", rate[0], 1, _LOWEST)
        if not 0 < rate[1] < math.inf:
            raise RunError(f"rate: {rate[1]!r} is no time to count runs in; expected seconds above 0.")


def _whole(what: str, number: object, least: int, most: int) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        raise RunError(f"{what} is {number!r}; expected a whole number from {least} to {most:,}.")
