"""The loop: ask, act, until there is an answer or a reason to stop. It knows turns, not how a call is made.

Nothing here is decided by a clock or by chance alone. Under a runtime that records calls (`ctx.call`) each turn ends
with a small call of its own, `meter`, whose answer is what the turn has used: seconds, and what agents below it spent.
A replay gets that answer from the record, so that it counts what was counted then and goes the same way.
"""

from __future__ import annotations

import msgspec

from tidyllm.agents.acting import act
from tidyllm.agents.asking import ask
from tidyllm.agents.call import Call
from tidyllm.agents.listeners import Pipe
from tidyllm.agents.meter import Reading
from tidyllm.agents.parsed import Parsed, calls_of
from tidyllm.agents.run_state import Run
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.core import Context, Step
from tidyllm.errors import BadAnswer, TimeoutExceeded
from tidyllm.models.message import Message
from tidyllm.models.response import Response

__all__ = ["loop"]


async def loop(run: Run, pipe: Pipe | None = None) -> Stop:
    """Turns until one of them ends it."""
    mark = f"agent {run.agent.name!r} at {id(run)}"
    while True:
        stop = await _timed(run, pipe, mark)
        if stop is not None:
            return stop


async def _timed(run: Run, pipe: Pipe | None, mark: str) -> Stop | None:
    """One turn within the seconds that are left, and what it used."""
    meter, limit = run.meter, run.limits.seconds
    before = meter.reading() if run.ctx.scope.caller is not None else None
    stop: Stop | None
    try:
        with run.patience.turn(None if limit is None else limit - meter.seconds, limit or 0.0, mark):
            stop = await _turn(run, pipe)
    except TimeoutExceeded as error:
        if error.what != mark:
            raise
        stop = Stop(StopReason.deadline, f"{run.agent.name} has worked for its {limit:g} s.")
    seconds = run.patience.worked
    if before is not None:
        live = meter.reading().since(before, seconds)
        told = await run.ctx.call(_Measure(live), None)
        reading = msgspec.json.decode(told, type=Reading)
        meter.correct(reading, live)
        seconds = reading.seconds
    meter.seconds += seconds
    return stop


class _Measure(Step[None, str]):
    """What a turn has used, as JSON: measured once, and from then on given from the record."""

    def __init__(self, live: Reading) -> None:
        super().__init__("meter")
        self._live = live

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Measure)  # all of them are one step to whoever keeps a table of steps

    def __hash__(self) -> int:
        return hash(_Measure)

    async def invoke(self, x: None, ctx: Context) -> str:
        return msgspec.json.encode(self._live).decode()


async def _turn(run: Run, pipe: Pipe | None) -> Stop | None:
    asked = await ask(run, pipe)
    if isinstance(asked, Stop):
        return asked
    response = run.numbered(asked)
    match response.finish_reason:
        case "refused":
            _keep(run, response)
            return Stop(StopReason.refused, response.text or "The model refused to answer.")
        case "error":
            return Stop(
                StopReason.model_error, f"The provider says that its work failed. {response.text}".strip()
            )
        case "paused":
            _keep(run, response)
            return None  # it wants to be asked again, with what it has so far
        case _:
            pass
    final = run.agent.final
    cut = response.finish_reason == "length"
    if final is not None and final.way == "native" and not response.tool_calls and not cut:
        try:  # what keeps to a schema is no call, even where it looks like one
            run.output = final.of_text(response.text)
        except BadAnswer:
            pass
        else:
            run.talk.add(response.message)
            return Stop(StopReason.done)
    parsed = calls_of(response, run.agent.offered) if run.agent.offered else Parsed(text=response.text)
    if parsed.calls or parsed.problems:
        return await act(run, response, parsed)
    return _answered(run, response, cut=cut)


def _keep(run: Run, response: Response) -> None:
    """Add an answer whose calls are not run."""
    run.talk.add(response.message)
    run.expect(tuple(Call(part.id, part.name) for part in response.tool_calls))
    run.close("(not run)")


def _answered(run: Run, response: Response, *, cut: bool) -> Stop | None:
    """An answer without a call: the final one, or one to be repaired."""
    final = run.agent.final
    if response.content:
        run.talk.add(response.message)
    if cut:
        return _again(
            run,
            "Your answer was cut off at its length limit. Answer again, shorter, or in smaller steps.",
            StopReason.truncated,
        )
    if not response.text.strip():
        return _again(run, "Your answer was empty. Call a tool, or give your final answer.", StopReason.empty)
    if final is None:
        run.output = response.text
        return Stop(StopReason.done)
    try:
        run.output = final.of_text(response.text)
    except BadAnswer as error:
        return _again(run, f"{error.message} {final.prompt}".strip(), StopReason.malformed)
    return Stop(StopReason.done)


def _again(run: Run, problem: str, reason: StopReason) -> Stop | None:
    stop = run.repair(problem, reason)
    if stop is None:
        run.talk.add(Message.user(problem))
    return stop
