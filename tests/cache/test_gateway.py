"""A cache around a route of the gateway: the same bytes again, for every format it passes on or translates."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.gateway.harness import KEY, to
from tests.gateway.inside import call
from tests.models.raw_server import Server, serve
from tests.models.upstreams import CHAT, CHAT_STREAM, frames, json_body, play, stream_head
from tidyllm.cache import AnswerCache
from tidyllm.config import Route, Routes
from tidyllm.gateway import Gateway, MasterKey

CHAT_BODY: dict[str, Any] = {"model": "fast", "messages": [{"role": "user", "content": "Hi"}]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": CHAT_BODY,
    "/v1/messages": {**CHAT_BODY, "max_tokens": 10},
    "/v1/responses": {"model": "fast", "input": "Hi"},
}


class Cached(Routes):
    """Routes with a cache around each."""

    caches: dict[str, AnswerCache]

    def find(self, name: str) -> Route:
        route = super().find(name)
        self.caches = getattr(self, "caches", {})
        cached = self.caches.setdefault(route.name, AnswerCache(route.step))
        return msgspec.structs.replace(route, step=cached)


def gateway(server: Server) -> Gateway:
    return Gateway(Cached(to(server)), authenticate=MasterKey(KEY))


def spelled(body: dict[str, Any]) -> bytes:
    """The same body in another spelling."""
    return msgspec.json.format(msgspec.json.encode(dict(reversed(body.items()))), indent=2)


@pytest.mark.parametrize("path", BODIES)
async def test_an_equal_request_gets_the_same_answer_and_nothing_is_sent(path: str) -> None:
    async with serve(play(json_body(CHAT))) as server:
        app = gateway(server)
        first = await call(app, msgspec.json.encode(BODIES[path]), path)
        again = await call(app, spelled(BODIES[path]), path)
        other = await call(app, msgspec.json.encode({**BODIES[path], "temperature": 0.1}), path)
    assert [one.status for one in (first, again, other)] == [200] * 3
    assert stable(again.json()) == stable(first.json())
    assert len(server.requests) == 2
    assert "x-tidyllm-attempts" not in again.headers


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_is_given_again_as_a_stream(path: str) -> None:
    body = msgspec.json.encode({**BODIES[path], "stream": True})
    async with serve(play(stream_head() + frames(*CHAT_STREAM))) as server:
        app = gateway(server)
        first, again = [await call(app, body, path) for _ in range(2)]
    assert len(server.requests) == 1
    assert again.headers["content-type"].startswith("text/event-stream")
    assert again.body.count(b"data:") == first.body.count(b"data:")
    if path == "/v1/chat/completions":
        assert again.body == first.body


def stable(value: Any) -> Any:
    """Without what an encoder draws anew for each answer."""
    return {
        name: item
        for name, item in value.items()
        if name not in ("created_at", "completed_at", "output", "id")
    }
