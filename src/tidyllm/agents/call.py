"""A call that a model asks for, and what the tool answered: plain records. They know no tool and run nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from tidyllm.models.message import Message

__all__ = ["Call", "ToolResult"]


class Call(msgspec.Struct, frozen=True):
    """The model wants `name(**arguments)`. `id` tells calls of one answer apart and ties the result to its call."""

    id: str
    name: str
    arguments: dict[str, Any] = {}


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the model is told of the call `id`.

    `ok` is False when the tool was not run or failed; `text` then says why, in words for the model. `error` is the
    name of the error's class (`ToolDenied`, `BadToolCall`, `UnknownTool`, `WorkspaceError`, …), "" when it went well.
    """

    id: str
    name: str
    text: str
    ok: bool = True
    error: str = ""

    @property
    def message(self) -> Message:
        """The message of role `tool` that carries it back, for models with native tools."""
        return Message.tool(self.id, self.text, is_error=not self.ok)
