"""How long a plan for 1,000 files of 200 lines takes on two processes, and in how much memory; all hold old names."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

from benchmarks.table import Table
from tidyllm.migrate import plan

__all__ = ["run"]

_FILES = 1_000

HEAD = '''"""Module {n}."""
from __future__ import annotations

import asyncio

from tta_dev_primitives import LambdaPrimitive, WorkflowContext
from tta_dev_primitives.recovery import FallbackPrimitive, RetryPrimitive, RetryStrategy, TimeoutPrimitive
from tidyllm.dspy_enhanced import CacheConfig, DSPyEnhancedWrapper, RetryConfig

wrapper = DSPyEnhancedWrapper(
    retry_config=RetryConfig(max_retries={n}),
    cache_config=CacheConfig(ttl=3600),
)
'''
PART = '''

class Part{m}:
    """One of several."""

    def __init__(self, name: str, size: int = {m}) -> None:
        self.name = name
        self.size = size
        self.table = {{"name": name, "size": size, "numbers": [number * 2 for number in range(size)]}}

    async def run(self, text: str, context: WorkflowContext) -> str:
        async def once(x, ctx):
            if len(x) > self.size:
                raise ValueError(f"{{x!r}} is longer than {{self.size}}")
            return x.upper()

        workflow = FallbackPrimitive(
            primary=RetryPrimitive(
                primitive=LambdaPrimitive(once),
                strategy=RetryStrategy(max_retries={m}, backoff_base=2.0),
            ),
            fallback=TimeoutPrimitive(LambdaPrimitive(once), timeout_seconds={m}.5),
        )
        return await workflow.execute(text, context)
'''


def write(folder: Path, files: int) -> int:
    """Files of 200 lines; gives the lines of one."""
    text = ""
    for number in range(files):
        text = HEAD.format(n=number)
        part = 0
        while text.count("\n") + PART.count("\n") <= 200:
            text += PART.format(m=part)
            part += 1
        text += "# filler\n" * (200 - text.count("\n"))
        (folder / f"module{number}.py").write_text(text)
    return text.count("\n")


def run() -> list[Table]:
    """A plan for a thousand files, each of which holds legacy names."""
    with tempfile.TemporaryDirectory() as name:
        lines = write(Path(name), _FILES)
        begun = time.monotonic()
        made = plan(name, processes=2)
        seconds = time.monotonic() - begun
    peak = max(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
    )
    table = Table(
        "migrate",
        "A plan for legacy code, two processes",
        ("", "s", "uses converted", "MiB of the largest process"),
    )
    table.add(f"{_FILES:,} files of {lines} lines, all legacy", seconds, len(made.converted), peak / 1024)
    return [table]
