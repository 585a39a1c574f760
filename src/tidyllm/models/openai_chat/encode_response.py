"""A `Response` to the body of an answer, for a caller who speaks this format. It knows nothing of streams and HTTP.

Reasoning goes out as `reasoning_content`, which most clients know; where it has a signature or encrypted text, which a
caller must send back, also as `reasoning_details`. Items that only the provider's own format can express (tools which
it ran itself) have no place here and are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from tidyllm import clock
from tidyllm.models.checks import is_object
from tidyllm.models.ids import new_id
from tidyllm.models.message import Opaque, Part, Text, Thinking, ToolCall
from tidyllm.models.openai_chat.marks import FORMAT, mark_of
from tidyllm.models.openai_chat.reasoning import DETAILS, detail_of, lent
from tidyllm.models.openai_chat.tool_calls import arguments_text
from tidyllm.models.openai_chat.usage import encode_usage
from tidyllm.models.openai_chat.words import finish_word
from tidyllm.models.response import Response

__all__ = [
    "annotations_of",
    "answer_id",
    "call_body",
    "detail_type",
    "details_of",
    "encode_response",
    "head_fields",
    "refusal_of",
]


def encode_response(response: Response, asked: object = None) -> dict[str, Any]:
    """The body. What a caller needs and nobody said (id, time, ids of calls) is filled in."""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls = [call_body(part) for part in response.tool_calls]
    texts = [part for part in response.content if isinstance(part, Text)]
    refusals = [words for part in response.content if (words := refusal_of(part)) is not None]
    if texts or not (calls or refusals):
        message["content"] = response.text
    if refusals:
        message["refusal"] = "".join(refusals)
    if sources := [note for part in texts for note in annotations_of(part.extra)]:
        message["annotations"] = sources
    if response.reasoning:
        message["reasoning_content"] = response.reasoning
    if details := details_of(response.content):
        message[DETAILS] = details
    for part in response.content:
        if isinstance(part, Opaque) and part.format == FORMAT and part.data.get("type") == "audio":
            message["audio"] = part.data.get("audio")
    if calls:
        message["tool_calls"] = calls
    word = finish_word(response.finish_reason, response.finish_reason_raw, calls=bool(calls))
    tokens = [token for part in texts for token in _list(part.extra.get("logprobs"))]
    choice: dict[str, Any] = {
        "index": 0,
        "message": message,
        "logprobs": {"content": tokens, "refusal": None} if tokens else None,
        "finish_reason": word,
    }
    body: dict[str, Any] = {
        "id": response.id or answer_id(),
        "object": "chat.completion",
        "created": int(clock.now()),
        "model": response.model,
        "choices": [choice, *_other_choices(response)],
        **head_fields(response.extra),
    }
    if (usage := encode_usage(response.usage)) is not None:
        body["usage"] = usage
    return body


def _other_choices(response: Response) -> list[Any]:
    return _list(response.extra.get("choices")) if response.format in ("", FORMAT) else []


def answer_id() -> str:
    """A new id for an answer whose provider gave none."""
    return new_id("chatcmpl-", 32)


def head_fields(extra: dict[str, Any]) -> dict[str, Any]:
    """Those of the provider's own fields that this format has a place for, if they look like its own."""
    fields: dict[str, Any] = {}
    for name in ("service_tier", "system_fingerprint"):
        if isinstance(extra.get(name), str):
            fields[name] = extra[name]
    created: object = extra.get("created")
    if isinstance(created, int) and created > 0:
        fields["created"] = created
    if is_object(extra.get("moderation")):
        fields["moderation"] = extra["moderation"]
    return fields


def call_body(call: ToolCall) -> dict[str, Any]:
    """A tool call for a caller: always with an id, a type and a text of arguments."""
    id = call.id or new_id("call_")
    if mark_of(call.extra).get("type") == "custom":
        return {"id": id, "type": "custom", "custom": {"name": call.name, "input": call.raw_arguments}}
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments_text(call)}}


def details_of(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The reasoning as `reasoning_details`; empty where plain text says it all."""
    thoughts = [part for part in parts if isinstance(part, Thinking)]
    if not any(part.signature or part.encrypted for part in thoughts):
        return []
    own = [part if "detail" in mark_of(part.extra) else lent(part) for part in thoughts]
    return [detail_of(part, detail_rest(part, index)) for index, part in enumerate(own)]


def detail_rest(part: Thinking, index: int) -> dict[str, Any]:
    """What an entry of `reasoning_details` says besides the part itself."""
    known: object = mark_of(part.extra).get("detail")
    return {**known, "index": index} if is_object(known) else {"type": detail_type(part), "index": index}


def detail_type(part: Thinking) -> str:
    """The type of an entry of `reasoning_details`."""
    return "reasoning.encrypted" if part.encrypted is not None and not part.text else "reasoning.text"


def refusal_of(part: Part) -> str | None:
    """The words of a refusal, whether it came in this format or in that of OpenAI's other one; None for other parts."""
    if not isinstance(part, Opaque) or part.data.get("type") != "refusal":
        return None
    words: object = part.data.get("refusal")
    return words if isinstance(words, str) else None


def annotations_of(extra: dict[str, Any]) -> list[dict[str, Any]]:
    """The sources of a text. OpenAI's other format has the same fields one level higher."""
    notes: list[dict[str, Any]] = []
    for note in _list(extra.get("annotations")):
        if not is_object(note):
            continue
        if note.get("type") == "url_citation" and "url_citation" not in note:
            inner = {key: value for key, value in note.items() if key != "type"}
            notes.append({"type": "url_citation", "url_citation": inner})
        else:
            notes.append(note)
    return notes


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
