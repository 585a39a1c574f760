"""A whole answer of Anthropic's to a `Response` and back. It knows nothing of requests or streams."""

from __future__ import annotations

from typing import Any, Final

from tidyllm.errors import BadAnswer, Unsupported
from tidyllm.models.anthropic.decode_blocks import decode_blocks
from tidyllm.models.anthropic.encode_blocks import is_redacted
from tidyllm.models.anthropic.errors import is_error, stream_error
from tidyllm.models.anthropic.fields import FORMAT
from tidyllm.models.anthropic.stops import finish_reason, stop_reason
from tidyllm.models.anthropic.usage import decode_usage, encode_usage
from tidyllm.models.checks import Misfit, is_object, text_in
from tidyllm.models.ids import new_id
from tidyllm.models.loans import loan
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.response import Response

__all__ = [
    "answer_block",
    "answer_extra",
    "decode_answer_blocks",
    "decode_response",
    "encode_response",
    "lent_block",
]

_FIELDS = frozenset({"content", "id", "model", "role", "stop_reason", "type", "usage"})

_EXTRA: Final = (
    "container",
    "context_management",
    "diagnostics",
    "input_transformations",
    "stop_details",
    "stop_sequence",
)
"""Fields of an answer that we keep in `extra` and that no other format has."""


def decode_response(body: dict[str, Any]) -> Response:
    """:raises BadAnswer: the body is no message.
    :raises ModelError: the body is an error, though its status was good.
    """
    if is_error(body):
        raise stream_error(body)
    content: object = body.get("content")
    if not isinstance(content, list):
        raise BadAnswer("the answer has no array `content`; expected a message in Anthropic's format.")
    raw: object = body.get("stop_reason")
    reason = raw if isinstance(raw, str) else None
    return Response(
        content=decode_answer_blocks(body["content"]),
        finish_reason=finish_reason(reason),
        finish_reason_raw=reason,
        usage=decode_usage(body.get("usage")),
        model=text_in(body, "model"),
        id=text_in(body, "id"),
        raw=body,
        extra={key: value for key, value in body.items() if key not in _FIELDS and value is not None},
        format=FORMAT,
    )


def decode_answer_blocks(blocks: list[Any]) -> tuple[Part, ...]:
    """The parts of an answer. Null fields (`citations`) are left out: they say nothing.

    :raises BadAnswer: a block is none.
    """
    plain = [
        {key: value for key, value in block.items() if value is not None} if is_object(block) else block
        for block in blocks
    ]
    try:
        return decode_blocks(plain, "content")
    except Misfit as misfit:
        raise misfit.answer() from None


def encode_response(response: Response, asked: object = None) -> dict[str, Any]:
    """The body for a caller who speaks this format, also for an answer of another provider.

    :raises Unsupported: the answer holds a picture, sound or file, which this format has no block for.
    :raises BadAnswer: the arguments of a tool call are no JSON object, which this format cannot show.
    """
    own = response.format == FORMAT
    blocks = [answer_block(part, f"content[{index}]", own=own) for index, part in enumerate(response.content)]
    return {
        "id": response.id or new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": [block for block in blocks if block is not None],
        "stop_reason": stop_reason(
            response.finish_reason, response.finish_reason_raw, calls_tools=bool(response.tool_calls), own=own
        ),
        "stop_sequence": None,
        "usage": encode_usage(response.usage),
        **answer_extra(response.extra, own=own),
    }


def answer_block(part: Part, where: str, *, own: bool) -> dict[str, Any] | None:
    """The block for a part of an answer; None for what only the provider that made it can read.

    `own`: the answer came from Anthropic, so that `extra` holds fields of this format.

    :raises Unsupported: this format has no block for it.
    :raises BadAnswer: the arguments of a tool call are no JSON object.
    """
    extra = part.extra if own else {}
    match part:
        case Text():
            if not part.text and not own:
                return None  # Anthropic would refuse it when it comes back with the conversation
            return {"type": "text", "text": part.text, **extra}
        case ToolCall():
            if not part.valid:
                shown = f"{part.raw_arguments[:80]!r}"
                raise BadAnswer(f"the model called {part.name!r} with {shown}, which is no JSON object.")
            head = {"type": "tool_use", "id": part.id or new_id("toolu_"), "name": part.name}
            return {**head, "input": part.arguments, **extra}
        case Thinking() if not own:
            return lent_block(part)
        case Thinking() if is_redacted(part):
            return {"type": "redacted_thinking", "data": part.encrypted, **extra}
        case Thinking():
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or "", **extra}
        case Opaque():
            return part.data if part.format == "anthropic" else None
        case _:
            kind = type(part).__name__
            raise Unsupported(where, format="anthropic", why=f"its answers hold no {kind}")


def lent_block(part: Thinking) -> dict[str, Any] | None:
    """The block for another provider's reasoning, which wants it back: what it needs is a loan (see `loans.py`)."""
    if part.text:
        return {"type": "thinking", "thinking": part.text, "signature": loan(part)}
    if part.signature or part.encrypted:
        return {"type": "redacted_thinking", "data": loan(part)}
    return None


def answer_extra(extra: dict[str, Any], *, own: bool) -> dict[str, Any]:
    """The fields of an answer beside the common ones: all of Anthropic's own, known ones of others."""
    return extra if own else {key: extra[key] for key in _EXTRA if key in extra}
