"""What a tree of agents has used, and whether more fits: one meter for each agent, each below that of its caller.

It knows counts and caps, nothing of models or tools. Dollars on the wire are `tree_budget`'s.
"""

from __future__ import annotations

import threading
from decimal import Decimal

import msgspec

from tidyllm.agents.limits import AgentLimits
from tidyllm.agents.result import TreeUsage
from tidyllm.agents.stop import Stop, StopReason

__all__ = ["Meter", "Reading"]

_NONE = Decimal(0)
_LEAST_ANSWER = 64
"""Tokens: with less room under a cap the model is not asked, since it could not even call a tool."""
_GOOD_ANSWER = 1_024
"""Tokens: rather than with less, an agent waits for what others have on hold. Of more room it takes half, and leaves
the other half to those beside it."""


class Reading(msgspec.Struct, frozen=True):
    """Counts of one meter at one moment, or between two."""

    turns: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    told_usd: Decimal = _NONE
    wire_usd: Decimal = _NONE
    priced: bool = True
    seconds: float = 0.0

    def since(self, before: Reading, seconds: float) -> Reading:
        """What came between, which took so many seconds."""
        return Reading(
            self.turns - before.turns,
            self.tool_calls - before.tool_calls,
            self.input_tokens - before.input_tokens,
            self.output_tokens - before.output_tokens,
            self.told_usd - before.told_usd,
            self.wire_usd - before.wire_usd,
            self.priced,
            seconds,
        )


