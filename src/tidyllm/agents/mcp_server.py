"""A toolset as an MCP server, over stdio and streamable HTTP. It knows the protocol's server, nothing of models.

The server library is imported when serving begins. Policies hold here as well: denied tools are not offered, and tools
that ask are run only when the toolset has an `approve` that says yes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from tidyllm import clock
from tidyllm.agents.call import Call
from tidyllm.core.context import Context
from tidyllm.errors import ToolServerDown
from tidyllm.errors.extras import installed

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from tidyllm.agents.toolset import Toolset

__all__ = ["ServedToolset"]


class ServedToolset:
    """`await served.stdio()`, or `async with served.http() as url:`. Made by `Toolset.serve_mcp()`."""

    def __init__(self, toolset: Toolset, *, name: str = "tidyllm") -> None:
        self.toolset = toolset
        self.name = name
        self._numbers = itertools.count(1)

    async def stdio(self) -> None:
        """Serve on standard input and output until the client closes them. Print nothing to stdout meanwhile."""
        with installed("agents"):
            from mcp.server.stdio import stdio_server

        server = self._server()
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    @contextlib.asynccontextmanager
    async def http(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[str]:
        """Serve over HTTP while the block runs; gives the address, `http://127.0.0.1:<port>/mcp`.

        - `port`: 0 takes a free one. There is no password: stay on the loopback, or put a gateway in front.

        :raises ToolServerDown: the port is taken, or the server did not start.
        """
        with installed("gateway"):
            import uvicorn

        class Quiet(uvicorn.Server):
            """Leaves the signals of the process to the process."""

            @contextlib.contextmanager
            def capture_signals(self) -> Any:
                yield

        try:
            taken = socket.create_server((host, port))
        except OSError as error:
            raise ToolServerDown(f"cannot listen on {host}:{port}: {error.strerror}.") from error
        app = self._server().streamable_http_app(host=host)
        config = uvicorn.Config(
            app, log_level="error", lifespan="on", access_log=False, timeout_graceful_shutdown=2
        )
        serving = Quiet(config)
        task = asyncio.create_task(serving.serve(sockets=[taken]), name=f"mcp on {host}")
        try:
            while not serving.started:
                if task.done():
                    raise ToolServerDown(f"the MCP server on {host} did not start.")
                await clock.sleep(0.005)
            yield f"http://{host}:{taken.getsockname()[1]}/mcp"
        finally:
            serving.should_exit = True
            await asyncio.wait({task})
            taken.close()

    def _server(self) -> Server[Any]:
        with installed("agents"):
            from mcp.server.lowlevel import Server
            from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations

        async def list_tools(_ctx: object, _params: object) -> ListToolsResult:
            return ListToolsResult(
                tools=[
                    Tool(
                        name=one.name,
                        description=one.description or None,
                        input_schema=one.schema,
                        annotations=ToolAnnotations(read_only_hint=one.reads),
                    )
                    for one in self.toolset
                    if one.policy != "deny"
                ]
            )

        async def call_tool(_ctx: object, params: Any) -> CallToolResult:
            call = Call(f"mcp-{next(self._numbers)}", params.name, dict(params.arguments or {}))
            result = await self.toolset.call(call, Context.new())
            return CallToolResult(
                content=[TextContent(type="text", text=result.text)], is_error=not result.ok
            )

        return Server(self.name, on_list_tools=list_tools, on_call_tool=call_tool)
