"""Gateways in front of one upstream, on one core, 32 requests at a time: ours, LiteLLM's proxy, and nginx as the limit.

Core 0 has the gateway alone; upstream and load share core 1. Rounds alternate, and the median counts.
"""

from __future__ import annotations

import statistics
import time

from benchmarks import servers
from benchmarks.table import Table

__all__ = ["run"]


def run() -> list[Table]:
    """Requests a second, latency and memory."""
    table = Table(
        "gateway",
        "Gateway on one core, 32 requests at a time",
        ("", "req/s", "p99 ms", "idle MiB", "after load MiB", "first answer s"),
    )
    rates: dict[str, float] = {}
    with servers.nginx(1) as upstream:
        with servers.nginx(0, proxy_to=upstream) as port:
            servers.first_answer(port)
            _load(table, "nginx with a key check (no retries, metrics, traces)", port)
        for name, traces in (
            ("tidyllm serve, metrics and every span sent by OTLP", True),
            ("the same without spans", False),
        ):
            started = time.monotonic()
            with servers.tidyllm(0, upstream, traces=traces) as (port, pid):
                servers.first_answer(port)
                rate = _load(table, name, port, pid=pid, start=time.monotonic() - started)
                rates["ours" if traces else "without"] = rate
        started = time.monotonic()
        with servers.litellm(0, upstream) as (port, pid):
            servers.first_answer(port)
            rates["litellm"] = _load(
                table, "LiteLLM proxy", port, pid=pid, start=time.monotonic() - started, rounds=2
            )
    table.notes.append(
        f"Ours answers {rates['ours'] / rates['litellm']:.0f} times as many requests as LiteLLM's proxy."
    )
    return [table]


def _load(
    table: Table, name: str, port: int, *, pid: int | None = None, start: float = 0.0, rounds: int = 3
) -> float:
    idle = servers.memory_mib(pid) if pid else None
    servers.wrk(1, port, seconds=2)  # warm
    runs = [servers.wrk(1, port) for _ in range(rounds)]
    after = servers.memory_mib(pid) if pid else None
    rate = statistics.median(one[0] for one in runs)
    slow = statistics.median(one[1] for one in runs)
    table.add(name, rate, slow, idle or "", after or "", start or "")
    return rate
