"""Tools, the loop, specialists and teams: work that models do with functions, and that always ends.

A name is loaded when it is first used: `import tidyllm.agents` alone loads no part of it, and no MCP client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm.agents.agent_tool import AgentTool, tool
    from tidyllm.agents.call import Call, ToolResult
    from tidyllm.agents.mcp_client import McpServer
    from tidyllm.agents.parsed import Parsed, calls_of
    from tidyllm.agents.toolset import Toolset
    from tidyllm.agents.workspace_toolset import workspace_tools

__all__ = [
    "AgentTool",
    "Call",
    "McpServer",
    "Parsed",
    "ToolResult",
    "Toolset",
    "calls_of",
    "tool",
    "workspace_tools",
]

# No module is called like a name that it offers: importing it would put the module in the name's place.
_HOMES = {
    "tidyllm.agents.agent_tool": ("AgentTool", "tool"),
    "tidyllm.agents.call": ("Call", "ToolResult"),
    "tidyllm.agents.mcp_client": ("McpServer",),
    "tidyllm.agents.parsed": ("Parsed", "calls_of"),
    "tidyllm.agents.toolset": ("Toolset",),
    "tidyllm.agents.workspace_toolset": ("workspace_tools",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
