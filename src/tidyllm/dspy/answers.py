"""Our answer as DSPy's canonical response, and our pieces as its events. It calls nothing.

What an answer cost, and whether it was kept, travels in `provider_data["tidyllm"]`: DSPy has no other place for it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, cast

import msgspec
from dspy import lm15

from tidyllm.dspy.questions import OURS
from tidyllm.errors import BadAnswer
from tidyllm.models.message import Image, Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.piece import Piece, TextPiece, ThinkingPiece, ToolCallPiece, WholePart
from tidyllm.models.response import FinishReason, Response, Usage

__all__ = ["answer", "bill", "delta", "end", "events"]

_FINISH: dict[FinishReason, Any] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "refused": "content_filter",
    "paused": "stop",
    "error": "error",
    "unknown": "stop",
}


def answer(response: Response, asked: lm15.Request) -> lm15.Response:
    """The same answer; `asked` names the model where the answer does not."""
    parts: list[Any] = []
    logprobs: list[Any] = []
    for part in response.content:
        _add(part, parts)
        if isinstance(part, Text) and "logprobs" in part.extra:
            logprobs += part.extra["logprobs"]
    return lm15.Response(
        id=response.id or None,
        model=response.model or asked.model,
        message=lm15.Message("assistant", tuple(parts) or (lm15.TextPart(""),)),
        finish_reason=_finish(response, parts),
        usage=_usage(response),
        logprobs=_logprobs(logprobs) if logprobs else None,
        provider_data=bill(response),
    )


def bill(response: Response) -> dict[str, Any]:
    """What DSPy's history is told of it: dollars as text, exact; None where they are unknown."""
    cost, saved = response.cost_usd, response.saved_usd
    told: dict[str, Any] = {
        "cost_usd": None if cost is None else str(cost),
        "cached": response.cached,
        "provider": response.provider,
        "request_id": response.request_id,
    }
    if saved is not None:
        told["saved_usd"] = str(saved)
    if response.dropped:
        told["dropped"] = list(response.dropped)
    return {OURS: told}


def _finish(response: Response, parts: list[Any]) -> Any:
    if any(part.type == "tool_call" for part in parts):
        return "tool_call"
    return _FINISH[response.finish_reason]


def _usage(response: Response) -> lm15.Usage:
    """Of a kept answer: none. Nothing was sent, and who adds up tokens must not count them again."""
    if response.cached:
        return lm15.Usage()
    of: Usage = response.usage
    written = (of.cache_write_5m_tokens, of.cache_write_1h_tokens)
    return lm15.Usage(
        input_tokens=of.input_tokens,
        output_tokens=of.output_tokens,
        total_tokens=of.total_tokens,
        cache_read_tokens=of.cache_read_tokens,
        cache_write_tokens=None if written == (None, None) else sum(one or 0 for one in written),
        reasoning_tokens=of.reasoning_tokens,
        input_audio_tokens=of.audio_input_tokens,
        output_audio_tokens=of.audio_output_tokens,
    )


def _add(part: Part, parts: list[Any]) -> None:
    match part:
        case Text():
            if part.text:
                parts.append(lm15.TextPart(part.text))
            parts += _citations(part.extra.get("annotations"))
        case Thinking():
            state = _state(part.signature, part.encrypted, part.id)
            if part.text or state:
                kept = (lm15.ContinuationState(OURS, "thinking", state),) if state else ()
                parts.append(lm15.ThinkingPart(part.text, continuation=kept))
        case ToolCall():
            if not part.name:
                raise BadAnswer("the answer calls a tool without a name.")
            parts.append(lm15.ToolCallPart(part.id or f"call_{len(parts)}", part.name, _arguments(part)))
        case Image():
            data = None if part.data is None else base64.b64encode(part.data).decode()
            kind = part.media_type or "image/png"
            parts.append(lm15.ImagePart(kind, data, part.url, part.file_id))
        case Opaque(data={"type": "refusal", "refusal": str(words)}) if words:
            parts.append(lm15.RefusalPart(words))
        case _:
            pass  # what only its own provider understands; the conversation of a program has no use for it


