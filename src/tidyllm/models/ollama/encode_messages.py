"""Our turns to Ollama's `messages`. It knows nothing of the other fields of a request.

A message of Ollama is one text with pictures, reasoning and tool calls beside it. Texts of one turn are joined: those
of an answer as they are, all others by a blank line. The results of tools are messages of their own.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.data_url import read_data_url
from tidyllm.models.losses import Losses
from tidyllm.models.message import (
    Audio,
    File,
    Image,
    Opaque,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from tidyllm.models.ollama.fields import no_fields
from tidyllm.models.request import Request

__all__ = ["encode_messages"]


def encode_messages(request: Request, losses: Losses) -> list[dict[str, Any]]:
    """The field `messages`, the system's text in front.

    :raises Unsupported: a part has no place in this format, unless `losses` is lenient.
    """
    messages: list[dict[str, Any]] = []
    if request.system is not None:
        parts = (Text(text=request.system),) if isinstance(request.system, str) else request.system
        messages += _turn("system", parts, "system", {}, losses)
    names: dict[str, str] = {}  # ids of calls, for the results that follow
    for index, message in enumerate(request.turns):
        where = f"messages[{index}]"
        no_fields(message.extra, where, losses)
        role = "system" if message.role == "developer" else message.role
        if role == "tool" and not all(isinstance(part, ToolResult) for part in message.parts):
            field = f"{where}.content"
            raise BadRequest(f"{field} of a tool's message must hold its ToolResult parts.", field=field)
        names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCall)}
        messages += _turn(role, message.parts, f"{where}.content", names, losses)
        if not message.content:
            messages.append({"role": role, "content": ""})
    return messages


def _turn(
    role: str, parts: tuple[Part, ...], where: str, names: dict[str, str], losses: Losses
) -> list[dict[str, Any]]:
    """The messages of one turn: its results of tools each alone, the rest between them together."""
    messages: list[dict[str, Any]] = []
    rest = _Draft(role)
    for index, part in enumerate(parts):
        at = f"{where}[{index}]"
        no_fields(part.extra, at, losses)
        if isinstance(part, ToolResult):
            messages += rest.finished()
            rest = _Draft(role)
            messages.append(_result(part, at, names, losses))
        else:
            rest.add(part, at, losses)
    return messages + rest.finished()


def _result(part: ToolResult, where: str, names: dict[str, str], losses: Losses) -> dict[str, Any]:
    if part.is_error:
        losses.note(f"{where}.is_error")  # there is no field for it; the text says what went wrong
    draft = _Draft("tool")
    content = (Text(text=part.content),) if isinstance(part.content, str) else part.content
    for index, inner in enumerate(content):
        at = f"{where}.content[{index}]"
        no_fields(inner.extra, at, losses)
        draft.add(inner, at, losses)
    message = draft.message
    message["tool_call_id"] = part.call_id
    if part.call_id in names:
        message["tool_name"] = names[part.call_id]
    return message


class _Draft:
    """One message under construction."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.beside: dict[str, list[Any]] = {}

    @property
    def message(self) -> dict[str, Any]:
        joined = ("" if self.role == "assistant" else "\n\n").join(self.texts)
        message: dict[str, Any] = {"role": self.role, "content": joined}
        for field, values in self.beside.items():
            message[field] = "".join(values) if field == "thinking" else values
        return message

    def finished(self) -> list[dict[str, Any]]:
        return [self.message] if self.texts or self.beside else []

    def add(self, part: Part, where: str, losses: Losses) -> None:
        match part:
            case Text():
                self.texts.append(part.text)
            case Image():
                data = _image(part, where, losses)
                if data is not None:
                    self._beside("images", base64.b64encode(data).decode())
            case ToolCall():
                self._beside("tool_calls", _call(part, where, losses))
            case Thinking() if part.signature or part.encrypted:
                losses.add(
                    where, "this reasoning can be read only by the provider that signed or encrypted it"
                )
            case Thinking():
                self._beside("thinking", part.text)
            case File() | Audio():
                losses.add(where, "Ollama takes text and pictures only")
            case Opaque():
                losses.add(where, f"a {part.data.get('type', 'part')!r} part of the {part.format} format")
            case ToolResult():
                losses.add(where, "a result inside a result")

    def _beside(self, field: str, value: Any) -> None:
        self.beside.setdefault(field, []).append(value)


def _image(part: Image, where: str, losses: Losses) -> bytes | None:
    if part.detail not in {None, "auto"}:
        losses.add(f"{where}.detail")
    if part.data is not None:
        return part.data
    if part.url is not None and part.url.startswith("data:"):
        try:
            return read_data_url(part.url)[0]
        except ValueError as exc:
            field = f"{where}.url"
            raise BadRequest(f"{field} is a broken data URL: {exc}.", field=field) from exc
    losses.add(where, "Ollama takes pictures as bytes, and fetches none")
    return None


def _call(part: ToolCall, where: str, losses: Losses) -> dict[str, Any]:
    arguments = part.arguments
    if not arguments and part.raw_arguments.strip() not in {"", "{}"}:
        try:
            arguments = msgspec.json.decode(part.raw_arguments, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError):
            losses.add(f"{where}.arguments", "Ollama takes only a JSON object as the arguments of a tool")
    return {"id": part.id, "function": {"name": part.name, "arguments": arguments}}
