"""A team that repairs a program durably, as a process of its own: it is killed, started again, and goes on.

`python -m tests.agents.repairing FOLDER URL MODE CHECK...`: the project is `FOLDER/project`, the database and the
workspace's state lie beside it. It says `ready` when the run goes on, and at its end a line of JSON.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Literal, cast

import msgspec

import tidyllm
from tidyllm.agents import AgentLimits, Coordinator, ProjectResult
from tidyllm.durable import Runtime
from tidyllm.sandbox import Workspace

GOAL = "Make the tests pass."


class Told(msgspec.Struct):
    """What a process says at its end."""

    stop: str
    exit_code: int
    turns: int
    tokens: int


async def repair(folder: Path, url: str, mode: str, check: list[str]) -> ProjectResult:
    """Start the run, or go on with it."""
    model = tidyllm.model("openai/any", base_url=url, api_key="none")
    with Workspace(folder / "project", state=folder / "state", run="team") as workspace:
        team = Coordinator(
            model,
            workspace,
            mode=cast("Literal['orchestrated', 'traditional']", mode),
            check=check,
            limits=AgentLimits(turns=150, seconds=600),
        )
        async with Runtime(f"sqlite:///{folder}/runs.db") as runtime:
            run = await runtime.start(team, GOAL, id="team")
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            return await run.result()


def main() -> None:
    folder, url, mode, *check = sys.argv[1:]
    result = asyncio.run(repair(Path(folder), url, mode, check))
    told = Told(result.stop.value, result.exit_code, result.turns, result.tokens)
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")


if __name__ == "__main__":
    main()
