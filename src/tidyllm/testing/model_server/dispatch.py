"""From a request over HTTP to an answer by a behaviour, faults included. It knows paths and dialects, no threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tidyllm import clock
from tidyllm.errors import BadRequest
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.models.response import Response
from tidyllm.testing.model_server import ollama, openai
from tidyllm.testing.model_server.answered import respond
from tidyllm.testing.model_server.asked import Asked, Dialect
from tidyllm.testing.model_server.connection import Connection, HTTPRequest
from tidyllm.testing.model_server.log import RequestLog

__all__ = ["Dispatch"]

_CHATS: dict[str, Dialect] = {
    "/v1/chat/completions": "openai",
    "/chat/completions": "openai",
    "/api/chat": "ollama",
}


class Dispatch:
    """Answers requests by `behaviour`. What it raises is kept in `faults` and answered with status 500."""

    def __init__(
        self, behaviour: Callable[[Request], Reply], log: RequestLog, names: tuple[str, ...], *, tools: bool
    ) -> None:
        self._behaviour = behaviour
        self._log = log
        self._names = names
        self._tools = tools
        self.faults: list[Exception] = []

    async def serve(self, connection: Connection) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while await self._one(connection, await connection.request()):
                pass
        except (EOFError, ConnectionError, ValueError):
            pass  # the client has left, or does not speak HTTP
        finally:
            connection.close()

    async def _one(self, connection: Connection, got: HTTPRequest) -> bool:
        """Whether the connection goes on."""
        dialect = _CHATS.get(got.path)
        if dialect is None or got.method != "POST":
            status, body = self._listing(got)
            await connection.answer(body, status=status)
            return True
        wire = openai if dialect == "openai" else ollama
        try:
            asked = self._read(got, dialect)
        except BadRequest as error:
            await connection.answer(wire.error(Reply(status=400, message=str(error))), status=400)
            return True
        self._log.add(asked)
        if asked.request.tools and not self._tools:
            message = f"registry.ollama.ai/library/{asked.model} does not support tools"
            await connection.answer(wire.error(Reply(status=400, message=message)), status=400)
            return True
        try:
            reply = self._behaviour(asked.request)
        except Exception as error:  # noqa: BLE001 - the test hears of it when the server is left
            self.faults.append(error)
            reply = Reply(status=500, message=f"the behaviour raised {error!r}")
        return await _answer(connection, asked, reply)

    def _read(self, got: HTTPRequest, dialect: Dialect) -> Asked:
        try:
            body = msgspec.json.decode(got.body, type=dict[str, Any])
        except msgspec.MsgspecError as exc:
            raise BadRequest(f"the body is no JSON object: {exc}") from exc
        except RecursionError as exc:
            raise BadRequest("the body is nested too deep.") from exc
        request, stream, usage = (openai if dialect == "openai" else ollama).read(body)
        return Asked(
            number=self._log.next_number(),
            dialect=dialect,
            path=got.path,
            body=body,
            request=request,
            stream=stream,
            include_usage=usage,
            authorization="authorization" in got.headers,
        )

    def _listing(self, got: HTTPRequest) -> tuple[int, dict[str, Any] | bytes]:
        match got.method, got.path:
            case "GET", "/":
                return 200, b'"Ollama is running"'
            case "GET", "/v1/models" | "/models":
                return 200, openai.models(self._names)
            case "GET", "/api/tags":
                return 200, ollama.tags(self._names)
            case "GET", "/api/version":
                return 200, {"version": "0.13.0"}
            case "POST", "/api/show":
                return 200, ollama.show(tools=self._tools)
            case "GET", "/requests":  # ours: for a test whose server is another process
                return 200, {"count": len(self._log.kept), "bodies": [each.body for each in self._log.kept]}
            case method, path:
                return 404, {
                    "error": {"message": f"nothing answers {method} {path} here.", "type": "not_found"}
                }


async def _answer(connection: Connection, asked: Asked, reply: Reply) -> bool:
    wire = openai if asked.dialect == "openai" else ollama
    if reply.delay:
        await clock.sleep(reply.delay)
    if reply.unreachable:
        connection.reset()
        return False
    if reply.status != 200:
        after = {} if reply.retry_after is None else {"retry-after": f"{reply.retry_after:g}"}
        await connection.answer(wire.error(reply), status=reply.status, headers=after)
        return True
    kind = reply.content_type or _kind(asked)
    if reply.garbage is not None:
        await connection.answer(reply.garbage, headers={"content-type": kind})
        return True
    response = respond(asked.request, reply)
    if asked.stream:
        connection.head(200, {"content-type": kind, "transfer-encoding": "chunked"})
        return await _stream(connection, _pieces(asked, response), reply)
    if reply.stall_after is not None:
        await connection.left()
        return False
    whole = msgspec.json.encode(wire.whole(response))
    if reply.cut_after is None:
        await connection.answer(whole, headers={"content-type": kind})
        return True
    connection.head(200, {"content-type": kind, "content-length": str(len(whole))})
    await connection.raw(whole[: len(whole) // 2])
    connection.reset()
    return False


async def _stream(connection: Connection, pieces: Iterator[bytes], reply: Reply) -> bool:
    for number, piece in enumerate(pieces):
        if number == reply.cut_after:
            connection.reset()
            return False
        if number == reply.stall_after:
            await connection.left()
            return False
        if number and reply.piece_delay:
            await clock.sleep(reply.piece_delay)
        await connection.chunk(piece)
    await connection.chunk(b"")
    return True


def _pieces(asked: Asked, response: Response) -> Iterator[bytes]:
    if asked.dialect == "openai":
        return openai.events(response, include_usage=asked.include_usage)
    return ollama.lines(response, include_usage=asked.include_usage)


def _kind(asked: Asked) -> str:
    if not asked.stream:
        return "application/json"
    return "text/event-stream" if asked.dialect == "openai" else "application/x-ndjson"
