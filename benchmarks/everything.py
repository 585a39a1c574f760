"""The gateway with everything on: a virtual key with limits and a budget, the ledger; beside LiteLLM's proxy.

Core 0 has the gateways; upstream, load, Postgres and Redis share core 1. All run from the beginning, and get load in
turn, a few seconds each, many rounds, each round in another order: what the machine does beside meets all alike. The
median says how it was, the best round what was possible while little else had the machine.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import servers
from benchmarks.table import Table

__all__ = ["new_key", "run"]

_ROUNDS = 20
_SECONDS = 2
_ALL = "key, limits, budget and ledger on SQLite"
_NO_BUDGET = "the same without a limit in dollars: the ledger alone"
_LITELLM = "LiteLLM proxy, without keys or database"


@dataclass
class _Gateway:
    """One that runs: where, by which key it is asked, and what was measured of it."""

    name: str
    port: int
    pid: int
    key: str = servers.KEY
    idle: float = 0.0
    rounds: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])

    def rates(self) -> list[float]:
        return [rate for rate, _ in self.rounds]


def run() -> list[Table]:
    """Requests a second and latency for each store, and for answers from a cache. Six minutes."""
    with ExitStack() as running:
        gateways = _started(running)
        for one in gateways:
            servers.first_answer(one.port, key=one.key)
            one.idle = servers.memory_mib(one.pid)
            servers.wrk(1, one.port, seconds=2, key=one.key)  # warm
        shuffled = random.Random(1)
        for _ in range(_ROUNDS):
            for one in shuffled.sample(gateways, len(gateways)):
                one.rounds.append(servers.wrk(1, one.port, seconds=_SECONDS, key=one.key))
        table = Table(
            "everything",
            "Everything on, one core, 32 requests at a time",
            ("", "req/s", "best round", "p99 ms", "idle MiB", "after load MiB"),
        )
        for one in gateways:
            slow = statistics.median(p99 for _, p99 in one.rounds)
            rates = one.rates()
            table.add(
                one.name, statistics.median(rates), max(rates), slow, one.idle, servers.memory_mib(one.pid)
            )
    by_name = {one.name: one.rates() for one in gateways}
    litellm = _times(by_name[_ALL], by_name[_LITELLM])
    table.notes.append(
        f"Medians of {_ROUNDS} rounds, in which each gets load for {_SECONDS} s in turn. With everything on ours "
        f"answers {litellm:.0f} times as many requests as LiteLLM's proxy without, in the median round; a budget "
        f"leaves {_times(by_name[_ALL], by_name[_NO_BUDGET]):.0%} of the requests without one."
    )
    return [table]


def _times(ours: list[float], theirs: list[float]) -> float:
    """The median of the ratios round by round."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def _started(running: ExitStack) -> list[_Gateway]:
    upstream = running.enter_context(servers.nginx(1))
    folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
    postgres, redis = running.enter_context(_postgres_and_redis())

    def ours(
        name: str,
        url: str = "",
        *,
        sections: str = "",
        route: str = "",
        traces: bool = False,
        budget: bool = True,
    ) -> _Gateway:
        key, variables = servers.KEY, dict[str, str]()
        if url:
            key = new_key(url, budget=budget)
            variables = {"TIDYLLM_STORE_URL": url}
            sections = f"store: {{}}\ncatalog: {{main/gpt-5-mini: {{like: openai/gpt-5-mini}}}}\n{sections}"
        port, pid = running.enter_context(
            servers.tidyllm(0, upstream, traces=traces, sections=sections, route=route, variables=variables)
        )
        return _Gateway(name, port, pid, key)

    def sqlite(name: str) -> str:
        return f"sqlite:///{folder / name}.db"

    gateways = [
        ours(_ALL, sqlite("all")),
        ours("the same, every span sent by OTLP", sqlite("traces"), traces=True),
        ours(_NO_BUDGET, sqlite("ledger"), budget=False),
        ours(
            "key, limits, budget and ledger on Postgres and Redis",
            postgres,
            sections=f"redis: {{url: '{redis}'}}",
        ),
        ours(
            "answers from the cache in memory; key, limits, budget and ledger on SQLite",
            sqlite("cache"),
            route="    cache: {ttl: 3600}",
        ),
        ours("no store: the master key, nothing counted"),
    ]
    port, pid = running.enter_context(servers.litellm(0, upstream))
    return [*gateways, _Gateway(_LITELLM, port, pid)]


def new_key(url: str, *, budget: bool = True) -> str:
    """The secret of a key with limits so high that none is met."""
    command = [str(Path(sys.executable).parent / "tidyllm"), "keys", "create", "bench", "--json"]
    command += ["--rpm", "100000000", "--tpm", "1000000000", "--concurrency", "1000"]
    command += ["--limit-usd", "1000000", "--window", "month"] if budget else []
    command += ["--store", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["secret"]


@contextmanager
def _postgres_and_redis() -> Generator[tuple[str, str]]:
    """Real servers on core 1: as in the tests, but alone."""
    from tests.store.servers import postgres_url, redis_url

    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1})  # what is started now inherits it
    try:
        urls = postgres_url(), redis_url()
    finally:
        os.sched_setaffinity(0, mine)
    yield urls
