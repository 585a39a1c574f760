"""Which top-level fields of one format may be left out, or renamed, when a request goes on in another. Only a table.

A field that is not here is refused by name: it may mean anything. A field is here for one of three reasons: it changes
nothing in the answer (storage, billing, caching, what the stream looks like), it is a wish that no one is hurt by
(verbosity), or its value says the same as its absence. `Rule.harmless` is the test of the value, where some values
must be refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, cast

__all__ = ["FIELDS", "NESTED", "Rule"]


class Rule(NamedTuple):
    """What to do with a field of a foreign format."""

    why: str
    """Why it may be left out."""
    harmless: Callable[[Any], bool] = lambda value: True
    """Whether this value may be left out."""
    to: Mapping[str, str] = {}
    """Formats that know it, with the path it has there; it is not left out then."""


def _is(*values: object) -> Callable[[Any], bool]:
    return lambda value: any(
        value is known or (type(value) is type(known) and value == known) for known in values
    )


def _only(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and set(map(str, cast("list[Any]", value))) <= set(values)


def _clears_thinking(value: Any) -> bool:
    """Edits of the context that take out reasoning: no reasoning of another provider is sent anyway."""
    edits: object = cast("dict[str, Any]", value).get("edits") if isinstance(value, dict) else None
    if not isinstance(edits, list):
        return False
    kinds = [
        str(cast("dict[str, Any]", e).get("type")) for e in cast("list[Any]", edits) if isinstance(e, dict)
    ]
    return len(kinds) == len(cast("list[Any]", edits)) and all(
        kind.startswith("clear_thinking") for kind in kinds
    )


_CHAT: Final = "openai_chat"
_RESPONSES: Final = "openai_responses"

_STORED = Rule("where an answer is stored does not change it", to={_CHAT: "store", _RESPONSES: "store"})
_TIER = Rule("each provider has tiers of its own", to={_CHAT: "service_tier", _RESPONSES: "service_tier"})
_CACHE_KEY = Rule(
    "caching does not change the answer", to={_CHAT: "prompt_cache_key", _RESPONSES: "prompt_cache_key"}
)
_CACHE_TIME = Rule(
    "caching does not change the answer",
    to={_CHAT: "prompt_cache_retention", _RESPONSES: "prompt_cache_retention"},
)
_SAFETY_ID = Rule(
    "it is OpenAI's own id of an end user",
    to={_CHAT: "safety_identifier", _RESPONSES: "safety_identifier"},
)
_NO_LOGPROBS = Rule("none are asked for", _is(False, 0))
_OPTIONS = Rule("how the stream is told is up to the gateway")
_CACHED = Rule("caching does not change the answer")

_FROM_RESPONSES: Final[dict[str, Rule]] = {
    "background": Rule("it is not asked for", _is(False)),
    "client_metadata": Rule("it tells of the client, not of the request"),
    "include": Rule(
        "it asks for more of what this provider does not have",
        _only(
            "reasoning.encrypted_content",
            "code_interpreter_call.outputs",
            "computer_call_output.output.image_url",
            "file_search_call.results",
            "message.input_image.image_url",
            "web_search_call.action.sources",
            "web_search_call.results",
        ),
    ),
    "max_tool_calls": Rule("it counts calls of the provider's own tools, and there are none"),
    "prompt_cache_key": _CACHE_KEY,
    "prompt_cache_options": _CACHED,
    "prompt_cache_retention": _CACHE_TIME,
    "reasoning.context": Rule("reasoning of earlier turns is not sent to another provider"),
    "reasoning.generate_summary": Rule("whether reasoning can be read is up to the provider"),
    "reasoning.mode": Rule("it is the usual one", _is("standard")),
    "reasoning.summary": Rule("whether reasoning can be read is up to the provider"),
    "safety_identifier": _SAFETY_ID,
    "service_tier": _TIER,
    "store": _STORED,
    "stream_options": _OPTIONS,
    "text.format": Rule("plain text is the default", _is({"type": "text"})),
    "text.verbosity": Rule("it is a wish", to={_CHAT: "verbosity"}),
    "top_logprobs": _NO_LOGPROBS,
    "truncation": Rule("it is the default", _is("disabled")),
}

_FROM_CHAT: Final[dict[str, Rule]] = {
    "frequency_penalty": Rule("it is the default", _is(0)),
    "logit_bias": Rule("it says nothing", _is({})),
    "logprobs": _NO_LOGPROBS,
    "max_tokens": Rule("it is the older name of a cap that is given, too"),
    "modalities": Rule("text is the default", _only("text")),
    "n": Rule("one answer is the default", _is(1)),
    "prediction": Rule("it makes the answer faster, not different"),
    "presence_penalty": Rule("it is the default", _is(0)),
    "prompt_cache_key": _CACHE_KEY,
    "prompt_cache_options": _CACHED,
    "prompt_cache_retention": _CACHE_TIME,
    "response_format": Rule("plain text is the default", _is({"type": "text"})),
    "safety_identifier": _SAFETY_ID,
    "service_tier": _TIER,
    "store": _STORED,
    "stream_options": _OPTIONS,
    "top_logprobs": _NO_LOGPROBS,
    "verbosity": Rule("it is a wish", to={_RESPONSES: "text.verbosity"}),
}

_FROM_ANTHROPIC: Final[dict[str, Rule]] = {
    "cache_control": _CACHED,
    "context_management": Rule("no reasoning is sent to another provider", _clears_thinking),
    "inference_geo": Rule("it is the default", _is("global", "not_available")),
    "metadata": Rule("it tells of the caller, not of the request"),
    "service_tier": Rule("each provider has tiers of its own"),
    "speed": Rule("it is the default", _is("standard")),
    "thinking.display": Rule("whether reasoning can be read is up to the provider"),
    "thinking.type": Rule("how to reason is up to the model", _is("adaptive", "disabled", "enabled")),
}

FIELDS: Final[Mapping[str, Mapping[str, Rule]]] = {
    _RESPONSES: _FROM_RESPONSES,
    _CHAT: _FROM_CHAT,
    "anthropic": _FROM_ANTHROPIC,
}
"""By the format that a request came in; paths of fields inside of an object are joined by a dot."""

NESTED: Final[Mapping[str, frozenset[str]]] = {
    _RESPONSES: frozenset({"reasoning", "text"}),
    _CHAT: frozenset(),
    "anthropic": frozenset({"thinking"}),
}
"""Objects whose fields are judged one by one."""
