"""What a call through us costs over a bare `await`, beside peers that do the same."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from benchmarks.peers import ROOT, peers_environment, peers_python
from benchmarks.table import Table
from tidyllm.core import Branch, Hook, install, step
from tidyllm.observe import Metrics, Otel, Recorder, SpanQueue
from tidyllm.observe.otlp import encode
from tidyllm.resilience import CircuitBreaker, Fallback, Retry, Timeout

__all__ = ["run"]

ROUNDS = 100
CALLS = 2_000


async def answer(x: int) -> int:
    """What stands for a model."""
    return x


class _Nowhere(SpanExporter):
    """Encodes spans as they go out by OTLP, and forgets them."""

    encode = staticmethod(encode)

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def run() -> list[Table]:
    """Best of many short rounds, each row in turn in every round; the peers right after, on the same machine."""
    ours = asyncio.run(_measure())
    peers: dict[str, float] = {}
    script = ROOT / "benchmarks" / "peer_steps.py"
    out = subprocess.run(
        [str(peers_python()), str(script)],
        capture_output=True,
        text=True,
        check=True,
        env=peers_environment(),
    )
    peers = json.loads(out.stdout.splitlines()[-1])
    base, peer_base = ours.pop("bare"), peers.pop("bare")
    table = Table("steps", "One call, over a bare `await`", ("", "µs over bare", "times ours with metrics"))
    full = (
        ours["Branch → Fallback → Retry → CircuitBreaker → Timeout → call, span records and metrics"] - base
    )
    for name, seconds in ours.items():
        table.add(name, (seconds - base) * 1e6, (seconds - base) / full)
    for name, seconds in peers.items():
        table.add(name, (seconds - peer_base) * 1e6, (seconds - peer_base) / full)
    table.notes.append(f"A bare `await` of an async function took {base * 1e9:.0f} ns in this run.")
    return [table]


async def _measure() -> dict[str, float]:
    a, b, c = step(name="a")(answer), step(name="b")(answer), step(name="c")(answer)
    sequence = a >> b >> c
    target = Retry(CircuitBreaker(Timeout(step(name="call")(answer), total=60), name="bench"))
    stack = Branch({"fast": Fallback(target, step(name="spare")(answer))}, by=lambda x: "fast")
    pipe = "Branch → Fallback → Retry → CircuitBreaker → Timeout → call"
    queue = SpanQueue(_Nowhere())
    cases: list[tuple[str, Callable[[int], Awaitable[int]], tuple[Hook, ...]]] = [
        ("bare", answer, ()),
        ("`a >> b >> c`, three async steps", sequence, ()),
        (f"{pipe}, nobody watching", stack, ()),
        (f"{pipe}, span records and metrics", stack, (Recorder(), Metrics())),
        (f"{pipe}, OpenTelemetry spans and Prometheus", stack, (Otel(queue), Metrics())),
    ]
    best = {name: float("inf") for name, _, _ in cases}
    gc.collect()
    for _ in range(ROUNDS):
        for name, call, hooks in cases:
            removers = [install(hook) for hook in hooks]
            started = time.perf_counter()
            for i in range(CALLS):
                await call(i)
            best[name] = min(best[name], (time.perf_counter() - started) / CALLS)
            for remove in removers:
                remove()
    await asyncio.to_thread(queue.shutdown)
    return best
