"""`tidyllm serve` as a process of its own, and the words it writes.

async with serving(tmp_path, {"providers": ..., "models": ...}) as server:
    await raw_request(server, body)
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.gateway.harness import KEY, Door

__all__ = ["Serving", "refused", "serving", "write_yaml"]


@dataclass
class Serving(Door):
    """A server that has said where it listens."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list[str])
    """What it has written so far."""

    @property
    def words(self) -> str:
        return "\n".join(self.lines)

    def tell(self, which: signal.Signals) -> None:
        self.process.send_signal(which)

    async def says(self, what: str) -> None:
        """Wait until it writes this."""
        while what not in self.words:
            assert self.process.returncode is None, self.words
            await asyncio.sleep(0.01)

    async def ends(self) -> int:
        """Wait until it has ended; its exit status."""
        return await self.process.wait()


def write_yaml(folder: Path, sections: Mapping[str, Any], name: str = "tidyllm.yaml") -> Path:
    """A configuration file (JSON is YAML)."""
    path = folder / name
    path.write_bytes(msgspec.json.encode(sections))
    return path


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


async def _start(
    folder: Path, arguments: tuple[str, ...], more: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tidyllm",
        "serve",
        *arguments,
        cwd=folder,
        env=_environment(folder, more),
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )


async def refused(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Start a server that shall not start: its exit status and what it said."""
    process = await _start(folder, arguments, environment)
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@asynccontextmanager
async def serving(
    folder: Path, sections: Mapping[str, Any] | None, *arguments: str, **environment: str
) -> AsyncGenerator[Serving]:
    """A server on a free port with this configuration; None: with what the environment offers."""
    if sections is not None:
        write_yaml(folder, sections)
    given = {"TIDYLLM_MASTER_KEY": KEY} if "TIDYLLM_MASTER_KEY" not in environment else {}
    more = {name: value for name, value in (given | environment).items() if value}
    process = await _start(folder, ("--port", "0", *arguments), more)
    assert process.stderr is not None
    server = Serving(0, process)
    reading = asyncio.create_task(_read(process.stderr, server.lines))
    try:
        while not server.port:
            found = re.search(r"gateway on http://\S+:(\d+)", server.words)
            server.port = int(found[1]) if found else 0
            assert process.returncode is None, server.words
            await asyncio.sleep(0.01)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
        await process.wait()
        await reading


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    async for line in stream:
        lines.append(line.decode().rstrip())  # noqa: PERF401 - each line counts when it is written
