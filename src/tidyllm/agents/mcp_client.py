"""Tools of an MCP server, over stdio or streamable HTTP, as tools of ours. It knows the protocol's client, no toolset.

The client library is imported when a server is connected. Its session lives in a task of its own, so that a server
that dies takes nobody along, and so that calls may come from any task of the same event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from tidyllm.agents.agent_tool import AgentTool, Policy
from tidyllm.agents.mcp_words import said
from tidyllm.agents.wording import MAX_CHARS, hide_secrets
from tidyllm.core.context import Context
from tidyllm.errors import ConfigError, ToolError, ToolServerDown
from tidyllm.errors.extras import installed

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool

__all__ = ["McpServer"]

_MOST_PAGES = 100
_TAIL = 1_000  # characters of what a server wrote before it ended


class McpServer:
    """A connection: `async with McpServer.stdio([...]) as server: Toolset.of_mcp(server)`.

    Made by `stdio` or `http`. `timeout` is in seconds, for connecting and for each call.
    """

    def __init__(self, name: str, *, timeout: float, max_chars: int) -> None:
        self.name = name
        self.timeout = timeout
        self.max_chars = max_chars
        self._argv: tuple[str, ...] = ()
        self._env: Mapping[str, str] = {}
        self._cwd: Path | None = None
        self._url = ""
        self._headers: Mapping[str, str] = {}
        self._client: Client | None = None
        self._listed: tuple[Tool, ...] = ()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._wrote: Any = None

    @classmethod
    def stdio(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        timeout: float = 60.0,
        max_chars: int = MAX_CHARS,
    ) -> McpServer:
        """A server that is started as a process, without a shell, and ended with the connection.

        Of the environment it gets PATH, HOME, USER and the like, and `env`: keys of ours are not passed on.
        """
        if not argv or isinstance(argv, str):
            raise ToolError(
                "an MCP server needs its command as a list of words.", hint='["python", "server.py"]'
            )
        made = cls(Path(argv[0]).name, timeout=timeout, max_chars=max_chars)
        made._argv, made._env, made._cwd = tuple(argv), dict(env or {}), None if cwd is None else Path(cwd)
        return made

    @classmethod
    def http(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        max_chars: int = MAX_CHARS,
    ) -> McpServer:
        """A server behind an address (streamable HTTP), for instance `http://127.0.0.1:8000/mcp`."""
        if not url.startswith(("http://", "https://")):
            raise ToolError(f"{url!r} is no address of an MCP server.", hint="http://127.0.0.1:8000/mcp")
        made = cls(
            url.partition("://")[2].partition("/")[0].rpartition("@")[2], timeout=timeout, max_chars=max_chars
        )
        made._url, made._headers = url, dict(headers or {})
        return made

    # -- the connection

    @property
    def connected(self) -> bool:
        """Whether the session is open; a server that died shows with the next call."""
        return self._client is not None and self._task is not None and not self._task.done()

    async def __aenter__(self) -> Self:
        """:raises ToolServerDown: it could not be started or reached within `timeout`, or does not speak MCP."""
        if self._task is not None:
            raise ToolError(f"MCP server {self.name!r} is connected already.")
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stop.clear()
        self._task = asyncio.create_task(self._live(ready), name=f"mcp {self.name}")
        try:
            done, _ = await asyncio.wait({ready}, timeout=self.timeout)
            if not done:
                raise ToolServerDown(
                    f"MCP server {self.name!r} did not answer within {self.timeout:g} s.{self._tail()}"
                )
            ready.result()
        except BaseException:
            ready.cancel()
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _live(self, ready: asyncio.Future[None]) -> None:
        try:
            async with self._connection() as client:
                self._listed = await _all_tools(client)
                self._client = client
                if not ready.done():
                    ready.set_result(None)
                await self._stop.wait()
        except ConfigError as error:
            ready.set_exception(error)
        except Exception as error:  # noqa: BLE001 - the library raises groups of anything: this is the border
            if not ready.done():
                down = ToolServerDown(
                    f"MCP server {self.name!r} could not be connected: {hide_secrets(_innermost(error))}.{self._tail()}"
                )
                down.__cause__ = error
                ready.set_exception(down)
        finally:
            self._client = None

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Client]:
        with installed("agents"):
            from mcp import Client, StdioServerParameters
            from mcp.client.stdio import stdio_client
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client

        async with contextlib.AsyncExitStack() as stack:
            if self._argv:
                self._wrote = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115 - it is
                command = StdioServerParameters(
                    command=self._argv[0], args=list(self._argv[1:]), env=dict(self._env), cwd=self._cwd
                )
                transport = stdio_client(command, errlog=self._wrote)
            else:
                http = await stack.enter_async_context(create_mcp_http_client(headers=dict(self._headers)))
                transport = streamable_http_client(self._url, http_client=http)
            yield await stack.enter_async_context(
                Client(transport, read_timeout_seconds=self.timeout, cache=None)
            )

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        self._stop.set()
        if self._client is None:
            task.cancel()
        await asyncio.wait({task})

    def _tail(self) -> str:
        """What the server wrote last on its standard error, for messages."""
        if self._wrote is None or self._wrote.closed:
            return ""
        self._wrote.seek(0)
        wrote = self._wrote.read()[-_TAIL:].strip()
        return f" It wrote: {hide_secrets(wrote)}" if wrote else ""

    # -- its tools

    def tools(self, *, prefix: str = "", policy: Policy | None = None) -> tuple[AgentTool, ...]:
        """Its tools, as they were listed when it was connected.

        :raises ToolError: it is not connected, or a name cannot be a tool's.
        """
        if not self.connected:
            raise ToolError(
                f"MCP server {self.name!r} is not connected.", hint="async with McpServer.stdio(...) as it:"
            )
        return tuple(self._tool(one, prefix, policy or "allow") for one in self._listed)

    def _tool(self, listed: Tool, prefix: str, policy: Policy) -> AgentTool:
        name = listed.name

        async def perform(arguments: Mapping[str, Any], ctx: Context) -> str:
            return await self._call(name, dict(arguments), ctx)

        notes = listed.annotations
        reads = bool(notes and notes.read_only_hint)
        return AgentTool(
            prefix + name,
            listed.description or listed.title or "",
            listed.input_schema,
            perform,
            policy=policy,
            in_doubt="rerun" if reads or (notes and notes.idempotent_hint) else "ask",
            reads=reads,
            max_chars=self.max_chars,
        )

    async def _call(self, name: str, arguments: dict[str, Any], ctx: Context) -> str:
        """:raises ToolServerDown: the server is gone. :raises ToolError: it said that the call failed."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        client = self._client
        if client is None:
            raise ToolServerDown(
                f"{name} was not called: MCP server {self.name!r} is not connected any more."
            )
        try:
            result = await client.call_tool(name, arguments, read_timeout_seconds=self.timeout)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise ToolError(
                    f"{name} did not answer within {self.timeout:g} s; it may have been done nevertheless."
                ) from error
            if error.code == CONNECTION_CLOSED:
                raise ToolServerDown(
                    f"MCP server {self.name!r} ended while {name} was under way.{self._tail()}"
                ) from error
            raise ToolError(hide_secrets(f"{name} failed: {error.message}")) from error
        except Exception as error:
            if type(error).__module__.startswith(("anyio", "httpx2", "mcp")) or isinstance(
                error, OSError | RuntimeError
            ):
                raise ToolServerDown(
                    f"MCP server {self.name!r} cannot be reached for {name}: {hide_secrets(_innermost(error))}"
                ) from error
            raise
        text = said(result)
        if result.is_error:
            raise ToolError(hide_secrets(text))
        return text


async def _all_tools(client: Client) -> tuple[Tool, ...]:
    listed: list[Tool] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        listed += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tuple(listed)


def _innermost(error: BaseException) -> str:
    inner = error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    words = str(inner).strip()
    return f"{type(inner).__name__}: {words}" if words else type(inner).__name__
