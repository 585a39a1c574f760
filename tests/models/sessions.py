"""Sessions of coding assistants, made up after what such clients send: one for each format.

Each has several turns with calls of several tools at a time, results that failed, pictures, and reasoning.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.models.callers import Told
from tidyllm.models.piece import Piece, TextPiece, ThinkingPiece, ToolCallPiece

__all__ = [
    "ANTHROPIC",
    "CHAT",
    "PICTURE",
    "RESPONSES",
    "SESSIONS",
    "body_of",
    "chat_call",
    "gone_on",
    "in_bits",
]

CHAT, RESPONSES, ANTHROPIC = "openai_chat", "openai_responses", "anthropic"

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
_PICTURE_URL = f"data:image/png;base64,{PICTURE}"


def body_of(format: str) -> dict[str, Any]:
    """A copy of the session in this format."""
    return msgspec.json.decode(msgspec.json.encode(SESSIONS[format]))


def _schema(**properties: str) -> dict[str, Any]:
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


_TOOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "Bash": ("Runs a command.", _schema(command="string", timeout="number")),
    "Edit": ("Replaces text in a file.", _schema(file_path="string", old="string", new="string")),
    "Glob": ("Finds files by pattern.", _schema(pattern="string")),
    "Grep": ("Finds lines.", _schema(pattern="string", path="string")),
    "Read": ("Reads a file.", _schema(file_path="string")),
    "TodoWrite": (
        "Keeps a list.",
        {"type": "object", "properties": {"todos": {"type": "array", "items": {}}}},
    ),
    "Write": ("Writes a file.", _schema(file_path="string", content="string")),
    "mcp__browser__shot": ("Takes a picture of a page.", {"type": "object", "properties": {}}),
}

_CACHED = {"cache_control": {"type": "ephemeral"}}
_REMINDER = "<system-reminder>\nToday is a working day.\n</system-reminder>"

_MESSAGES: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 32000,
    "temperature": 1,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-billing: version=2"},
        {"type": "text", "text": "You are an assistant in a terminal.", **_CACHED},
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "tools": [
        {"name": name, "description": words, "input_schema": schema}
        | (_CACHED if name == "mcp__browser__shot" else {})
        for name, (words, schema) in _TOOLS.items()
    ],
    "metadata": {"user_id": f"user_{'a' * 64}_account_{'b' * 36}_session_{'c' * 36}"},
    "thinking": {"type": "enabled", "budget_tokens": 31999},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": _REMINDER},
                {"type": "text", "text": "The page is broken, see the picture. Find out why."},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "First look.", "signature": "c2lnbmVk"},
                {"type": "text", "text": "I look at the files."},
                {"type": "tool_use", "id": "toolu_01A", "name": "Glob", "input": {"pattern": "**/*.css"}},
                {"type": "tool_use", "id": "toolu_01B", "name": "mcp__browser__shot", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_01A", "content": "site.css\nprint.css"},
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_01B",
                    "content": [
                        {"type": "text", "text": "The page:"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
                        },
                    ],
                },
                {"type": "text", "text": _REMINDER},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "redacted_thinking", "data": "aGlkZGVu"},
                {
                    "type": "tool_use",
                    "id": "toolu_01C",
                    "name": "Read",
                    "input": {"file_path": "/w/site.css"},
                },
                {
                    "type": "tool_use",
                    "id": "toolu_01D",
                    "name": "Bash",
                    "input": {"command": "npm test", "timeout": 60000},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_01C",
                    "content": "body { colour: red }",
                    "is_error": False,
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_01D",
                    "content": "<tool_use_error>exit code 1</tool_use_error>",
                    "is_error": True,
                    **_CACHED,
                },
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "It is spelt `color`."}]},
        {"role": "user", "content": [{"type": "text", "text": "Then mend it.", **_CACHED}]},
    ],
}

_RESPONSES: dict[str, Any] = {
    "model": "gpt-x-codex",
    "instructions": "You are an agent in a terminal.",
    "stream": True,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "prompt_cache_key": "0190-aaaa",
    "reasoning": {"effort": "medium", "summary": "auto"},
    "text": {"verbosity": "low"},
    "client_metadata": {"installation": "i"},
    "tools": [
        {"type": "function", "name": name, "description": words, "strict": False, "parameters": schema}
        for name, (words, schema) in _TOOLS.items()
    ],
    "input": [
        {
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "<permissions>on request</permissions>"}],
        },
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "<environment_context><cwd>/w</cwd></environment_context>"}
            ],
        },
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "The page is broken, see the picture."},
                {"type": "input_image", "image_url": _PICTURE_URL},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "**Looking**"}],
            "content": None,
            "encrypted_content": "gAAAAopenai",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I look at the files."}],
        },
        {
            "type": "function_call",
            "name": "Glob",
            "arguments": '{"pattern": "**/*.css"}',
            "call_id": "call_A",
        },
        {"type": "function_call", "name": "mcp__browser__shot", "arguments": "{}", "call_id": "call_B"},
        {"type": "function_call_output", "call_id": "call_A", "output": "site.css\nprint.css"},
        {
            "type": "function_call_output",
            "call_id": "call_B",
            "output": [
                {"type": "input_text", "text": "The page:"},
                {"type": "input_image", "image_url": _PICTURE_URL},
            ],
        },
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAAtwo"},
        {
            "type": "function_call",
            "name": "Bash",
            "arguments": '{"command":"npm test","timeout":60000}',
            "call_id": "call_C",
        },
        {
            "type": "function_call_output",
            "call_id": "call_C",
            "output": '{"output":"failed","metadata":{"exit_code":1}}',
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "It is spelt `color`."}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Then mend it."}]},
    ],
}


def chat_call(id: str, name: str, arguments: str) -> dict[str, Any]:
    """An entry of `tool_calls`."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


