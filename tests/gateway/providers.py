"""A provider of any kind, over a socket: it notes what it is asked, and gives the answer that a test chose."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.gateway.harness import ONCE, Running, gateway, json_answer, settings, sse
from tests.models.raw_server import Connection, serve
from tidyllm.models.fold import unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.offline import OfflineTransport
from tidyllm.models.offline.reply import Reply
from tidyllm.models.piece import TextPiece, ThinkingPiece, ToolCallPiece
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["KINDS", "Provider", "between"]

KINDS = ("openai", "openai-responses", "anthropic", "ollama", "offline")
"""One for each format towards providers, and the simulated one."""

_FORMATS = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
    "/api/chat": "ollama",
}


@dataclass
class Provider:
    """What a provider was asked, and what it answers next."""

    kind: str
    answer: Response = field(default_factory=Response)
    """What it answers,"""
    first: list[Response] = field(default_factory=list[Response])
    """and before that, each once."""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Requests as they came over the wire. The offline provider has no wire: what it was asked is in `asked`."""
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    offline: OfflineTransport | None = None
    tokens: int = 0
    """What it counts, where it counts tokens."""

    @property
    def asked(self) -> Request:
        """The latest request, in our types."""
        if self.offline is not None:
            return self.offline.requests[-1]
        path = next(path for path, format in _FORMATS.items() if format == self.format)
        return wire_format(_FORMATS[path]).decode_request(self.bodies[-1])[0]

    @property
    def format(self) -> str:
        """What it speaks."""
        names = {"openai": "openai_chat", "openai-responses": "openai_responses", "offline": "openai_chat"}
        return names.get(self.kind, self.kind)

    def next_answer(self) -> Response:
        return self.first.pop(0) if self.first else self.answer

    async def __call__(self, connection: Connection) -> None:
        while True:
            seen = await connection.request()
            body: dict[str, Any] = msgspec.json.decode(seen.body)
            self.bodies.append(body)
            self.headers.append(seen.headers)
            if "/count_tokens" in seen.line:
                await connection.write(json_answer({"input_tokens": self.tokens}))
                continue
            format = _FORMATS[seen.line.split()[1].partition("?")[0]]
            assert format == self.format
            answer = self.next_answer()
            if format == "ollama":
                await connection.write(_ollama(answer, stream=body.get("stream", True)))
            elif body.get("stream"):
                encoder = wire_format(format).stream_encoder(wire_format(format).decode_request(body)[0])
                frames = [data for piece in _small(answer) if (data := encoder.feed(piece))]
                await connection.write(sse(*frames, encoder.end()))
            else:
                await connection.write(json_answer(wire_format(format).encode_response(answer)))

    def reply(self, request: Request) -> Reply:
        """The answer, as the offline model is told it."""
        answer = self.next_answer()
        usage = None if answer.usage.input_tokens is None else answer.usage
        reason = None if answer.finish_reason == "unknown" else answer.finish_reason
        return Reply(
            text=answer.text,
            reasoning=answer.reasoning,
            tool_calls=answer.tool_calls,
            finish_reason=reason,
            usage=usage,
        )


@asynccontextmanager
async def between(kind: str, **provider: Any) -> AsyncGenerator[tuple[Running, Provider]]:
    """A gateway whose model `fast` is served by a provider of this kind; `provider` are further settings of it."""
    served = Provider(kind)
    route = {"fast": {"route": ["main/m"], "retry": ONCE}}
    if kind == "offline":
        served.offline = OfflineTransport(served.reply)
        given = settings(providers={"main": {"kind": kind, **provider}}, models=route)
        async with gateway(given, transport=served.offline) as running:
            yield running, served
        return
    async with serve(served) as server:
        base = f"http://127.0.0.1:{server.port}" + ("" if kind in ("anthropic", "ollama") else "/v1")
        main = {"kind": kind, "base_url": base, "api_key": "sk-upstream", **provider}
        async with gateway(settings(providers={"main": main}, models=route)) as running:
            yield running, served


def _small(answer: Response) -> Iterable[Any]:
    """The pieces of an answer, its texts in smaller ones."""
    for piece in unfold(answer):
        if isinstance(piece, TextPiece) and len(piece.text) > 3:
            yield TextPiece(piece.text[:3], piece.index, piece.extra)
            yield TextPiece(piece.text[3:], piece.index)
        elif isinstance(piece, ThinkingPiece) and len(piece.thinking) > 3 and piece.signature is None:
            yield msgspec.structs.replace(piece, thinking=piece.thinking[:3])
            yield ThinkingPiece(piece.thinking[3:], piece.index)
        elif isinstance(piece, ToolCallPiece) and len(piece.arguments) > 3:
            yield msgspec.structs.replace(piece, arguments=piece.arguments[:3])
            yield ToolCallPiece(piece.index, arguments=piece.arguments[3:])
        else:
            yield piece


def _ollama(answer: Response, *, stream: bool) -> bytes:
    reason = "length" if answer.finish_reason == "length" else "stop"
    end = {
        "model": answer.model,
        "created_at": "2026-01-01T00:00:00Z",
        "done": True,
        "done_reason": reason,
        "prompt_eval_count": answer.usage.input_tokens,
        "eval_count": answer.usage.output_tokens,
    }
    calls = [
        {"id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    if not stream:
        message = {
            "role": "assistant",
            "content": answer.text,
            "thinking": answer.reasoning or None,
            "tool_calls": calls,
        }
        return json_answer({**end, "message": message})
    said: list[dict[str, Any]] = [{"content": "", "thinking": word} for word in answer.reasoning]
    said += [{"content": word} for word in answer.text]
    if calls:
        said.append({"content": "", "tool_calls": calls})
    lines = [{"model": answer.model, "message": {"role": "assistant", **one}, "done": False} for one in said]
    frames = [
        msgspec.json.encode(line) + b"\n"
        for line in [*lines, {**end, "message": {"role": "assistant", "content": ""}}]
    ]
    return sse(*frames).replace(b"text/event-stream", b"application/x-ndjson")
