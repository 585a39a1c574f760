"""What our engine costs inside `dspy.Predict`, beside DSPy's native engine and its way over LiteLLM."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import Any, cast

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else prices are fetched from the network

import dspy as _dspy
from dspy import lm15 as _lm15

import tidyllm.dspy
from benchmarks.table import Table
from tidyllm import step
from tidyllm.models import Request, Response, Text, Usage
from tidyllm.testing import ModelServer, Reply

__all__ = ["run"]

ROUNDS = 120
CALLS = 10
dspy: Any = cast("Any", _dspy)
lm15: Any = cast("Any", _lm15)
lm: Any = tidyllm.dspy.lm
TEXT = "[[ ## answer ## ]]\nParis\n\n[[ ## completed ## ]]"
READY = Response(
    content=(Text(text=TEXT),), finish_reason="stop", usage=Usage(input_tokens=10, output_tokens=5), model="m"
)
THEIRS = lm15.Response(
    id=None,
    model="m",
    message=lm15.Message.assistant(TEXT),
    finish_reason="stop",
    usage=lm15.Usage(10, 5, 15),
)


class _AtOnce:
    """The least that an engine can do: what is above it is DSPy's own."""

    def complete(self, request: Any) -> Any:
        return THEIRS


class _AtOnceAsync:
    async def complete(self, request: Any) -> Any:
        return THEIRS


@step(name="ready")
async def ready(request: Request) -> Response:
    """What stands for a model."""
    return READY


def run() -> list[Table]:
    """Best of many short rounds, each row in turn in every round."""
    with ModelServer(lambda request: Reply(text=TEXT)) as server:
        url = server.openai_url
        own = dspy.LM("m", cache=False, num_retries=0, engine=_AtOnce(), async_engine=_AtOnceAsync())
        native = dspy.LM("openai/any", api_base=url, api_key="k", cache=False, num_retries=0, engine="lm15")
        mock = dspy.LM("openai/any", api_key="k", cache=False, engine="litellm", mock_response=TEXT)
        models: list[tuple[str, Any]] = [
            ("an engine that answers at once", own),
            ("ours, a step that answers at once", lm(ready)),
            ("ours, the offline model with retry and timeouts", lm(_offline())),
            ("DSPy's native engine, over a loopback socket", native),
            ("ours, over a loopback socket", lm("openai/any", base_url=url, api_key="k")),
            ("`dspy.LM` over LiteLLM's mock", mock),
        ]
        found = _measure(models)
    base = found[models[0][0]]
    table = Table(
        "dspy_engine",
        "`dspy.Predict`, one call",
        ("", "acall, µs", "over the first row, µs", "sync, µs", "over the first row, µs"),
    )
    for name, (asynchronous, sync) in found.items():
        table.add(
            name,
            asynchronous * 1e6,
            (asynchronous - base[0]) * 1e6,
            sync * 1e6,
            (sync - base[1]) * 1e6,
        )
    return [table]


def _offline() -> Any:
    from tidyllm.resilience import CircuitBreaker, Retry, Timeout
    from tidyllm.testing import scripted

    return Retry(CircuitBreaker(Timeout(scripted(lambda request: TEXT), total=60), name="bench"))


def _measure(models: list[tuple[str, Any]]) -> dict[str, tuple[float, float]]:
    program = dspy.Predict("question -> answer")
    best = {name: (float("inf"), float("inf")) for name, _ in models}

    async def asynchronous() -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            await program.acall(question="?")
        return (time.perf_counter() - started) / CALLS

    def sync() -> float:
        started = time.perf_counter()
        for _ in range(CALLS):
            program(question="?")
        return (time.perf_counter() - started) / CALLS

    loop = asyncio.new_event_loop()
    gc.collect()
    for number in range(ROUNDS):
        for name, model in models:
            if "LiteLLM" in name and number % 10:
                continue  # it takes milliseconds
            with dspy.context(lm=model, adapter=dspy.ChatAdapter()):
                times = loop.run_until_complete(asynchronous()), sync()
            best[name] = (min(best[name][0], times[0]), min(best[name][1], times[1]))
    loop.close()
    return best