class Meter:
    """Counts for one agent and everything below it. A count goes into every meter from here to the top of the tree.

    Tokens of a call under way are held at their upper bound, so that agents side by side cannot pass a cap together.
    Meters of one tree share a lock: tools may run agents in threads.
    """

    __slots__ = (
        "_lock",
        "held_tokens",
        "input_tokens",
        "limits",
        "name",
        "output_tokens",
        "parent",
        "priced",
        "seconds",
        "told_usd",
        "tool_calls",
        "turns",
        "wire_held_usd",
        "wire_usd",
    )

    def __init__(self, name: str, limits: AgentLimits, parent: Meter | None = None) -> None:
        self.name = name
        self.limits = limits
        self.parent = parent
        self._lock: threading.Lock = threading.Lock() if parent is None else parent._lock
        self.turns = 0
        self.tool_calls = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self.held_tokens = 0
        self.seconds = 0.0
        self.told_usd = _NONE
        """What the models' answers said they cost."""
        self.wire_usd = _NONE
        """What attempts cost, failed ones included; 0 where nobody reserves."""
        self.wire_held_usd = _NONE
        self.priced = True
        """Whether every answer had a known price."""

    @property
    def usd(self) -> Decimal:
        """Dollars spent here and below."""
        return max(self.told_usd, self.wire_usd)

    def usage(self) -> TreeUsage:
        """The counts, as a value."""
        return TreeUsage(
            turns=self.turns,
            tool_calls=self.tool_calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            usd=self.usd,
            seconds=self.seconds,
        )

    # -- caps, before a call

    def take_turn(self) -> Stop | None:
        """Count one more model call; or why there may be none, and nothing is counted."""
        with self._lock:
            at: Meter | None = self
            while at is not None:
                if (full := at._full()) is not None:
                    return full
                at = at.parent
            at = self
            while at is not None:
                at.turns += 1
                at = at.parent
        return None

    def count_turn(self) -> None:
        """Count a model call that was made in an earlier life of the run."""
        with self._lock:
            at: Meter | None = self
            while at is not None:
                at.turns += 1
                at = at.parent

    def take_calls(self, wanted: int) -> int:
        """Count as many of these tool calls as all caps leave room for, and say how many."""
        with self._lock:
            granted = wanted
            at: Meter | None = self
            while at is not None:
                if at.limits.tool_calls is not None:
                    granted = min(granted, max(at.limits.tool_calls - at.tool_calls, 0))
                at = at.parent
            at = self
            while at is not None:
                at.tool_calls += granted
                at = at.parent
        return granted

    @property
    def caps_tokens(self) -> bool:
        """Whether any cap on tokens holds here."""
        at: Meter | None = self
        while at is not None:
            if at.limits.tokens is not None:
                return True
            at = at.parent
        return False

    def hold_tokens(self, into: int, out: int) -> int | Stop | None:
        """Hold `into` tokens and as many of `out` as may be used.

        How many of `out`; or why none; or None: there may be room when calls under way are over, so ask again then.
        """
        with self._lock:
            granted = out
            good = min(_GOOD_ANSWER, out)
            at: Meter | None = self
            while at is not None:
                if at.limits.tokens is not None:
                    used = at.input_tokens + at.output_tokens
                    room = at.limits.tokens - used - at.held_tokens - into
                    if room >= good:
                        granted = min(granted, max(room // 2, good))
                    elif at.held_tokens:
                        return None
                    elif room >= min(_LEAST_ANSWER, out):
                        granted = min(granted, room)
                    else:
                        return Stop(
                            StopReason.tokens,
                            f"{at.name} has used {used:,} of {at.limits.tokens:,} tokens, and the next question may be"
                            f" {into:,}.",
                        )
                at = at.parent
            at = self
            while at is not None:
                at.held_tokens += into + granted
                at = at.parent
        return granted

    def release_tokens(self, held: int) -> None:
        """That call is over."""
        with self._lock:
            at: Meter | None = self
            while at is not None:
                at.held_tokens -= held
                at = at.parent

    # -- counts, after it

    def add(self, into: int, out: int, usd: Decimal | None) -> None:
        """One model call's tokens and dollars (None: not known)."""
        with self._lock:
            at: Meter | None = self
            while at is not None:
                at.input_tokens += into
                at.output_tokens += out
                if usd is None:
                    at.priced = False
                else:
                    at.told_usd += usd
                at = at.parent

    def reading(self) -> Reading:
        """The counts of now, to measure a turn by."""
        with self._lock:
            return Reading(
                self.turns,
                self.tool_calls,
                self.input_tokens,
                self.output_tokens,
                self.told_usd,
                self.wire_usd,
                self.priced,
            )

    def correct(self, recorded: Reading, live: Reading) -> None:
        """A part of the run was given from a record: count what it used then, in place of what it used now."""
        if recorded == live:
            return
        with self._lock:
            at: Meter | None = self
            while at is not None:
                at.turns += recorded.turns - live.turns
                at.tool_calls += recorded.tool_calls - live.tool_calls
                at.input_tokens += recorded.input_tokens - live.input_tokens
                at.output_tokens += recorded.output_tokens - live.output_tokens
                at.told_usd += recorded.told_usd - live.told_usd
                at.wire_usd += recorded.wire_usd - live.wire_usd
                at.priced = at.priced and recorded.priced
                at = at.parent

    def room_usd(self) -> Decimal | None:
        """Dollars that are neither spent nor on hold, under all caps; None without one."""
        least: Decimal | None = None
        with self._lock:
            at: Meter | None = self
            while at is not None:
                if at.limits.usd is not None:
                    room = at.limits.usd - at.usd - at.wire_held_usd
                    least = room if least is None else min(least, room)
                at = at.parent
        return least

    def may_have_room(self, amount: Decimal) -> bool:
        """Whether so much would fit if what is on hold now came back: then it is worth waiting for."""
        limit = self.limits.usd
        return self.wire_held_usd > 0 and (limit is None or self.usd + amount <= limit)

    def hold_usd(self, amount: Decimal) -> str | None:
        """Hold dollars of an attempt on the wire in this meter alone; or why not: what is held now."""
        with self._lock:
            limit = self.limits.usd
            if limit is not None and self.usd + self.wire_held_usd + amount > limit:
                return str(self.wire_held_usd)
            self.wire_held_usd += amount
        return None

    def settle_usd(self, held: Decimal, cost: Decimal) -> None:
        """That attempt is over, and cost so much."""
        with self._lock:
            self.wire_held_usd -= held
            self.wire_usd += cost

    def _full(self) -> Stop | None:
        limits = self.limits
        if limits.turns is not None and self.turns >= limits.turns:
            return Stop(StopReason.turns, f"{self.name} has had its {limits.turns} turns.")
        if limits.tokens is not None and self.input_tokens + self.output_tokens >= limits.tokens:
            used = self.input_tokens + self.output_tokens
            return Stop(StopReason.tokens, f"{self.name} has used {used:,} of {limits.tokens:,} tokens.")
        if limits.usd is not None and self.usd >= limits.usd:
            return Stop(StopReason.budget, f"{self.name} has spent ${self.usd} of ${limits.usd}.")
        if limits.usd is not None and not self.priced:
            return Stop(
                StopReason.budget, f"{self.name} may spend ${limits.usd}, and a call's price is unknown."
            )
        if limits.seconds is not None and self.seconds >= limits.seconds:
            return Stop(StopReason.deadline, f"{self.name} has worked for its {limits.seconds:g} s.")
        return None
