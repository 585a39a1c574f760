"""Projects, scripted models and the command line of agents, for tests that let them play."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.agents.programs import CHECK, materialise
from tests.cli.command import Ended, run, start
from tidyllm.testing import ModelServer

__all__ = ["GOAL", "Ground", "bytes_of", "events"]

GOAL = "Make the tests pass."


@dataclass(frozen=True)
class Ground:
    """A broken program in a folder, and the environment in which the command finds the scripted model."""

    folder: Path
    project: Path
    server: ModelServer

    @classmethod
    def of(cls, folder: Path, name: str, server: ModelServer) -> Ground:
        return cls(folder, materialise(name, folder / "project"), server)

    @property
    def data(self) -> str:
        """Where the command keeps what it remembers."""
        return str(self.folder / "data")

    @property
    def line(self) -> tuple[str, ...]:
        """The command line, with a check."""
        return (*self.bare, "--check", shlex.join(CHECK))

    @property
    def bare(self) -> tuple[str, ...]:
        """The same without one."""
        return ("agents", "run", "--project", str(self.project), "--goal", GOAL, "--model", "ollama/any")

    async def run(self, *more: str, checked: bool = True) -> Ended:
        """Run it to its end."""
        return await run(
            self.folder,
            *(self.line if checked else self.bare),
            *more,
            OLLAMA_HOST=self.server.url,
            XDG_DATA_HOME=self.data,
        )

    async def tidyllm(self, *arguments: str) -> Ended:
        """Another command in the same environment."""
        return await run(self.folder, *arguments, OLLAMA_HOST=self.server.url, XDG_DATA_HOME=self.data)

    async def begin(self, *more: str) -> asyncio.subprocess.Process:
        """Start it."""
        return await start(
            self.folder, *self.line, *more, OLLAMA_HOST=self.server.url, XDG_DATA_HOME=self.data
        )

    async def asked(self, number: int) -> None:
        """Wait until the model was asked so often."""
        while len(self.server.requests) < number:
            await asyncio.sleep(0.01)


def bytes_of(tree: Path) -> dict[str, bytes]:
    """Every file below."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def events(text: str) -> list[dict[str, Any]]:
    """The lines of JSON that a run printed."""
    return [msgspec.json.decode(line) for line in text.splitlines()]
