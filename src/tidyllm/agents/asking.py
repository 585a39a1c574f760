"""One question of an agent to its model: made to fit, under the caps, and what can go wrong as a typed stop.

It knows requests and answers, not what the answers ask for. It never tries again: that is the business of what wraps
the model; only a question that was too long is asked once more, shorter.
"""

from __future__ import annotations

from contextlib import aclosing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from tidyllm import clock
from tidyllm.agents.agent_events import AnswerPiece, Pruned, TurnFinished, TurnStarted
from tidyllm.agents.sizes import text_tokens
from tidyllm.agents.stop import Stop, StopReason
from tidyllm.errors import (
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
from tidyllm.models.pricing import at_most_usd
from tidyllm.models.request import Request
from tidyllm.models.response import Response

if TYPE_CHECKING:
    from tidyllm.agents.listeners import Pipe
    from tidyllm.agents.run_state import Run

__all__ = ["ask"]

_WAIT = 0.02
"""Seconds between two looks whether calls of agents side by side are over."""
_GOOD_ANSWER = 1_024
_LEAST_ANSWER = 64
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
    agent, meter = run.agent, run.meter
    request: Request = msgspec.structs.replace(agent.request, messages=run.sent())
    held = into = 0
    most = _affordable(run, request)
    if meter.caps_tokens:
        into = run.talk.tokens
        while (out := meter.hold_tokens(into, most or agent.facts.answer_tokens)) is None:
            await clock.sleep(_WAIT)
        if isinstance(out, Stop):
            return out
        held = into + out
        most = out
    if most is not None:
        request = msgspec.structs.replace(request, max_output_tokens=most)
    try:
        full = meter.take_turn()
        if full is not None:
            return full
        run.turn += 1
        sent = len(run.talk)
        if run.heard:
            run.tell(TurnStarted, turn=run.turn)
        response = await _answer(run, request, pipe)
        if isinstance(response, Stop):
            return response
    finally:
        if held:
            meter.release_tokens(held)
    _count(run, response, into)
    run.talk.told(response.usage.input_tokens, sent)
    return response


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


def _count(run: Run, response: Response, into: int) -> None:
    usage, cost = response.usage, response.cost_usd
    infos = run.agent.facts.infos
    if cost is None and infos and all(info.local for info in infos):
        cost = _FREE
    # Under a cap what the provider did not count is counted here, never below the truth.
    given = into if usage.input_tokens is None else usage.input_tokens
    written = usage.output_tokens
    if written is None:
        written = text_tokens(response.text, "") if into else 0
    run.meter.add(given, written, cost)
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
    agent = run.agent
    name = f"turn-{run.turn}"
    try:
        if pipe is None:
            return await run.ctx.call(agent.model, request, name)
        pieces: list[Any] = []
        async with aclosing(run.ctx.stream(agent.model, request, name)) as stream:
            async for piece in stream:
                pieces.append(piece)
                text = getattr(piece, "text", "")
                if text:
                    run.tell(AnswerPiece, text=text)
                    await pipe.room()
        return agent.model.join(pieces)
    except ContextTooLong:
        raise
    except (RunError, StepError, ConfigError):
        raise  # not the model's: a durable run that may not go on, a program that is wrong
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
