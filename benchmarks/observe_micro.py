"""What watching costs: each hook alone on one event, and the whole composition with hooks over a bare `await`.

    .venv/bin/python benchmarks/observe_micro.py [--uvloop]

The machine may be busy, so every row is measured in turn within each round and the best round counts. Spans go to an
exporter that encodes them as they go out by OTLP, and forgets them.
"""

from __future__ import annotations

import asyncio
import gc
import io
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tidyllm.core import AttemptFinished, Branch, CallFinished, Context, Event, Hook, Step, install, step
from tidyllm.errors import Overloaded
from tidyllm.observe import Logs, Metrics, Otel, Recorder, SpanQueue
from tidyllm.observe.otlp import encode
from tidyllm.resilience import CircuitBreaker, Fallback, Retry, Timeout

CALLS = 1_000
ROUNDS = 60

Measure = Callable[[], Awaitable[float]]


async def answer(x: int) -> int:
    return x


class Nowhere(SpanExporter):
    """Encodes spans as they go out by OTLP, and forgets them."""

    encode = staticmethod(encode)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Clearing(InMemorySpanExporter):
    """In memory, as tests have it, but emptied before it grows."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._count += len(spans)
        if self._count % 4_000 == 0:
            self.clear()
        return super().export(spans)


def stack(call: Step[int, int]) -> Step[int, int]:
    target = Retry(CircuitBreaker(Timeout(call, total=60)))
    return Branch({"fast": Fallback(target, call)}, by=lambda x: "fast")


async def per_call(call: Callable[[int], Awaitable[Any]]) -> float:
    start = time.perf_counter()
    for i in range(CALLS):
        await call(i)
    return (time.perf_counter() - start) / CALLS


def watched(target: Step[int, int], *hooks: Hook) -> Measure:
    async def measure() -> float:
        removes = [install(hook) for hook in hooks]
        try:
            return await per_call(target)
        finally:
            for remove in removes:
                remove()

    return measure


def per_event(hook: Hook, event: Event) -> Measure:
    async def measure() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            hook(event)
        return (time.perf_counter() - start) / CALLS

    return measure


def call_event(target: Step[int, int], error: BaseException | None = None) -> CallFinished:
    ctx = Context.new(hooks=(Recorder(),)).child("fast").child("call")
    return CallFinished(ctx, target, 1.0, 1.25, error)


def attempt_event() -> AttemptFinished:
    attributes = {
        "server_address": "api.openai.com", "server_port": 443, "stream": False, "input_tokens": 812,
        "output_tokens": 64, "cache_read_tokens": 512, "reasoning_tokens": 0, "finish_reason": "stop",
        "response_id": "chatcmpl-1", "response_model": "gpt-5.1-2025-11-13", "request_id": "req_1",
        "cost_usd": Decimal("0.00123"),
    }  # fmt: skip
    ctx = call_event(step(answer)).ctx
    return AttemptFinished(ctx, 7, "chat", "openai", "main", "gpt-5.1", 1.0, 1.25, None, None, attributes)


def encoding(event: Event) -> Measure:
    """What OpenTelemetry's own encoder takes for the span of an event."""
    memory = InMemorySpanExporter()
    hook = Otel(SimpleSpanProcessor(memory))
    for _ in range(512):
        hook(event)
    spans = memory.get_finished_spans()

    async def measure() -> float:
        start = time.perf_counter()
        encode_spans(spans).SerializeToString()
        return (time.perf_counter() - start) / len(spans)

    return measure


def rows() -> dict[str, Measure]:
    call = step(answer)
    whole = stack(call)
    recorder, metrics = Recorder(), Metrics()
    batch = Otel(SpanQueue(Nowhere()))
    memory = Otel(SimpleSpanProcessor(Clearing()))
    unsampled = Otel(SpanQueue(Nowhere()), ratio=0.0)
    quiet = Logs(format="json", level="info", stream=io.StringIO())
    quiet.close()  # its lines are measured, `logging` stays as it is
    sink = Path("/dev/null").open("w")  # noqa: SIM115 - open for as long as the process lives
    chatty = Logs(format="json", level="debug", stream=sink)
    chatty.close()
    event, attempt = call_event(call), attempt_event()
    failure = call_event(call, Overloaded("the provider is busy."))
    failure = CallFinished(Context.new(hooks=(recorder,)).child("call"), call, 1.0, 1.25, failure.error)
    name = "Branch > Fallback > Retry > Breaker > Timeout > call"
    return {
        "bare await": lambda: per_call(answer),
        f"{name}, no hooks": lambda: per_call(whole),
        f"{name}, Recorder + Metrics": watched(whole, recorder, metrics),
        f"{name}, Metrics + Otel (batch)": watched(whole, metrics, batch),
        f"{name}, Metrics + Otel (in memory)": watched(whole, metrics, memory),
        f"{name}, Metrics + Otel + Logs at info": watched(whole, metrics, batch, quiet),
        "Recorder, a call": per_event(recorder, event),
        "Recorder, an attempt": per_event(recorder, attempt),
        "Metrics, a call": per_event(metrics, event),
        "Metrics, an attempt": per_event(metrics, attempt),
        "Otel, a call (batch)": per_event(batch, event),
        "Otel, an attempt (batch)": per_event(batch, attempt),
        "Otel, a call not sampled": per_event(unsampled, event),
        "Logs, a call below the level": per_event(quiet, event),
        "Logs, a failed call as JSON": per_event(chatty, failure),
        "a span of an attempt by OpenTelemetry's own encoder": encoding(attempt),
    }


async def main() -> None:
    table = rows()
    best = dict.fromkeys(table, float("inf"))
    for _ in range(ROUNDS):
        gc.collect()
        for name, measure in table.items():
            best[name] = min(best[name], await measure())
    bare = best["bare await"]
    for name, seconds in best.items():
        print(f"{name:88} {seconds * 1e6:7.2f} us  {(seconds - bare) * 1e6:+7.2f}  x{seconds / bare:6.1f}")


if __name__ == "__main__":
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
