"""The door to an agent's model: what caps decide about a call is decided here, below the seam.

A runtime that records calls therefore records these decisions with the answer: a replay, whose meters have other
timings, neither decides anew nor asks with another output cap.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm import clock
from tidyllm.agents.agent_events import TurnStarted
from tidyllm.agents.stop import Stop
from tidyllm.core import Context, Wrapper
from tidyllm.errors import AgentStopped
from tidyllm.models.pricing import at_most_usd
from tidyllm.models.request import Request
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.agents.run_state import Run

__all__ = ["Admission"]

_WAIT = 0.02
"""Seconds between two looks whether calls of agents side by side are over."""
_GOOD_ANSWER = 1_024
_LEAST_ANSWER = 64


class Admission(Wrapper[Request, Response]):
    """The model of one run of an agent. `ran` says whether it was really asked in the turn that `opened`.

    :raises AgentStopped: a cap says no; `stop` is the `StopReason`.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run.agent.model)
        self._run = run
        self._held = 0
        self.ran = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Admission) and self.inner == other.inner

    def __hash__(self) -> int:
        return hash((Admission, self.inner))

    async def invoke(self, x: Request, ctx: Context) -> Response:
        return await self.inner.invoke(await self._admit(x), ctx)

    async def invoke_stream(self, x: Request, ctx: Context) -> AsyncGenerator[Any, None]:
        async with aclosing(self.inner.invoke_stream(await self._admit(x), ctx)) as pieces:
            async for piece in pieces:
                yield piece

    async def _admit(self, request: Request) -> Request:
        run = self._run
        meter = run.meter
        self.ran = True
        most = _affordable(run, request)
        if meter.caps_tokens:
            into = run.talk.tokens
            while (out := meter.hold_tokens(into, most or run.agent.facts.answer_tokens)) is None:
                await clock.sleep(_WAIT)
            if isinstance(out, Stop):
                raise _refusal(out)
            self._held = into + out
            most = out
        full = meter.take_turn()
        if full is not None:
            raise _refusal(full)
        if run.heard:
            run.tell(TurnStarted, turn=run.turn)
        return request if most is None else msgspec.structs.replace(request, max_output_tokens=most)

    def release(self) -> None:
        """The call is over and what it used is counted: let go of what was held for it."""
        held, self._held = self._held, 0
        if held:
            self._run.meter.release_tokens(held)


def _refusal(stop: Stop) -> AgentStopped:
    return AgentStopped(stop.detail, stop=stop.reason.value)


def _affordable(run: Run, request: Request) -> int | None:
    """An output cap with which the most that the call can cost fits what is left, and leaves half of it to others.

    Without one, the longest answer that the model can give would be set aside: for many models that is a dollar. None
    without a cap on dollars, or where prices are not known.
    """
    room = run.meter.room_usd()
    if room is None:
        return None
    most: int | None = None
    size = (
        len(msgspec.json.encode(request)) * 5 // 4 + 2_000
    )  # the body as it is sent, and what stands around tools
    for info in run.agent.facts.infos:
        question, million = at_most_usd(size, 0, info), at_most_usd(0, 1_000_000, info)
        if question is None or not million:
            continue
        tokens = int((room - question) / million * 1_000_000)
        fits = max(tokens // 2, min(tokens, _GOOD_ANSWER), _LEAST_ANSWER)
        most = min(fits, run.agent.facts.answer_tokens if most is None else most)
    return most
