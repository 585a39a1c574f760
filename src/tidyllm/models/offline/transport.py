"""The offline model: a simulated provider that speaks OpenAI's chat format without a socket.

It stands where the network would, so that everything above it is the real thing: encoding, decoding, streams, errors.
It asks nobody: answers come from a script, or from rules in `answers.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, TypeAlias, cast

import msgspec

from tidyllm import clock
from tidyllm.errors import BadRequest, StepError, Unreachable
from tidyllm.models.fold import unfold
from tidyllm.models.formats import wire_format
from tidyllm.models.http import HTTPAnswer, HTTPCall
from tidyllm.models.message import Part, Text, Thinking
from tidyllm.models.offline.answers import answer, usage_of
from tidyllm.models.offline.reply import Reply
from tidyllm.models.piece import Piece, TextPiece, ThinkingPiece
from tidyllm.models.request import Request
from tidyllm.models.response import Response

__all__ = ["OfflineTransport", "Script"]

Script: TypeAlias = Reply | str | Iterable[Reply | str] | Callable[[Request], Reply | str]
"""One reply, replies in order, or a function of the request. Text is short for `Reply(text=…)`."""

_CREATED = 1_750_000_000
"""When every simulated answer was made, in seconds since 1970: the same request has the same answer."""


class OfflineTransport:
    """Answers every call by itself, from a script; where there is none, or after its end, by the rules of `answers.py`.

    `requests` holds the requests that came, in order, for tests to look at.
    """

    def __init__(self, script: Script = (), *, keep: int = 1_000, ends: bool = False) -> None:
        """`keep`: how many requests `requests` holds at most; older ones are forgotten. `ends`: a call after the end of
        the script is an error of the test (`StepError`), instead of being answered by the rules."""
        if isinstance(script, Reply | str):
            script = (script,)
        self._function = script if callable(script) else None
        self._replies = iter(()) if callable(script) else iter(script)
        self._keep = keep
        self._ends = ends
        self._calls = 0
        self.requests: list[Request] = []

    async def send(self, call: HTTPCall) -> HTTPAnswer:
        """See `Transport.send`."""
        body: dict[str, Any] = msgspec.json.decode(call.body)
        path = call.url.partition("?")[0]
        if path.endswith("/embeddings"):
            return _answer(_embeddings(body))
        if path.endswith("/count_tokens"):
            return _counted(body)
        format = wire_format("openai_chat")
        try:
            request, stream = format.decode_request(body)
        except BadRequest as error:
            status, told = format.encode_error(error)
            return _answer(told, status)
        if self._keep:
            self.requests.append(request)
            del self.requests[: -self._keep]
        reply = self._reply(request)
        if reply.delay:
            await clock.sleep(reply.delay)
        if reply.unreachable:
            raise _refused()
        if reply.garbage is not None:
            kind = reply.content_type or (_EVENTS if stream else _JSON)
            return _Answer(200, {"content-type": kind}, _once(reply.garbage))
        if reply.status != 200:
            return _error(reply)
        response = _response(request, reply)
        if stream:
            headers = {"content-type": reply.content_type or _EVENTS, **_ID}
            return _Answer(200, headers, _events(request, response, reply))
        if reply.stall_after is not None:
            await asyncio.Event().wait()
        whole = format.encode_response(response)
        headers = {**_HEADERS, "content-type": reply.content_type or _JSON}
        source = _once(msgspec.json.encode(whole)) if reply.cut_after is None else _cut(whole)
        return _Answer(200, headers, source)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _reply(self, request: Request) -> Reply:
        self._calls += 1
        given = self._function(request) if self._function else next(self._replies, None)
        if given is None and self._ends:
            raise StepError(
                f"the script has {self._calls - 1} replies, and call {self._calls} has come.",
                hint="Give more replies, or a function of the request.",
            )
        if given is None:
            return answer(request)
        return Reply(text=given) if isinstance(given, str) else given


class _Answer(HTTPAnswer):
    __slots__ = ("_source",)

    def __init__(self, status: int, headers: Mapping[str, str], source: AsyncGenerator[bytes, None]) -> None:
        super().__init__(status, headers)
        self._source = source

    async def receive(self) -> bytes:
        return await anext(self._source, b"")

    async def aclose(self) -> None:
        await self._source.aclose()


_JSON = "application/json"
_EVENTS = "text/event-stream"
_ID = {"x-request-id": "req_simulated"}
_HEADERS = {"content-type": _JSON, **_ID}


def _answer(body: dict[str, Any], status: int = 200) -> HTTPAnswer:
    return _Answer(status, _HEADERS, _once(msgspec.json.encode(body)))


def _refused() -> Unreachable:
    error = Unreachable("simulated: the connection was refused.", hint="The offline model was told to do so.")
    error.sent = False
    return error


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body


async def _cut(whole: dict[str, Any]) -> AsyncGenerator[bytes, None]:
    body = msgspec.json.encode(whole)
    yield body[: len(body) // 2]
    raise Unreachable("simulated: the connection broke in the middle of the answer.")


async def _events(request: Request, response: Response, reply: Reply) -> AsyncGenerator[bytes, None]:
    encoder = wire_format("openai_chat").stream_encoder(request)
    for number, piece in enumerate(_words(unfold(response))):
        if reply.cut_after is not None and number >= reply.cut_after:
            raise Unreachable("simulated: the connection broke in the middle of the answer.")
        if reply.stall_after is not None and number >= reply.stall_after:
            await asyncio.Event().wait()
        if number and reply.piece_delay:
            await clock.sleep(reply.piece_delay)
        if data := encoder.feed(piece):
            yield data
    yield encoder.end()


def _words(pieces: list[Piece]) -> Iterable[Piece]:
    """The same pieces with text and reasoning cut into words, as a model would send them."""
    for piece in pieces:
        if isinstance(piece, TextPiece) and piece.text:
            for word in _split(piece.text):
                yield TextPiece(word, piece.index)
        elif isinstance(piece, ThinkingPiece) and piece.thinking:
            for word in _split(piece.thinking):
                yield ThinkingPiece(word, piece.index)
        else:
            yield piece


def _split(text: str) -> list[str]:
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + [words[-1]]


def _response(request: Request, reply: Reply) -> Response:
    content: list[Part] = []
    if reply.reasoning:
        content.append(Thinking(text=reply.reasoning))
    if reply.text:
        content.append(Text(text=reply.text))
    for place, call in enumerate(reply.tool_calls):
        made = f"call_{len(request.turns)}_{place}"  # no other call of this conversation has it
        content.append(call if call.id else msgspec.structs.replace(call, id=made))
    # The same request has the same id: nothing here is random.
    digest = sha256(msgspec.json.encode([turn.text for turn in request.turns])).hexdigest()[:24]
    return Response(
        content=tuple(content),
        finish_reason=reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop"),
        usage=reply.usage or usage_of(request, reply),
        model=request.model or "simulated",
        id=f"chatcmpl-simulated-{digest}",
        extra={"created": _CREATED},
    )


def _error(reply: Reply) -> HTTPAnswer:
    headers = dict(_HEADERS)
    if reply.retry_after is not None:
        headers["retry-after"] = f"{reply.retry_after:g}"
    if reply.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if reply.status >= 500 else "invalid_request_error"
    error = {"error": {"message": reply.message, "type": kind, "param": None, "code": None}}
    return _Answer(reply.status, headers, _once(msgspec.json.encode(error)))


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    """Eight numbers from the digest of each text: equal texts have equal vectors, and that is all they mean."""
    given: object = body.get("input")
    texts: list[object] = cast("list[object]", given) if isinstance(given, list) else [cast("object", given)]
    if all(isinstance(one, int) for one in texts):
        texts = [str(texts)]  # one text, in tokens
    vectors: list[list[float]] = []
    for text in texts:
        digest = sha256(str(text).encode()).digest()
        numbers = [byte / 127.5 - 1.0 for byte in digest[:8]]
        length = sum(n * n for n in numbers) ** 0.5 or 1.0
        vectors.append([n / length for n in numbers])
    tokens = sum(-(-len(str(text).encode()) // 4) for text in texts)
    data = [
        {"object": "embedding", "index": index, "embedding": _vector(vector, body.get("encoding_format"))}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": body.get("model", "simulated"), "usage": usage}


def _counted(body: dict[str, Any]) -> HTTPAnswer:
    """As many tokens as the usage of an answer would say: a simulated number, and the same wherever it is asked for."""
    format = wire_format("anthropic")
    try:
        request, _ = format.decode_request({"max_tokens": 1, **body})
    except BadRequest as error:
        status, told = format.encode_error(error)
        return _answer(told, status)
    return _answer({"input_tokens": usage_of(request, Reply()).input_tokens})


def _vector(vector: list[float], encoding: Any) -> Any:
    if encoding != "base64":
        return vector
    import base64
    import struct

    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
