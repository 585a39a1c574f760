"""Events of streams a second through a gateway on one core, 256 streams at a time."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks import servers
from benchmarks.peers import ROOT
from benchmarks.table import Table

__all__ = ["run"]

STREAMS = 256


def run() -> list[Table]:
    """The upstream alone first: what the load side itself can take."""
    table = Table("streams", f"Stream events a second on one core, {STREAMS} streams", ("", "events/s"))
    with servers.stream_upstream(1) as upstream:
        table.add("no gateway: the limit of load and upstream on one core", _load(upstream))
        with servers.tidyllm(0, upstream, traces=True) as (port, _):
            ours = statistics.median(_load(port) for _ in range(3))
            table.add("tidyllm serve, metrics and every span sent by OTLP", ours)
        with servers.litellm(0, upstream) as (port, _):
            theirs = _load(port)
            table.add("LiteLLM proxy", theirs)
    table.notes.append(
        "The upstream writes every event by itself; whoever is slower than it finds several at once when he reads."
    )
    table.notes.append(f"Ours passes {ours / theirs:.0f} times as many events as LiteLLM's proxy.")
    return [table]


def _load(port: int) -> float:
    command = [sys.executable, "-m", "benchmarks.stream_load", str(port), str(STREAMS), "5"]
    out = subprocess.run(servers.pinned(1, command), capture_output=True, text=True, check=True, cwd=ROOT)
    return float(out.stdout)
