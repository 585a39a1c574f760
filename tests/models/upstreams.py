"""Answers of providers as bytes, and models that ask a server on the loopback. It knows shapes, not what is tested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tests.models.raw_server import Connection, Handler, Server, answer
from tidyllm.core import Context, Event
from tidyllm.models.catalog import Catalog
from tidyllm.models.factory import build
from tidyllm.models.forward import Forward
from tidyllm.models.model import Model
from tidyllm.models.provider import provider
from tidyllm.models.request import Request

__all__ = [
    "CHAT",
    "CHAT_STREAM",
    "MESSAGE",
    "Heard",
    "chat_chunk",
    "data",
    "forward",
    "frames",
    "json_body",
    "model_at",
    "named",
    "play",
    "stream_head",
]

CHAT: dict[str, Any] = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5-mini-2025-08-07",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
}
MESSAGE: dict[str, Any] = {
    "id": "m-1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 100},
}

PRICES = {
    "prices": {"input": "1", "output": "10"},
    "context_window_tokens": 10_000,
    "max_output_tokens": 1_000,
}
CATALOG = Catalog.default().with_({"up/priced": {**PRICES, "service": {"flex": "0.5"}}})


def model_at(server: Server, kind: str = "openai", name: str = "priced", **options: Any) -> Model:
    """The model `name` of a provider called `up`, which is the server. `priced` costs $1 and $10 a million tokens."""
    base = f"http://127.0.0.1:{server.port}" + ("" if kind in {"anthropic", "ollama"} else "/v1")
    settings = {key: options.pop(key) for key in ("headers", "formats") if key in options}
    service = provider(kind, name="up", base_url=base, api_key="sk-up", **settings)
    return build(name, service, catalog=CATALOG, own=("up/priced",), **options)


def json_body(value: Any, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer in JSON."""
    return answer(msgspec.json.encode(value), "content-type: application/json", *headers, status=status)


def data(value: Any) -> bytes:
    """One event without a name."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return f"data: {text}\n\n".encode()


def named(value: dict[str, Any]) -> bytes:
    """One event called like its type."""
    return f"event: {value['type']}\n".encode() + data(value)


def chat_chunk(text: str | None = None, *, finish: str | None = None) -> bytes:
    """One event of a chat stream."""
    delta = {} if text is None else {"content": text}
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data({"id": "c-1", "model": "gpt-5-mini-2025-08-07", "choices": choices})


CHAT_STREAM = (
    chat_chunk("Hel"),
    chat_chunk("lo."),
    chat_chunk(finish="stop"),
    data({"id": "c-1", "model": "gpt-5-mini-2025-08-07", "choices": [], "usage": CHAT["usage"]}),
    data("[DONE]"),
)


def stream_head(*headers: str, kind: str = "text/event-stream") -> bytes:
    """The head of a stream; `frames` follow."""
    lines = ("HTTP/1.1 200 OK", f"content-type: {kind}", "transfer-encoding: chunked", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def frames(*parts: bytes, end: bool = True) -> bytes:
    """Parts of a chunked body; without `end` it goes on, or was cut."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + (b"0\r\n\r\n" if end else b"")


def play(*answers: bytes) -> Handler:
    """Answers requests in order, the last answer for ever, and hangs up after one whose framing has no end."""
    left = list(answers)

    async def handler(connection: Connection) -> None:
        while True:
            await connection.request()
            raw = left.pop(0) if len(left) > 1 else left[0]
            await connection.write(raw)
            if b"chunked" in raw[:200] and not raw.endswith(b"0\r\n\r\n"):
                return

    return handler


def forward(
    body: bytes,
    format: str = "openai_chat",
    *,
    stream: bool = False,
    decode: Callable[[], Request] | None = None,
) -> Forward:
    """A caller's own request."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return Forward(format, fields, stream, decode or (lambda: Request("Hi")))


class Heard:
    """A hook that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def context(self) -> Context:
        """A new root that tells its events here."""
        return Context.new(hooks=(self,))

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, in order."""
        return [event for event in self.events if isinstance(event, kind)]
