"""What it takes to begin: imports, the help text."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.peers import peers_environment, peers_python
from benchmarks.table import Table

__all__ = ["run"]

# Not `ru_maxrss`: it begins with what the parent had.
_MEASURE = (
    "import time; t = time.perf_counter(); import {module}; s = time.perf_counter() - t;"
    "status = open('/proc/self/status').read();"
    "print(s, int(status.split('VmHWM:')[1].split()[0]) / 1024)"
)


def run() -> list[Table]:
    """Median of seven, bytecode compiled."""
    table = Table("startup", "Import", ("", "s", "MiB over bare Python"))
    base = _import(sys.executable, "sys")[1]
    for module in ("tidyllm", "tidyllm.core", "tidyllm.models.factory", "asyncio"):
        seconds, memory = _import(sys.executable, module)
        table.add(f"`import {module}`", seconds, memory - base)
    for module in ("litellm", "langgraph.graph"):
        seconds, memory = _import(str(peers_python()), module)
        table.add(f"`import {module}`", seconds, memory - base)
    command = Table("help", "The command line", ("", "s"))
    command.add("`tidyllm --help`", _command([str(Path(sys.executable).parent / "tidyllm"), "--help"]))
    command.add("`python -c pass`", _command([sys.executable, "-c", "pass"]))
    return [table, command]


def _import(python: str, module: str) -> tuple[float, float]:
    runs: list[tuple[float, float]] = []
    for _ in range(7):
        code = _MEASURE.format(module=module)
        out = subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True, env=peers_environment()
        )
        seconds, memory = out.stdout.split()[-2:]
        runs.append((float(seconds), float(memory)))
    return statistics.median(one[0] for one in runs), statistics.median(one[1] for one in runs)


def _command(command: list[str]) -> float:
    runs: list[float] = []
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True, env=peers_environment())
        runs.append(time.perf_counter() - started)
    return statistics.median(runs)
