"""One question of an agent to its model: made to fit, under the caps, and what can go wrong as a typed stop.

It knows requests and answers, not what the answers ask for. It never tries again: that is the business of what wraps
the model; only a question that was too long is asked once more, shorter.
"""

from __future__ import annotations

from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm.agents.agent_events import AnswerPiece, Pruned, TurnFinished, TurnStarted
from tidyllm.agents.sizes import text_tokens
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.errors import (
    AgentStopped,
    BudgetExceeded,
    ConfigError,
    ContentRefused,
    ContextTooLong,
    PriceUnknown,
    RunError,
    StepError,
    StreamInterrupted,
    TimeoutExceeded,
)
from tidyllm.models.request import Request
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.agents.listeners import Pipe
    from tidyllm.agents.run_state import Run

__all__ = ["ask"]

_FREE = Decimal(0)


async def ask(run: Run, pipe: Pipe | None) -> Response | Stop:
    """The model's answer to the conversation; or why there is none."""
    stop = _fit(run, run.input_budget)
    if stop is not None:
        return stop
    try:
        return await _ask(run, pipe)
    except ContextTooLong as error:
        if run.shrunk:
            return Stop(StopReason.model_error, str(error))
        run.shrunk = True  # the window is smaller than anybody knew: half of what was sent, from now on
        run.input_budget = max(run.talk.tokens // 2, 1)
    try:
        return _fit(run, run.input_budget) or await _ask(run, pipe)
    except ContextTooLong as error:
        return Stop(StopReason.model_error, str(error))


def _fit(run: Run, budget: int) -> Stop | None:
    done = run.talk.fit(budget, run.agent.facts.info)
    if done is None:
        return None
    run.tell(
        Pruned,
        messages=done.messages,
        tokens_before=done.tokens_before,
        tokens_after=done.tokens_after,
        net_usd=done.net_usd(),
    )
    if len(run.talk):
        return None
    return Stop(
        StopReason.tokens, f"Nothing of the conversation fits {budget:,} tokens beside the instructions."
    )


async def _ask(run: Run, pipe: Pipe | None) -> Response | Stop:
    request: Request = msgspec.structs.replace(run.agent.request, messages=run.sent())
    door = run.door
    door.ran = False
    run.turn += 1
    sent = len(run.talk)
    try:
        response = await _answer(run, request, pipe)
        if isinstance(response, Stop):
            return response
        if not door.ran:  # a record: it is counted here
            run.meter.count_turn()
            run.tell(TurnStarted, turn=run.turn)
        _count(run, response)
    finally:
        door.release()
    run.talk.told(response.usage.input_tokens, sent)
    return response


def _count(run: Run, response: Response) -> None:
    usage, cost = response.usage, response.cost_usd
    infos = run.agent.facts.infos
    if cost is None and infos and all(info.local for info in infos):
        cost = _FREE
    given, written = usage.input_tokens, usage.output_tokens
    if run.meter.caps_tokens:  # what the provider did not count is counted here, never below the truth
        given = run.talk.tokens if given is None else given
        written = text_tokens(response.text, "") if written is None else written
    run.meter.add(given or 0, written or 0, cost)
    if response.text:
        run.text = response.text
    if run.heard:
        if response.text and not run.streaming:
            run.tell(AnswerPiece, text=response.text)
        run.tell(
            TurnFinished,
            turn=run.turn,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=cost,
        )


async def _answer(run: Run, request: Request, pipe: Pipe | None) -> Response | Stop:
    """:raises ContextTooLong: the question was."""
    name = f"turn-{run.turn}"
    try:
        if pipe is None:
            return await run.ctx.call(run.door, request, name)
        pieces: list[Any] = []
        async with aclosing(run.ctx.stream(run.door, request, name)) as stream:
            async for piece in stream:
                pieces.append(piece)
                text = getattr(piece, "text", "")
                if text:
                    run.tell(AnswerPiece, text=text)
                    await pipe.room()
        return run.door.join(pieces)
    except ContextTooLong:
        raise
    except (RunError, StepError, ConfigError):
        raise  # not the model's: a durable run that may not go on, a program that is wrong
    except AgentStopped as error:
        run.turn -= 1  # a cap said no: it was not asked
        return Stop(StopReason(error.stop), error.message)
    except ContentRefused as error:
        return Stop(StopReason.refused, str(error))
    except (BudgetExceeded, PriceUnknown) as error:
        return Stop(StopReason.budget, str(error))
    except StreamInterrupted as error:
        partial: object = error.partial
        if isinstance(partial, Response) and partial.text:
            run.text = partial.text
        return Stop(StopReason.model_error, str(error))
    except TimeoutExceeded as error:
        if error.clock == "deadline":
            raise  # the run's own
        return Stop(StopReason.model_error, str(error))
    except Exception as error:  # noqa: BLE001 - whatever the model's step raises, the work so far is kept
        said = str(error)
        return Stop(StopReason.model_error, said or type(error).__name__)
