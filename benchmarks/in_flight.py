"""Ten thousand calls of 100 ms at once: how long until all are done, and how much memory each takes.

Each side runs in a process of its own, so that the peak of one is not the peak of the other.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.peers import ROOT, peers_environment, peers_python
from benchmarks.table import Table

__all__ = ["run"]


def run() -> list[Table]:
    """Median of three runs each."""
    table = Table("in_flight", "10,000 calls of 100 ms in flight", ("", "wall s", "peak MiB", "KiB a call"))
    script = str(ROOT / "benchmarks" / "in_flight_side.py")
    for name, python, side in (
        ("bare `asyncio.gather`", sys.executable, "bare"),
        (
            "ours: Fallback → Retry → CircuitBreaker → Timeout → call, records and metrics on",
            sys.executable,
            "ours",
        ),
        ("LiteLLM Router", str(peers_python()), "litellm"),
        ("LangGraph, one node", str(peers_python()), "langgraph"),
    ):
        runs: list[dict[str, float]] = []
        for _ in range(3 if side in ("bare", "ours") else 1):
            command = [python, script, side]
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=peers_environment())
            runs.append(json.loads(out.stdout.splitlines()[-1]))
        runs.sort(key=lambda one: one["wall"])
        middle = runs[len(runs) // 2]
        table.add(name, middle["wall"], middle["peak_mib"], middle["kib_each"])
    table.notes.append("KiB a call: the peak of the process less its memory before the calls began.")
    return [table]
