"""`tidyllm ask`: one question, its answer streamed to the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from decimal import Decimal

from tidyllm import clock
from tidyllm.cli.chosen_model import chosen_model
from tidyllm.cli.output import harmless, until_the_reader_leaves
from tidyllm.core import Step
from tidyllm.errors import ConfigError, StreamInterrupted
from tidyllm.models import Request, RequestLike, Response
from tidyllm.models.piece import Piece

__all__ = ["run"]


def run(question: str, model: str | None, system: str | None, config: str | None, env: str | None) -> None:
    """Ask, stream the text to standard output, and write tokens and cost to standard error."""
    question = _text(question)
    step = chosen_model(model, config, env)
    with until_the_reader_leaves():
        asyncio.run(_ask(step, Request(question, system=system)))


def _text(question: str) -> str:
    try:
        if question == "-":
            question = "" if sys.stdin is None else sys.stdin.buffer.read().decode()
        question.encode()  # an argument in another encoding comes as half characters
    except UnicodeError as error:
        raise ConfigError("the question is not text in UTF-8.") from error
    if not question.strip():
        raise ConfigError(
            "the question is empty.", hint="Write it as an argument, or '-' to read it from standard input."
        )
    return question


async def _ask(step: Step[RequestLike, Response], request: Request) -> None:
    pieces: list[Piece] = []
    started = clock.monotonic()
    # A program in a pipe gets what the model wrote; a terminal would obey it.
    shown = harmless if sys.stdout.isatty() else str
    try:
        async with contextlib.aclosing(step.stream(request)) as stream:
            async for piece in stream:
                pieces.append(piece)
                sys.stdout.write(shown(piece.text))
                sys.stdout.flush()
    except BaseException as error:
        if any(piece.text for piece in pieces):
            sys.stdout.write("\n")
            sys.stdout.flush()
        if isinstance(error, StreamInterrupted) and isinstance(error.partial, Response):
            sys.stderr.write(_last_line(error.partial, clock.monotonic() - started) + "\n")
        raise
    response = step.join(pieces)
    for call in response.tool_calls:
        sys.stdout.write(f"[calls {call.name}({call.raw_arguments})]")
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stderr.write(_last_line(response, clock.monotonic() - started) + "\n")


def _last_line(response: Response, seconds: float) -> str:
    usage = response.usage
    tokens = (
        "tokens unknown"
        if usage.input_tokens is None and usage.output_tokens is None
        else f"{_count(usage.input_tokens)} tokens in, {_count(usage.output_tokens)} out"
    )
    end = "" if response.finish_reason in ("stop", "unknown") else f" · ended by {response.finish_reason}"
    who = f"{response.provider}/{response.model}"
    return f"{who} · {tokens} · {_dollars(response.cost_usd)} · {seconds:.1f} s{end}"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _dollars(cost: Decimal | None) -> str:
    if cost is None:
        return "cost unknown"
    return f"${cost:.6f}" if cost else "$0"
