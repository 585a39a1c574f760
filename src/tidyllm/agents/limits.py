"""How far an agent may go. Data with checks; it counts nothing."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

import msgspec

from tidyllm.errors import ConfigError

__all__ = ["AgentLimits"]


class AgentLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Caps of one agent and everything below it: agents that its tools call count as well. None: no cap of its own.

    - `turns`: model calls. Default 50: long enough for a day's task, short enough to notice a loop.
    - `tool_calls`: default 200.
    - `tokens`: input and output of all model calls together. With it, each call gets an output cap that fits.
    - `usd`: dollars; a call whose price is unknown is then refused. A float is taken by its decimal digits.
    - `seconds`: of work. It interrupts what runs, a model that stalls too; while a person is asked, and while a run
      lies dead, the clock stands still. Default: an hour.

    How soon an agent that gets nowhere is stopped:

    - `repairs`: how many answers in a row that cannot be read go back to the model with the reason.
    - `repeats`: so many equal calls in a row with equal results end it; `ping_pong`: so many rounds of A, B;
      `no_progress`: so many turns in a row without a new result; 0 turns a detector off.
    - `denials`: so many turns in a row in which every call was denied.

    :raises ConfigError: a number is negative or none.
    """

    turns: int | None = 50
    tool_calls: int | None = 200
    tokens: int | None = None
    usd: Decimal | None = None
    seconds: float | None = 3_600
    repairs: int = 3
    repeats: int = 3
    ping_pong: int = 2
    no_progress: int = 8
    denials: int = 3

    def __post_init__(self) -> None:
        if self.usd is not None and not isinstance(self.usd, Decimal):  # pyright: ignore[reportUnnecessaryIsInstance] - callers write 0.5
            try:
                msgspec.structs.force_setattr(self, "usd", Decimal(str(self.usd)))
            except InvalidOperation:
                raise ConfigError(f"{self.usd!r} is no amount of dollars.", where="limits.usd") from None
        for field in self.__struct_fields__:
            value: int | float | Decimal | None = getattr(self, field)
            if value is None:
                continue
            if math.isnan(value) or value < 0:
                raise ConfigError(f"{value!r} is not a number of 0 or more.", where=f"limits.{field}")

    def within(self, outer: AgentLimits) -> AgentLimits:
        """These caps, each no larger than that of `outer`; the detectors are those of `outer`."""

        def least(name: str) -> int | float | Decimal | None:
            mine, theirs = getattr(self, name), getattr(outer, name)
            return theirs if mine is None else mine if theirs is None else min(mine, theirs)

        caps = ("turns", "tool_calls", "tokens", "usd", "seconds")
        return msgspec.structs.replace(outer, **{name: least(name) for name in caps})
