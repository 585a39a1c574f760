"""Finds agents that get nowhere, from what they called and what came back. Pure: it knows no clock, model or tool."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from tidyllm.agents.stop import Stop, StopReason

__all__ = ["Detector", "Done"]

_VARIES = re.compile(
    r"\b\d+\.\d+ ?(?:s|ms|sec|seconds)\b(?: \(\d+:\d\d:\d\d\))?|\bat 0x[0-9a-fA-F]+|\bpytest-\d+\b"
)
"""How long something took, where objects and files for a time lay: two runs of the same tests differ in nothing else,
and are equal."""


class Done(msgspec.Struct, frozen=True):
    """One call that is over. `reads`: it changes nothing, so that only a new answer is progress."""

    tool: str
    arguments: str
    result: str
    ok: bool = True
    reads: bool = False


class Detector:
    """Fed with the calls of each turn in order. Equal results are what counts: a result that changes resets it.

    - `repeats` equal calls with equal results in a row: `repeated`. Equal calls within one turn count once.
    - `ping_pong` rounds of two such calls in turn: `ping_pong`.
    - `no_progress` turns in a row that gave nothing new: `no_progress`. New is, for a call that changes something, a
      call with arguments or a result not seen before; for one that only reads, or fails, a result not seen before.
    """

    __slots__ = ("_idle", "_last", "_no_progress", "_ping_pong", "_recent", "_repeats", "_run", "_seen")

    def __init__(self, *, repeats: int = 3, ping_pong: int = 2, no_progress: int = 8) -> None:
        self._repeats = repeats
        self._ping_pong = ping_pong
        self._no_progress = no_progress
        self._seen: set[bytes] = set()
        self._recent: list[bytes] = []
        self._last: Done | None = None
        self._run = 0
        self._idle = 0

    def turn(self, calls: Sequence[Done]) -> Stop | None:
        """What the calls of one more turn say; None while it gets on."""
        found: Stop | None = None
        fresh = False
        within: set[bytes] = set()
        for call in calls:
            result = _VARIES.sub("", call.result)
            key = _key(call.tool, call.arguments, result)
            news = _key(call.tool, result) if call.reads or not call.ok else key
            fresh = fresh or news not in self._seen
            self._seen.add(news)
            if key in within:
                continue
            within.add(key)
            self._run = self._run + 1 if self._recent and self._recent[-1] == key else 1
            self._recent.append(key)
            found = found or self._judge(call)
            self._last = call
        if self._ping_pong:
            del self._recent[: -2 * self._ping_pong]
        else:
            del self._recent[:-1]
        if not calls:
            return found
        self._idle = 0 if fresh else self._idle + 1
        if found is None and self._no_progress and self._idle >= self._no_progress:
            found = Stop(StopReason.no_progress, f"{self._idle} turns in a row gave nothing new.")
        return found

    @property
    def warning(self) -> str | None:
        """What to tell the model one step before it is stopped."""
        if self._last is not None and self._run > 1 and self._run == self._repeats - 1:
            return f"You have called {self._last.tool} {self._run} times in a row with the same result."
        if self._no_progress > 1 and self._idle == self._no_progress - 1:
            return f"Your last {self._idle} turns gave nothing new."
        return None

    def _judge(self, call: Done) -> Stop | None:
        if self._repeats and self._run >= self._repeats:
            return Stop(
                StopReason.repeated, f"{call.tool} was called {self._run} times in a row with one result."
            )
        span = 2 * self._ping_pong
        if span and len(self._recent) >= span:
            even, odd = set(self._recent[-span::2]), set(self._recent[-span + 1 :: 2])
            if span > 2 and len(even) == len(odd) == 1 and even != odd:
                other = self._last.tool if self._last is not None else call.tool
                return Stop(
                    StopReason.ping_pong,
                    f"{other} and {call.tool} were called in turn {self._ping_pong} times with equal results.",
                )
        return None


def _key(*parts: str) -> bytes:
    digest = blake2b(digest_size=12)
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "big"))
        digest.update(text)
    return digest.digest()
