"""Tools of MCP servers: real processes over stdio, real HTTP on the loopback; and toolsets served to others."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agents.mcp_raw_server import SCHEMA, SERVER
from tests.agents.mcp_stdio_server import TOOLS
from tidyllm.agents import Call, McpServer, Toolset
from tidyllm.agents.mcp_server import ServedToolset
from tidyllm.core import Context
from tidyllm.errors import TimeoutExceeded, ToolError, ToolServerDown

COMMAND = [sys.executable, str(Path(__file__).with_name("mcp_stdio_server.py"))]


async def call(tools: Toolset, name: str, arguments: dict[str, Any] | None = None) -> tuple[bool, str, str]:
    result = await tools.call(Call("1", name, arguments or {}), Context.new())
    return result.ok, result.text, result.error


@asynccontextmanager
async def raw(**options: Any) -> AsyncGenerator[Toolset]:
    """The SDK's own server behind HTTP, and a client of ours."""
    served = _Served(Toolset([]))
    async with served.http() as url, McpServer.http(url, **options) as server:
        yield Toolset.of_mcp(server)


class _Served(ServedToolset):
    def _server(self) -> Any:
        return SERVER


async def test_tools_of_a_process_join_a_toolset_and_answer() -> None:
    async with McpServer.stdio(COMMAND) as server:
        tools = Toolset.of_mcp(server, prefix="test_")
        assert tools.names == ("test_add", "test_fail", "test_die", "test_hang", "test_environment")
        assert tools["test_add"].schema == TOOLS["add"].schema
        assert (tools["test_add"].reads, tools["test_add"].in_doubt, tools["test_fail"].in_doubt) == (
            True,
            "rerun",
            "ask",
        )
        assert await call(tools, "test_add", {"a": 1, "b": 2}) == (True, "3", "")
        assert await call(tools, "test_fail") == (False, "ValueError: it went wrong", "ToolError")
        ok, text, _ = await call(tools, "test_add", {"a": "x"})
        assert not ok
        assert "Its parameters are: a, b (optional)" in text


async def test_a_process_gets_no_secret_of_ours() -> None:
    assert "PYTEST_CURRENT_TEST" in os.environ  # ours, and not among the usual few
    async with McpServer.stdio(COMMAND, env={"GIVEN": "1"}) as server:
        _, text, _ = await call(Toolset.of_mcp(server), "environment")
    assert '"GIVEN"' in text
    assert "PYTEST_CURRENT_TEST" not in text


async def test_a_server_that_dies_is_a_message_and_everything_after_too() -> None:
    async with McpServer.stdio(COMMAND) as server:
        tools = Toolset.of_mcp(server)
        ok, text, error = await call(tools, "die")
        assert (ok, error) == (False, "ToolServerDown")
        assert "last words" in text
        assert (await call(tools, "add", {"a": 1}))[2] == "ToolServerDown"


async def test_calls_end_at_their_time_and_the_server_goes_on() -> None:
    async with McpServer.stdio(COMMAND, timeout=5) as server:
        server.timeout = 0.2
        tools = Toolset.of_mcp(server)
        ok, text, _ = await call(tools, "hang")
        assert not ok
        assert "did not answer within 0.2 s" in text
        server.timeout = 5
        assert (await call(tools, "add", {"a": 1}))[0]


async def test_the_deadline_and_cancellation_reach_a_call() -> None:
    async with McpServer.stdio(COMMAND) as server:
        tools = Toolset.of_mcp(server)
        with pytest.raises(TimeoutExceeded):
            await tools.call(Call("1", "hang", {}), Context.new(deadline=0.1))
        task = asyncio.create_task(tools.call(Call("1", "hang", {}), Context.new()))
        await asyncio.sleep(0.1)  # until it is under way
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await call(tools, "add", {"a": 1}))[0]


@pytest.mark.parametrize(
    "argv", [["/no/such/program"], [sys.executable, "-c", "print('hello'); raise SystemExit('bye')"]]
)
async def test_a_command_that_is_no_server_is_refused_with_the_reason(argv: list[str]) -> None:
    with pytest.raises(ToolServerDown, match="could not be connected"):
        async with McpServer.stdio(argv, timeout=20):
            pass


async def test_an_address_where_nobody_listens_is_refused_with_the_reason() -> None:
    with pytest.raises(ToolServerDown, match=r"127\.0\.0\.1:9"):
        async with McpServer.http("http://127.0.0.1:9/mcp", timeout=10):
            pass


async def test_a_toolset_is_served_over_http() -> None:
    async with TOOLS.serve_mcp().http() as url, McpServer.http(url) as server:
        tools = Toolset.of_mcp(server)
        assert "hidden" not in tools
        assert await call(tools, "add", {"a": 2}) == (True, "2", "")
        answers = await asyncio.gather(*(call(tools.only("add"), "add", {"a": n}) for n in range(10)))
        assert [text for _, text, _ in answers] == [str(n) for n in range(10)]


async def test_answers_that_are_no_text_are_noted() -> None:
    async with raw() as tools:
        assert tools.names == ("mixed", "structured", "refused", "empty", "long")
        assert tools["mixed"].schema == SCHEMA
        assert (await call(tools, "mixed", {"n": 1}))[1].splitlines() == [
            "words",
            "[image of type image/png, about 300 bytes: not shown]",
            "[audio of type audio/wav, about 300 bytes: not shown]",
            "[resource notes: file:///notes]",
            "held",
            "[resource file:///b of type x/y: not shown]",
        ]
        assert await call(tools, "structured", {"n": 1}) == (True, '{"a":[1]}', "")
        assert await call(tools, "refused", {"n": 1}) == (False, "not today", "ToolError")
        assert await call(tools, "empty", {"n": 1}) == (True, "(done; no output)", "")


async def test_long_answers_are_cut() -> None:
    async with raw(max_chars=1_000) as tools:
        _, text, _ = await call(tools, "long", {"n": 1})
    assert 900 < len(text) <= 1_000
    assert "are left out" in text


async def test_a_server_that_is_not_connected_has_no_tools() -> None:
    with pytest.raises(ToolError, match="not connected"):
        Toolset.of_mcp(McpServer.stdio(COMMAND))


def test_the_client_library_is_not_imported_with_the_package() -> None:
    import subprocess

    code = "import sys, tidyllm.agents as a; a.Toolset, a.McpServer, a.calls_of; print('mcp' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
