"""A crash without a process to kill: the runtime leaves in the middle of a step, which stays in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tidyllm.core import Step
from tidyllm.durable import Runtime

__all__ = ["Gate", "crash_at"]


class Gate:
    """Where a step waits to be interrupted, on its first visit; later it lets everyone through."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.visits = 0

    async def wait(self) -> None:
        """The first one stays here for ever."""
        self.visits += 1
        if self.visits == 1:
            self.reached.set()
            await asyncio.Event().wait()


async def crash_at(gate: Gate, url: str | Path, flow: Step[Any, Any], x: Any, run: str) -> None:
    """Start `run` and leave when `gate` is reached, as a crash would."""
    async with Runtime(url) as runtime:
        await runtime.start(flow, x, id=run)
        await asyncio.wait_for(gate.reached.wait(), 20)