def _arguments(call: ToolCall) -> dict[str, Any]:
    """The arguments; what is no JSON object under the names that DSPy's own engine has for it."""
    if call.valid:
        return dict(call.arguments)
    try:
        return {"value": msgspec.json.decode(call.raw_arguments)}
    except (msgspec.DecodeError, RecursionError):
        return {"partial_json": call.raw_arguments}


def _state(signature: str | None, encrypted: str | None, id: str | None) -> dict[str, Any]:
    held = {"signature": signature, "encrypted": encrypted, "id": id}
    return {name: value for name, value in held.items() if value is not None}


def _citations(annotations: Any) -> list[Any]:
    found: list[Any] = []
    for one in cast("list[Any]", annotations) if isinstance(annotations, list) else ():
        cited: Any = cast("dict[str, Any]", one).get("url_citation") if isinstance(one, dict) else None
        if isinstance(cited, dict):
            held = cast("dict[str, Any]", cited)
            url, title = held.get("url"), held.get("title")
            if url or title:
                found.append(lm15.CitationPart(url=url or None, title=title or None))
    return found


def _logprobs(tokens: list[Any]) -> tuple[Any, ...]:
    return tuple(
        lm15.TokenLogprob(
            token=one["token"],
            logprob=one["logprob"],
            bytes=_raw(one),
            top=tuple(
                lm15.TopLogprob(token=top["token"], logprob=top["logprob"], bytes=_raw(top))
                for top in one.get("top_logprobs") or ()
            ),
        )
        for one in tokens
    )


def _raw(token: dict[str, Any]) -> tuple[int, ...] | None:
    held = token.get("bytes")
    return None if held is None else tuple(held)


# -- streams


def delta(piece: Piece) -> Iterator[Any]:
    """The deltas of one piece; those that announce or end an answer have none."""
    match piece:
        case TextPiece():
            tokens = piece.extra.get("logprobs")
            if piece.text or tokens:
                known = _logprobs(tokens) if tokens else ()
                yield lm15.TextDelta(piece.text, piece.index, known)
            for one in _citations(piece.extra.get("annotations")):
                yield lm15.CitationDelta(url=one.url, title=one.title, part_index=piece.index)
        case ThinkingPiece():
            if piece.thinking:
                yield lm15.ThinkingDelta(piece.thinking, piece.index)
            if state := _state(piece.signature, piece.encrypted, piece.id):
                yield lm15.ContinuationDelta(OURS, "thinking", state, piece.index)
        case ToolCallPiece():
            yield lm15.ToolCallDelta(piece.arguments, piece.index, piece.id or None, piece.name or None)
        case WholePart():
            yield from _whole(piece.part, piece.index)
        case _:
            pass


def _whole(part: Part, index: int) -> Iterator[Any]:
    match part:
        case Text():
            yield lm15.TextDelta(part.text, index)
        case Thinking():
            yield lm15.ThinkingDelta(part.text, index)
            if state := _state(part.signature, part.encrypted, part.id):
                yield lm15.ContinuationDelta(OURS, "thinking", state, index)
        case ToolCall():
            yield lm15.ToolCallDelta(part.raw_arguments, index, part.id or f"call_{index}", part.name)
        case Image():
            data = None if part.data is None else base64.b64encode(part.data).decode()
            yield lm15.ImageDelta(data, part.url, part.file_id, index, part.media_type)
        case _:
            pass


def end(response: Response) -> Any:
    """The last event of a stream that made up this answer."""
    calls = any(isinstance(part, ToolCall) for part in response.content)
    reason = "tool_call" if calls else _FINISH[response.finish_reason]
    return lm15.StreamEndEvent(finish_reason=reason, usage=_usage(response), provider_data=bill(response))


def events(response: Response, asked: lm15.Request) -> Iterator[Any]:
    """A whole answer as events, for steps that give theirs at once."""
    yield lm15.StreamStartEvent(id=response.id or None, model=response.model or asked.model)
    for index, part in enumerate(response.content):
        for one in _whole(part, index):
            yield lm15.StreamDeltaEvent(one)
    yield end(response)
