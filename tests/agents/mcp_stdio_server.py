"""An MCP server for tests, started as a process: `python mcp_stdio_server.py`. It serves a toolset of ours."""

from __future__ import annotations

import asyncio
import os
import sys

from tidyllm.agents import Toolset, tool


@tool(reads=True)
def add(a: int, b: int = 0) -> int:
    """Add two numbers.

    Args:
        a: The first.
    """
    return a + b


@tool
def fail() -> str:
    """Always fails."""
    raise ValueError("it went wrong")


@tool
def die() -> str:
    """Ends the process."""
    sys.stderr.write("last words\n")
    sys.stderr.flush()
    os._exit(3)


@tool
async def hang() -> str:
    """Never answers."""
    await asyncio.Event().wait()
    return ""


@tool
def environment() -> list[str]:
    """Names of the environment."""
    return sorted(os.environ)


@tool(policy="deny")
def hidden() -> str:
    """Is not offered."""
    return ""


TOOLS = Toolset([add, fail, die, hang, environment, hidden])

if __name__ == "__main__":
    asyncio.run(TOOLS.serve_mcp(name="test").stdio())
