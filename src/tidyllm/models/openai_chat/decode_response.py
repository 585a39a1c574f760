"""The body of an answer to a `Response`. It knows nothing of streams and HTTP.

`Response.extra` keeps what our fields have no place for: fields of the body as they are (`service_tier`,
`system_fingerprint`...), under `choice` and `message` those of the first choice and its message, and under `choices`
the other choices, where several were asked for. Fields that say nothing are left out of it; `raw` has them.
"""

from __future__ import annotations

from typing import Any, cast

from tidyllm.models.checks import Misfit, array, is_object, object_, text, text_in
from tidyllm.models.message import Opaque, Part, Text
from tidyllm.models.openai_chat.decode_content import decode_parts
from tidyllm.models.openai_chat.errors import answer_error
from tidyllm.models.openai_chat.marks import FORMAT, marked
from tidyllm.models.openai_chat.reasoning import decode_reasoning
from tidyllm.models.openai_chat.tool_calls import decode_call, is_hollow
from tidyllm.models.openai_chat.usage import usage_in
from tidyllm.models.openai_chat.words import finish_reason
from tidyllm.models.response import Response, Usage

__all__ = ["audio_part", "decode_response", "refusal_part"]

_BODY = frozenset({"choices", "id", "model", "object", "usage"})
_CHOICE = frozenset({"delta", "finish_reason", "index", "message"})
_MESSAGE = frozenset({"audio", "content", "function_call", "refusal", "role", "tool_calls"})


def decode_response(body: dict[str, Any]) -> Response:
    """:raises BadAnswer: the body is not what the format promises.
    :raises ModelError: the body is the provider's own error, with status 200.
    """
    try:
        return _response(body)
    except Misfit as misfit:
        raise misfit.answer() from None


def _response(body: dict[str, Any]) -> Response:
    if body.get("error"):
        raise answer_error(body)
    choices = array(body.get("choices", ...), "choices")
    if not choices:
        raise Misfit("choices", "an array of at least one choice", choices, said="empty")
    choice = object_(choices[0], "choices[0]")
    if choice.get("error"):  # OpenRouter, when the provider behind it broke off
        raise answer_error(choice)
    message = object_(choice.get("message", ...), "choices[0].message")
    extra = _told(body, _BODY)
    content, of_message = _content(message, choice)
    of_choice = _told(choice, _CHOICE)
    if of_choice:
        extra["choice"] = of_choice
    if of_message:
        extra["message"] = of_message
    if len(choices) > 1:
        extra["choices"] = choices[1:]
    raw: object = choice.get("finish_reason")
    refused = any(isinstance(part, Opaque) and part.data.get("type") == "refusal" for part in content)
    return Response(
        content=tuple(content),
        finish_reason=finish_reason(raw, refused=refused),
        finish_reason_raw=raw if isinstance(raw, str) else None,
        usage=usage_in(body) or Usage(),
        model=text_in(body, "model"),
        id=text_in(body, "id"),
        raw=body,
        extra=extra,
        format=FORMAT,
    )


def _content(message: dict[str, Any], choice: dict[str, Any]) -> tuple[list[Part], dict[str, Any]]:
    """The parts of the message, and its fields that became none of them."""
    at = "choices[0].message"
    reasoning, read = decode_reasoning(message)
    parts: list[Part] = list(reasoning)
    given: object = message.get("content")
    notes = _notes(message, choice)
    if isinstance(given, str):
        if given or notes:
            parts.append(Text(text=given, extra=notes))
    elif isinstance(given, list):
        parts += decode_parts(cast("list[Any]", given), f"{at}.content")
    elif given is not None:
        raise Misfit(f"{at}.content", "a string, an array of parts or null", given)
    if refusal := message.get("refusal"):
        parts.append(refusal_part(text(refusal, f"{at}.refusal")))
    if not is_hollow(message.get("audio")):
        parts.append(audio_part(object_(message["audio"], f"{at}.audio")))
    if (calls := message.get("tool_calls")) is not None:
        entries = enumerate(array(calls, f"{at}.tool_calls"))
        parts += [decode_call(call, f"{at}.tool_calls[{i}]", answer=True) for i, call in entries]
    if not is_hollow(call := message.get("function_call")):
        data = {"id": "", "type": "function", "function": call}
        old = decode_call(data, f"{at}.function_call", answer=True)
        parts.append(type(old).parse("", old.name, old.raw_arguments, marked({}, type="function_call")))
    used = _MESSAGE | read | notes.keys()
    return parts, _told(message, used)


def refusal_part(words: str) -> Opaque:
    """What the model said instead of an answer, as the part that a conversation holds for it."""
    return Opaque(format=FORMAT, data={"type": "refusal", "refusal": words})


def audio_part(audio: dict[str, Any]) -> Opaque:
    """A spoken answer."""
    return Opaque(format=FORMAT, data={"type": "audio", "audio": audio})


def _notes(message: dict[str, Any], choice: dict[str, Any]) -> dict[str, Any]:
    """What is said of the text itself: its sources, and the probability of each token."""
    notes: dict[str, Any] = {}
    if isinstance(sources := message.get("annotations"), list) and sources:
        notes["annotations"] = sources
    if is_object(logprobs := choice.get("logprobs")) and (tokens := logprobs.get("content")):
        notes["logprobs"] = tokens
    return notes


def _told(data: dict[str, Any], known: frozenset[str] | set[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in known and not is_hollow(value)}
