"""`tidyllm ask`: one question, its answer streamed to the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from decimal import Decimal

from tidyllm import clock
from tidyllm.cli.settings import chosen_routes
from tidyllm.config import Routes
from tidyllm.core import Step
from tidyllm.errors import ConfigError, ModelNotFound, StreamInterrupted
from tidyllm.models import Request, RequestLike, Response
from tidyllm.models.piece import Piece

__all__ = ["run"]


def run(question: str, model: str | None, system: str | None, config: str | None, env: str | None) -> None:
    """Ask, stream the text to standard output, and write tokens and cost to standard error."""
    if question == "-":
        question = sys.stdin.read()
    if not question.strip():
        raise ConfigError(
            "the question is empty.", hint="Write it as an argument, or '-' to read it from standard input."
        )
    step = _step(model, config, env)
    asyncio.run(_ask(step, Request(question, system=system)))


def _step(model: str | None, config: str | None, env: str | None) -> Step[RequestLike, Response]:
    try:
        routes = chosen_routes(config, env)
    except ConfigError:
        if model is None or config is not None:
            raise
        return _direct(model)
    name = model or next(iter(routes), None)
    if name is None:
        raise ConfigError(
            f"say which model to ask; here are {', '.join(routes.patterns)}.",
            hint="tidyllm ask -m KIND/MODEL …",
        )
    return _found(routes, name)


def _found(routes: Routes, name: str) -> Step[RequestLike, Response]:
    try:
        return routes.find(name).step
    except ModelNotFound:
        if "/" not in name:
            raise
        return _direct(name)


def _direct(name: str) -> Step[RequestLike, Response]:
    from tidyllm.models.factory import model
    from tidyllm.resilience import Retry

    return Retry(model(name))


async def _ask(step: Step[RequestLike, Response], request: Request) -> None:
    pieces: list[Piece] = []
    started = clock.monotonic()
    try:
        async with contextlib.aclosing(step.stream(request)) as stream:
            async for piece in stream:
                pieces.append(piece)
                sys.stdout.write(piece.text)
                sys.stdout.flush()
    except StreamInterrupted:
        sys.stdout.write("\n")
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
    end = "" if response.finish_reason == "stop" else f" · ended by {response.finish_reason}"
    return f"{response.provider}/{response.model} · {tokens} · {_dollars(response.cost_usd)} · {seconds:.1f} s{end}"


def _count(tokens: int | None) -> str:
    return "?" if tokens is None else f"{tokens:,}"


def _dollars(cost: Decimal | None) -> str:
    if cost is None:
        return "cost unknown"
    return f"${cost:.6f}" if cost else "$0"
