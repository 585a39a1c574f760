"""Work within the seconds that a run has left, and what it used, as it is counted live and after a crash.

Under a runtime that records calls (`ctx.call`) what was used is a small call of its own, `meter`: seconds, and what
agents below spent. A replay gets that answer from the record, so that it counts what was counted then and goes the same
way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from tidyllm.agents.meter import Reading
from tidyllm.agents.run_state import Run
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.core import Context, Step
from tidyllm.errors import TimeoutExceeded

__all__ = ["measured"]

T = TypeVar("T")


async def measured(run: Run, mark: str, work: Callable[[], Awaitable[T]]) -> T | Stop:
    """What `work` gives; the stop, when the run's seconds ended first. `mark` tells this run's clock from others."""
    meter, limit = run.meter, run.limits.seconds
    before = meter.reading() if run.ctx.scope.caller is not None else None
    done: T | Stop
    try:
        with run.patience.turn(None if limit is None else limit - meter.seconds, limit or 0.0, mark):
            done = await work()
    except TimeoutExceeded as error:
        if error.what != mark:
            raise
        done = Stop(StopReason.deadline, f"{run.agent.name} has worked for its {limit:g} s.")
    seconds = run.patience.worked
    if before is not None:
        live = meter.reading().since(before, seconds)
        told = await run.ctx.call(_Measure(live), None)
        reading = msgspec.json.decode(told, type=Reading)
        meter.correct(reading, live)
        seconds = reading.seconds
    meter.seconds += seconds
    return done


class _Measure(Step[None, str]):
    """What was used, as JSON: measured once, and from then on given from the record."""

    def __init__(self, live: Reading) -> None:
        super().__init__("meter")
        self._live = live

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Measure)  # all of them are one step to whoever keeps a table of steps

    def __hash__(self) -> int:
        return hash(_Measure)

    async def invoke(self, x: None, ctx: Context) -> str:
        return msgspec.json.encode(self._live).decode()
