"""The loop: ask, act, until there is an answer or a reason to stop. It knows turns, not how a call is made.

Nothing here is decided by a clock or by chance alone, so that a replay goes the same way; see `measured`.
"""

from __future__ import annotations

from tidyllm.agents.acting import act
from tidyllm.agents.asking import ask
from tidyllm.agents.call import Call
from tidyllm.agents.listeners import Pipe
from tidyllm.agents.measured import measured
from tidyllm.agents.parsed import Parsed, calls_of
from tidyllm.agents.run_state import Run
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.errors import BadAnswer
from tidyllm.models.message import Message
from tidyllm.models.response import Response

__all__ = ["loop"]


async def loop(run: Run, pipe: Pipe | None = None) -> Stop:
    """Turns until one of them ends it."""
    mark = f"agent {run.agent.name!r} at {id(run)}"
    while True:
        stop = await measured(run, mark, lambda: _turn(run, pipe))
        if stop is not None:
            return stop


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
