"""The gateway with everything on: a virtual key with limits and a budget, the ledger; beside LiteLLM's proxy.

Core 0 has the gateway alone; upstream, load, Postgres and Redis share core 1. Rounds alternate, and the median counts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import servers
from benchmarks.table import Table

__all__ = ["new_key", "run"]

_ROUNDS = 3
_ALL = "key, limits, budget and ledger on SQLite"
_NO_BUDGET = "the same without a limit in dollars: the ledger alone"


def run() -> list[Table]:
    """Requests a second and latency for each store, and for answers from a cache."""
    table = Table(
        "everything",
        "Everything on, one core, 32 requests at a time",
        ("", "req/s", "p99 ms", "idle MiB", "after load MiB"),
    )
    rates: dict[str, float] = {}
    with servers.nginx(1) as upstream, tempfile.TemporaryDirectory() as folder, _postgres_and_redis() as urls:
        sqlite = f"sqlite:///{Path(folder) / 'store.db'}"
        shared = f"redis: {{url: '{urls[1]}'}}"
        cached = "    cache: {ttl: 3600}"
        cases = {
            _ALL: (sqlite, "", "", False, True),
            "the same, every span sent by OTLP": (sqlite, "", "", True, True),
            _NO_BUDGET: (sqlite, "", "", False, False),
            "key, limits, budget and ledger on Postgres and Redis": (urls[0], shared, "", False, True),
            "answers from the cache in memory; key, limits, budget and ledger on SQLite": (
                sqlite,
                "",
                cached,
                False,
                True,
            ),
            "no store: the master key, nothing counted": ("", "", "", False, False),
        }
        for name, (url, sections, route, traces, budget) in cases.items():
            rates[name] = _case(
                table, name, upstream, url=url, sections=sections, route=route, traces=traces, budget=budget
            )
        with servers.litellm(0, upstream) as (port, pid):
            servers.first_answer(port)
            rates["litellm"] = _load(table, "LiteLLM proxy, without keys or database", port, pid, rounds=2)
    table.notes.append(
        f"With everything on ours answers {rates[_ALL] / rates['litellm']:.0f} times as many requests as LiteLLM's "
        f"proxy without; a budget leaves {rates[_ALL] / rates[_NO_BUDGET]:.0%} of the requests without one."
    )
    return [table]


def _case(
    table: Table,
    name: str,
    upstream: int,
    *,
    url: str,
    sections: str,
    route: str,
    traces: bool,
    budget: bool,
) -> float:
    key, variables = servers.KEY, dict[str, str]()
    if url:
        key = new_key(url, budget=budget)
        variables = {"TIDYLLM_STORE_URL": url}
        sections = f"store: {{}}\ncatalog: {{main/gpt-5-mini: {{like: openai/gpt-5-mini}}}}\n{sections}"
    started = servers.tidyllm(0, upstream, traces=traces, sections=sections, route=route, variables=variables)
    with started as (port, pid):
        servers.first_answer(port, key=key)
        return _load(table, name, port, pid, key=key)


def _load(
    table: Table, name: str, port: int, pid: int, *, key: str = servers.KEY, rounds: int = _ROUNDS
) -> float:
    idle = servers.memory_mib(pid)
    servers.wrk(1, port, seconds=2, key=key)  # warm
    runs = [servers.wrk(1, port, key=key) for _ in range(rounds)]
    rate = statistics.median(one[0] for one in runs)
    table.add(name, rate, statistics.median(one[1] for one in runs), idle, servers.memory_mib(pid))
    return rate


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
