"""The tools as text, for models without native tools: what there is, and the one way to call it.

The format it asks for is one that `parse.py` reads; that file reads others as well, since models mix them up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tidyllm.agents.agent_tool import AgentTool

__all__ = ["rendered_call", "tool_prompt"]

_HOW = """\
You can call tools. To call one, write exactly this, with the tool's name and its arguments as a JSON object:

{example}

Several such blocks in one answer are several calls; they are run in order. Write the name exactly as it is listed. \
Write JSON: double quotes, \\n for a line break within a string. Then end your answer: the results come in the next \
message. Only such blocks are calls; a tool that is merely mentioned is not called. When you need no tool, answer in \
plain text without a block.

The tools:
"""


def tool_prompt(tools: Sequence[AgentTool]) -> str:
    """How to call tools, and each with its description and the JSON schema of its arguments; "" for no tools."""
    if not tools:
        return ""
    listed = "\n\n".join(
        f"## {one.name}\n{one.description or '(no description)'}\nArguments: {_json(one.schema)}"
        for one in tools
    )
    return _HOW.format(example=rendered_call(tools[0].name, _example(tools[0].schema))) + "\n" + listed


def rendered_call(name: str, arguments: dict[str, Any]) -> str:
    """A call as the prompt asks for it; for histories that are shown to a model without native tools."""
    return f"<tool_call>\n{_json({'name': name, 'arguments': arguments})}\n</tool_call>"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    stands_for: dict[str, Any] = {
        "integer": 1,
        "number": 1.5,
        "boolean": True,
        "array": [],
        "object": {},
        "null": None,
    }
    properties: dict[str, Any] = schema.get("properties") or {}
    return {
        key: stands_for.get(str(properties.get(key, {}).get("type")), "…")
        for key in schema.get("required") or ()
    }
