"""What the offline model says when no script tells it. Pure and deterministic: the same request, the same answer.

The name of the model chooses the behaviour, so that faults can be had through a configuration or a gateway too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

from tidyllm.models.message import Text, ToolCall, ToolResult
from tidyllm.models.offline.reply import Reply
from tidyllm.models.offline.sample import sample
from tidyllm.models.output import json_schema, wants_json
from tidyllm.models.request import NamedTool, Request, Tool
from tidyllm.models.response import Usage

__all__ = ["BEHAVIOURS", "answer", "usage_of"]


def answer(request: Request) -> Reply:
    """The reply to `request`, by the behaviour its model name asks for; any other name is `simulated`."""
    reply = BEHAVIOURS.get(request.model, _simulated)(request)
    most = request.max_output_tokens
    if most is None or reply.tool_calls or (usage_of(request, reply).output_tokens or 0) <= most:
        return reply
    text = reply.text.encode()[: most * _BYTES].decode(errors="ignore")
    return msgspec.structs.replace(reply, text=text, finish_reason="length")


def _simulated(request: Request) -> Reply:
    tool = _tool_to_call(request)
    if tool is not None:
        arguments: object = sample(tool.parameters)
        given = cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}
        raw = msgspec.json.encode(given).decode()
        return Reply(tool_calls=(ToolCall(name=tool.name, arguments=given, raw_arguments=raw),))
    schema = json_schema(request.output)
    if schema is not None:
        return Reply(text=msgspec.json.encode(sample(schema.schema)).decode())
    if wants_json(request.output):
        return Reply(text='{"simulated": true}')
    said = _last_words(request)
    quoted = said if len(said) <= 200 else f"{said[:200]}…"
    return Reply(
        text=f"This is a simulated answer of tidyllm's offline model; no real model was asked. You said: {quoted}"
    )


def _tool_to_call(request: Request) -> Tool | None:
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    last = request.turns[-1] if request.turns else None
    if last is not None and any(isinstance(part, ToolResult) for part in last.parts):
        return None  # answered: a model that called again would never end
    if isinstance(request.tool_choice, NamedTool):
        name = request.tool_choice.name
        return next((tool for tool in functions if tool.name == name), None)
    return functions[0] if request.tool_choice == "required" and functions else None


def _last_words(request: Request) -> str:
    for turn in reversed(request.turns):
        if turn.role in ("user", "tool"):
            words = turn.text
            for part in turn.parts:
                if isinstance(part, ToolResult):
                    content = part.content
                    words += (
                        content
                        if isinstance(content, str)
                        else "".join(one.text for one in content if isinstance(one, Text))
                    )
            return words
    return ""


BEHAVIOURS: dict[str, Callable[[Request], Reply]] = {
    "simulated": _simulated,
    "echo": lambda request: Reply(text=_last_words(request)),
    "slow": lambda request: msgspec.structs.replace(_simulated(request), delay=0.5, piece_delay=0.05),
    "fail": lambda request: Reply(status=500, message="simulated failure"),
    "overloaded": lambda request: Reply(status=503, message="simulated overload"),
    "throttle": lambda request: Reply(status=429, message="simulated rate limit", retry_after=1.0),
    "stall": lambda request: msgspec.structs.replace(_simulated(request), stall_after=3),
    "cut": lambda request: msgspec.structs.replace(_simulated(request), cut_after=3),
    "garbage": lambda request: Reply(garbage=b"<html>simulated garbage</html>"),
    "unreachable": lambda request: Reply(unreachable=True),
}
"""Behaviours by model name: `offline/simulated`, `offline/echo`, `offline/stall`, …"""

_BYTES = 4


def usage_of(request: Request, reply: Reply) -> Usage:
    """Simulated token counts: one for every four bytes of UTF-8, rounded up."""
    asked = sum(len(turn.text.encode()) for turn in request.turns)
    said = len(reply.text.encode()) + sum(len(c.raw_arguments) + len(c.name) for c in reply.tool_calls)
    thought = len(reply.reasoning.encode())
    return Usage(
        input_tokens=-(-asked // _BYTES),
        output_tokens=-(-(said + thought) // _BYTES),
        reasoning_tokens=-(-thought // _BYTES) if thought else None,
    )
