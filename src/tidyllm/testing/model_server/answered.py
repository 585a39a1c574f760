"""A `Reply` to the `Response` that is written to the wire. It knows counts and ids, and neither wire format."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

import msgspec

from tidyllm.models.message import Part, Text, Thinking, ToolCall, ToolResult
from tidyllm.models.offline.reply import Reply
from tidyllm.models.request import Request
from tidyllm.models.response import Response, Usage

__all__ = ["CREATED", "respond", "words"]

CREATED = 1_750_000_000
"""When every answer was made, in seconds since 1970: the same request has the same answer, down to its bytes."""

_BYTES = 4


def respond(request: Request, reply: Reply) -> Response:
    """What `reply` is as an answer to `request`: calls have ids, usage is counted, the caller's cap is kept.

    A cap cuts text only. Ids of calls name the turn, so that no other call of a conversation has the same.
    """
    text, finish = reply.text, reply.finish_reason
    most = request.max_output_tokens
    if most is not None and len(text.encode()) > most * _BYTES:
        text = text.encode()[: most * _BYTES].decode(errors="ignore")
        finish = finish or "length"
    content: list[Part] = []
    if reply.reasoning:
        content.append(Thinking(text=reply.reasoning))
    if text:
        content.append(Text(text=text))
    for place, call in enumerate(reply.tool_calls):
        made = f"call_{len(request.turns)}_{place}"
        content.append(call if call.id else msgspec.structs.replace(call, id=made))
    turns = [list(_texts(turn.parts)) for turn in request.turns]
    return Response(
        content=tuple(content),
        finish_reason=finish or ("tool_calls" if reply.tool_calls else "stop"),
        usage=reply.usage or _usage(request, content),
        model=request.model,
        id=f"chatcmpl-scripted-{sha256(msgspec.json.encode(turns)).hexdigest()[:24]}",
    )


def words(text: str) -> list[str]:
    """The text in the pieces of a stream: word by word, and no more than about 2,000 pieces."""
    if not text:
        return []
    size = 1 + text.count(" ") // 2_000
    parts = text.split(" ")
    joined = [" ".join(parts[start : start + size]) for start in range(0, len(parts), size)]
    return [f"{each} " for each in joined[:-1]] + joined[-1:]


def _usage(request: Request, content: list[Part]) -> Usage:
    """One token for every four bytes of all that was sent, and at least one for every word, as with any tokenizer."""
    sent = (
        [request.system] if isinstance(request.system, str) else [part.text for part in request.system or ()]
    )
    sent += [text for turn in request.turns for text in _texts(turn.parts)]
    sent += [msgspec.json.encode(tool).decode() for tool in request.tools]
    thought = [part.text for part in content if isinstance(part, Thinking)]
    return Usage(
        input_tokens=sum(map(_tokens, sent)) + 4 * len(request.turns),
        output_tokens=sum(map(_tokens, _texts(tuple(content)))),
        reasoning_tokens=sum(map(_tokens, thought)) if thought else None,
    )


def _tokens(text: str) -> int:
    return max(-(-len(text.encode(errors="replace")) // _BYTES), len(text.split()))


def _texts(parts: tuple[Part, ...]) -> Iterator[str]:
    for part in parts:
        match part:
            case Text() | Thinking():
                yield part.text
            case ToolCall():
                yield part.name
                yield part.raw_arguments or msgspec.json.encode(part.arguments).decode()
            case ToolResult(content=str(text)):
                yield text
            case ToolResult(content=tuple(inner)):
                yield from _texts(inner)
            case _:
                pass
