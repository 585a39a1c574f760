"""Workspaces and tools of agents: what was refused, and why."""

from __future__ import annotations

from typing import Any

from tidyllm.errors.base import TidyllmError

__all__ = [
    "AgentStopped",
    "BadToolCall",
    "CommandRefused",
    "EditConflict",
    "OutsideWorkspace",
    "ToolDenied",
    "ToolError",
    "ToolServerDown",
    "UnknownTool",
    "WorkspaceError",
]


class WorkspaceError(TidyllmError):
    """A workspace cannot do what was asked: a missing file, a binary one, code that does not parse, a limit."""


class OutsideWorkspace(WorkspaceError):
    """A path leads out of the workspace, by `..`, as an absolute path, or through a link."""

    default_hint = "Give a path inside of the workspace, relative to its root."


class CommandRefused(WorkspaceError):
    """A command may not run here: its program is not allowed, or it would run inline code."""


class EditConflict(WorkspaceError):
    """A file is not as it was when the edit was made up: its text is not there, or not once."""

    default_hint = "Read the file again and repeat the edit against its text of now."


class ToolError(TidyllmError):
    """A tool could not be made or called."""


class ToolDenied(ToolError):
    """The policy of a tool, or the person who was asked, said no."""


class UnknownTool(ToolError):
    """No tool of that name is in the toolset. A name is never guessed."""


class BadToolCall(ToolError):
    """The arguments of a call do not fit the tool's schema."""


class ToolServerDown(ToolError):
    """A server of tools cannot be started or reached, or ended. What was under way may have been done."""

    retryable = True
    default_hint = "See what the server wrote, and connect again."


class AgentStopped(TidyllmError):
    """An agent ended before it was done. `stop` says why; `partial` is its best result so far."""

    def __init__(self, message: str, *, stop: str, partial: Any = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stop = stop
        self.partial = partial
