"""What of a request's body the model will read: texts, pictures, messages, tools. Of any format; it counts no tokens.

It leaves out what is known to stay outside the prompt and takes everything else: too much is still a bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

__all__ = ["Prompt", "Unreadable", "read_prompt"]


class Unreadable(Exception):
    """Part of what the model reads is not in the body as text or picture."""


_TURNS = frozenset({"messages", "input", "contents", "system", "prompt", "instructions"})
_NOT_READ = frozenset(
    {"model", "stream", "stream_options", "user", "metadata", "service_tier", "store", "include"}
)
_ELSEWHERE = frozenset({"previous_response_id", "conversation", "container", "mcp_servers", "audio"})
_ANSWERS = frozenset({"response_format", "text", "format", "output_config", "output_format"})
"""Where a schema of the answer stands."""
_PICTURES = frozenset({"image_url", "input_image", "image"})
_FILES = frozenset(
    {"file", "input_file", "document", "input_audio", "audio", "video", "video_url", "file_id"}
)
_WORDS = frozenset(
    {"role", "type", "id", "tool_call_id", "tool_use_id", "call_id", "status", "cache_control", "phase"}
)
"""Fields of messages and parts whose values the template replaces, and which are in the count per message."""
_PLAIN = frozenset(
    {"content", "text", "name", "arguments", "output", "function", "tool_calls", "thinking", "summary"}
)
"""Fields whose names the model does not read."""


class Prompt(msgspec.Struct):
    """`texts` to count, and how many of each thing they stand in."""

    texts: list[str] = []
    given_tokens: int = 0
    messages: int = 0
    parts: int = 0
    images: int = 0
    tools: int = 0
    schemas: int = 0
    options: int = 0


def read_prompt(fields: Mapping[str, Any]) -> Prompt:
    """From the decoded top-level fields of a body.

    :raises Unreadable: a file, sound, or what the provider has kept of an earlier call is part of the prompt.
    """
    prompt = Prompt()
    for name, value in fields.items():
        if name in _NOT_READ or value is None or isinstance(value, bool | int | float):
            continue
        if name in _ELSEWHERE:
            raise Unreadable(name)
        if name in _TURNS:
            _turns(value, prompt)
        elif isinstance(value, str):
            prompt.texts.append(value)
        elif value:
            text = _json(value)
            prompt.texts.append(text)
            if name in ("tools", "functions", "toolConfig"):
                prompt.tools += len(cast("list[object]", value)) if isinstance(value, list) else 1
                continue
            prompt.options += 1
            if name in _ANSWERS and '"json' in text:
                prompt.schemas += 1
    return prompt


def _turns(value: object, prompt: Prompt) -> None:
    if isinstance(value, str):
        prompt.messages += 1
        prompt.texts.append(value)
    elif isinstance(value, list):
        for turn in cast("list[object]", value):
            if isinstance(turn, int):
                prompt.given_tokens += 1  # tokens of the caller's own counting, for embeddings
            else:
                prompt.messages += 1
                _read(turn, prompt)
    elif value is not None:
        raise Unreadable("prompt")  # a template that the provider keeps


def _read(value: object, prompt: Prompt) -> None:
    if isinstance(value, str):
        prompt.texts.append(value)
    elif isinstance(value, dict):
        _object(cast("dict[str, object]", value), prompt)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            _read(item, prompt)
    elif value is not None and not isinstance(value, bool):
        prompt.texts.append(str(value))


def _object(value: dict[str, object], prompt: Prompt) -> None:
    prompt.parts += 1
    kind = value.get("type")
    source = value.get("source")
    if kind in _FILES and not (isinstance(source, dict) and source.get("type") == "text"):  # pyright: ignore[reportUnknownMemberType]
        raise Unreadable(str(kind))
    if kind in _PICTURES:
        prompt.images += 1
        return
    for name, inner in value.items():
        if name in _FILES and inner is not None:
            raise Unreadable(name)
        if name == "images" and isinstance(inner, list):
            prompt.images += len(cast("list[object]", inner))
        elif name == "tools" and isinstance(inner, list):  # given in the middle of a conversation
            prompt.tools += len(cast("list[object]", inner))
            prompt.texts.append(_json(cast("list[object]", inner)))
        elif name in ("input", "arguments", "output") and isinstance(inner, dict):
            prompt.texts.append(_json(cast("dict[str, object]", inner)))
        elif name not in _WORDS:
            if name not in _PLAIN:
                prompt.texts.append(name)
            _read(inner, prompt)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