_CHAT: dict[str, Any] = {
    "model": "gpt-x",
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0,
    "max_completion_tokens": 8192,
    "frequency_penalty": 0.0,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "reasoning_effort": "medium",
    "tools": [
        {
            "type": "function",
            "function": {"name": name, "description": words, "parameters": schema, "strict": False},
        }
        for name, (words, schema) in _TOOLS.items()
    ],
    "messages": [
        {"role": "system", "content": "You are an assistant in an editor."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "The page is broken, see the picture."},
                {"type": "image_url", "image_url": {"url": _PICTURE_URL, "detail": "high"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look at the files.",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "First look.",
                    "signature": "c2lnbmVk",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                }
            ],
            "tool_calls": [
                chat_call("call_A", "Glob", '{"pattern": "**/*.css"}'),
                chat_call("call_B", "mcp__browser__shot", "{}"),
            ],
        },
        {"role": "tool", "tool_call_id": "call_A", "content": "site.css\nprint.css"},
        {"role": "tool", "tool_call_id": "call_B", "content": [{"type": "text", "text": "The page: empty"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [chat_call("call_C", "Bash", '{"command":"npm test","timeout":60000}')],
        },
        {"role": "tool", "tool_call_id": "call_C", "name": "Bash", "content": "Error: exit code 1"},
        {"role": "assistant", "content": "It is spelt `color`."},
        {"role": "user", "content": "Then mend it."},
    ],
}

SESSIONS: dict[str, dict[str, Any]] = {CHAT: _CHAT, RESPONSES: _RESPONSES, ANTHROPIC: _MESSAGES}


def in_bits(pieces: list[Piece]) -> Iterator[Piece]:
    """The pieces in shorter ones, as providers send them."""
    for piece in pieces:
        match piece:
            case TextPiece() if piece.text:
                yield msgspec.structs.replace(piece, text=piece.text[:3])
                yield TextPiece(piece.text[3:], piece.index)
            case ThinkingPiece() if piece.thinking:
                yield ThinkingPiece(piece.thinking[:5], piece.index, id=piece.id, extra=piece.extra)
                yield msgspec.structs.replace(piece, thinking=piece.thinking[5:], extra={})
            case ToolCallPiece() if piece.arguments:
                yield msgspec.structs.replace(piece, arguments="")
                yield ToolCallPiece(piece.index, arguments=piece.arguments[:4])
                yield ToolCallPiece(piece.index, arguments=piece.arguments[4:])
            case _:
                yield piece


def gone_on(format: str, body: dict[str, Any], told: Told) -> dict[str, Any]:
    """The caller's next request: its conversation, what it was told, and what its tools answered to each call."""
    results = [(id, f"{name} did it") for id, name, _ in told.calls]
    if format == CHAT:
        more = [{"role": "tool", "tool_call_id": id, "content": text} for id, text in results]
        return {**body, "messages": [*body["messages"], *told.turn, *more]}
    if format == RESPONSES:
        more = [{"type": "function_call_output", "call_id": id, "output": text} for id, text in results]
        return {**body, "input": [*body["input"], *told.turn, *more]}
    content = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in results]
    more = [{"role": "user", "content": content}] if content else []
    return {**body, "messages": [*body["messages"], *told.turn, *more]}
