"""What providers of each format say to a session in turn: two calls at a time, one more, and the end."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.models.sessions import ANTHROPIC, CHAT, RESPONSES, chat_call

__all__ = ["SCRIPTS"]

_USE_A = {"file_path": "/w/site.css", "old": "colour", "new": "color"}
_USE_B = {"pattern": "colour", "path": "/w"}
_USE_C = {"command": "npm test", "timeout": 9}


def _message(*content: dict[str, Any], stop: str) -> dict[str, Any]:
    usage = {
        "input_tokens": 20,
        "output_tokens": 9,
        "cache_read_input_tokens": 80,
        "cache_creation_input_tokens": 0,
    }
    return {
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def _response(*output: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "resp_01",
        "object": "response",
        "status": "completed",
        "model": "gpt-x",
        "output": list(output),
        "usage": {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 80},
            "output_tokens": 9,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 109,
        },
    }


def _completion(message: dict[str, Any], finish: str) -> dict[str, Any]:
    return {
        "id": "gen-01",
        "object": "chat.completion",
        "created": 1,
        "model": "deep-x",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 9,
            "total_tokens": 109,
            "prompt_tokens_details": {"cached_tokens": 80},
        },
    }


def _item(id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    raw = msgspec.json.encode(arguments).decode()
    fields = {"call_id": id, "name": name, "arguments": raw, "status": "completed"}
    return {"type": "function_call", "id": f"fc_{id}", **fields}


def _said(text: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "output_text", "text": text, "annotations": []}]
    fields: dict[str, Any] = {
        "id": f"msg_{len(text)}",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }
    return {"type": "message", **fields}


def _calls(*calls: tuple[str, str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [chat_call(id, name, msgspec.json.encode(arguments).decode()) for id, name, arguments in calls]


def _line(content: str, thinking: str, *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content, "thinking": thinking}
    if calls:
        message["tool_calls"] = [{"function": {"name": name, "arguments": given}} for name, given in calls]
    counts = {"prompt_eval_count": 100, "eval_count": 9}
    return {"model": "llama-x", "message": message, "done": True, "done_reason": "stop", **counts}


SCRIPTS: dict[str, list[dict[str, Any]]] = {
    ANTHROPIC: [
        _message(
            {"type": "thinking", "thinking": "Two at once.", "signature": "c2lnMQ=="},
            {"type": "text", "text": "I mend it."},
            {"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": _USE_A},
            {"type": "tool_use", "id": "toolu_2", "name": "Grep", "input": _USE_B},
            stop="tool_use",
        ),
        _message(
            {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
            {"type": "thinking", "thinking": "", "signature": "c2lnMg=="},
            {"type": "tool_use", "id": "toolu_3", "name": "Bash", "input": _USE_C},
            stop="tool_use",
        ),
        _message({"type": "text", "text": "Done."}, stop="end_turn"),
    ],
    RESPONSES: [
        _response(
            {
                "type": "reasoning",
                "id": "rs_7",
                "summary": [
                    {"type": "summary_text", "text": "**Two** at once."},
                    {"type": "summary_text", "text": "**Then** a test."},
                ],
                "encrypted_content": "gAAAAseven",
            },
            _said("I mend it."),
            _item("call_1", "Edit", _USE_A),
            _item("call_2", "Grep", _USE_B),
        ),
        _response(
            {"type": "reasoning", "id": "rs_8", "summary": [], "encrypted_content": "gAAAAeight"},
            _item("call_3", "Bash", _USE_C),
        ),
        _response(_said("Done.")),
    ],
    CHAT: [
        _completion(
            {
                "content": "I mend it.",
                "reasoning_content": "Two at once.",
                "tool_calls": _calls(("call_1", "Edit", _USE_A), ("call_2", "Grep", _USE_B)),
            },
            "tool_calls",
        ),
        _completion(
            {
                "content": None,
                "reasoning_content": "Then a test.",
                "tool_calls": _calls(("call_3", "Bash", _USE_C)),
            },
            "tool_calls",
        ),
        _completion({"content": "Done."}, "stop"),
    ],
    "ollama": [
        _line("I mend it.", "Two at once.", ("Edit", _USE_A), ("Grep", _USE_B)),
        _line("", "Then a test.", ("Bash", _USE_C)),
        _line("Done.", ""),
    ],
}
"""Whole answers. The chat provider and Ollama want their plain reasoning back; the others sign or encrypt theirs."""
