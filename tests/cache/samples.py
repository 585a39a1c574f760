"""Requests and caches to test with. It knows shapes, not what is tested."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from tests.models.upstreams import CHAT, CHAT_STREAM, Heard, forward, frames, json_body, stream_head
from tests.shared_data import exchanges
from tidyllm.core import CacheLookup, Context
from tidyllm.models.forward import Forward

__all__ = [
    "CHAT_ANSWER", "CHAT_PIECES", "ask", "asked", "bodies", "json_values", "listened", "lookups", "run", "stream",
]  # fmt: skip

CHAT_ANSWER = json_body(CHAT)
CHAT_PIECES = stream_head() + frames(*CHAT_STREAM)

_FORMATS = {
    "/chat/completions": "openai_chat",
    "/responses": "openai_responses",
    "/messages": "anthropic",
    "/embeddings": "openai_embeddings",
}


def asked(body: Any = None, format: str = "openai_chat", *, stream: bool = False, **fields: Any) -> Forward:
    """A caller's own request."""
    base: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}
    whole = {**(base if body is None else body), **fields}
    return forward(msgspec.json.encode({**whole, "stream": True} if stream else whole), format, stream=stream)


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Recorded requests of formats that are passed on, with the format's name; small ones, each once."""
    seen: set[bytes] = set()
    for kind in ("openai_chat", "openai_responses", "anthropic_messages", "openai_embeddings"):
        for exchange in exchanges(kind):
            body: Any = exchange["request"]
            format = next((name for path, name in _FORMATS.items() if exchange["path"].endswith(path)), None)
            raw = msgspec.json.encode(body)
            if format is not None and isinstance(body, dict) and len(raw) < 20_000 and raw not in seen:
                seen.add(raw)
                yield format, cast("dict[str, Any]", body)


def json_values(
    value: Any, put: Callable[[Any], Any] = lambda new: new
) -> Iterator[tuple[Any, Callable[[Any], Any]]]:
    """Every value inside a JSON value, with a function that makes the whole anew with another one in its place."""
    yield value, put
    if isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            yield from json_values(item, lambda new, name=name: put({**value, name: new}))
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        for place, item in enumerate(items):
            yield from json_values(
                item, lambda new, place=place: put([*items[:place], new, *items[place + 1 :]])
            )


def run(**tags: str) -> Context:
    """A run with tags: `control`, `tenant`, or any."""
    names = {"control": "tidyllm.cache-control", "tenant": "tidyllm.tenant"}
    return Context.new(tags={names.get(name, name): value for name, value in tags.items()})


def listened(**tags: str) -> tuple[Context, Heard]:
    """A run with tags, and the hook that hears it."""
    heard = Heard()
    names = {"control": "tidyllm.cache-control", "tenant": "tidyllm.tenant"}
    return Context.new(
        hooks=(heard,), tags={names.get(name, name): value for name, value in tags.items()}
    ), heard


def lookups(heard: Heard) -> list[str]:
    """The outcomes that a hook heard of."""
    return [event.outcome for event in heard.of(CacheLookup)]


async def ask(step: Any, x: Any, ctx: Context | None = None) -> Any:
    """The answer of a step to anything."""
    return await step(x, ctx)


async def stream(step: Any, x: Any, ctx: Context | None = None) -> list[Any]:
    """All pieces of a step's answer."""
    return [piece async for piece in step.stream(x, ctx)]
