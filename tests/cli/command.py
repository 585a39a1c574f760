"""The command line as a user runs it: a process of its own, in a folder of its own, with nothing in its environment."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "environment", "run", "start"]

COMMAND = (sys.executable, "-m", "tidyllm")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def traceback(self) -> bool:
        """Whether it showed what only its authors understand."""
        return "Traceback" in self.err or "Traceback" in self.out


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: what Python and the coverage of tests need, and `more`."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: value for name, value in os.environ.items() if name in kept} | {"COLUMNS": "100"} | more


async def start(
    folder: Path, *arguments: str | bytes, stdin: int | None = asyncio.subprocess.DEVNULL, **env: str
) -> asyncio.subprocess.Process:
    """Start `tidyllm` with these arguments."""
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        cwd=folder,
        env=environment(**env),
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(folder: Path, *arguments: str | bytes, input: bytes | None = None, **env: str) -> Ended:
    """Run `tidyllm` with these arguments to its end."""
    stdin = asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE
    process = await start(folder, *arguments, stdin=stdin, **env)
    out, err = await process.communicate(input)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
