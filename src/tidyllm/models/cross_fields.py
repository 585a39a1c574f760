"""Which top-level fields of one format may be left out, or renamed, when a request goes on in another. Only a table.

A field that is not here is refused by name: it may mean anything. A field is here for one of three reasons: it changes
nothing in the answer (storage, billing, caching, what the stream looks like), it is a wish that no one is hurt by
(verbosity), or its value says the same as its absence. `Rule.harmless` is the test of the value, where some values
must be refused; `Rule.soft` says which of those a lenient provider may lose.
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
    reported: bool = True
    """Whether leaving it out is worth a word: not where the value says the same as its absence."""
    default: object = ...
    """A value that says the same as its absence, where others do not."""
    soft: Callable[[Any], bool] = lambda value: False
    """Whether a value that is not harmless may still be lost where the provider is lenient: the answer is another one
    of those that could have come, or lacks a number beside it, but answers the same question."""


def _is(*values: object) -> Callable[[Any], bool]:
    """Whether it is one of these: 0 and 0.0 are one number, but true is not 1."""
    return lambda value: any(
        isinstance(value, bool) is isinstance(known, bool) and value == known for known in values
    )


def _only(*values: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and set(map(str, cast("list[Any]", value))) <= set(values)


def _shortens(value: Any) -> bool:
    """Edits by which a provider shortens a long conversation: by reasoning, results of tools, or all but a summary."""
    edits = cast("list[Any]", value) if isinstance(value, list) else [None]
    kinds = [str(cast("dict[str, Any]", e).get("type")) if isinstance(e, dict) else "" for e in edits]
    return all(kind.startswith(("clear_thinking", "clear_tool_uses", "compact")) for kind in kinds)


def _edits_shorten(value: Any) -> bool:
    return isinstance(value, dict) and _shortens(cast("dict[str, Any]", value).get("edits"))


_CHAT: Final = "openai_chat"
_RESPONSES: Final = "openai_responses"


def _any(value: object) -> bool:
    return True


def _default(*values: object, soft: bool = False) -> Rule:
    """A rule for a field that may be left out when it says what holds without it."""
    rule = Rule("it is the default", _is(*values), reported=False)
    return rule._replace(soft=_any) if soft else rule


def _only_a_budget(value: object) -> bool:
    return isinstance(value, dict) and set(map(str, cast("dict[Any, Any]", value))) <= {"task_budget"}


def _in_responses(name: str, why: str) -> Rule:
    """A field that OpenAI's two formats share. Servers that copied the older one often refuse what they do not know."""
    return Rule(why, to={_RESPONSES: name})


_WHOLE: Final = "the whole conversation is sent instead"
_CACHED: Final = Rule("caching does not change the answer")
_OPTIONS: Final = Rule("how the stream is told is up to the gateway", reported=False)
_READABLE: Final = Rule("whether reasoning can be read is up to the provider")
_TIER: Final = Rule("each provider has tiers of its own")
_CHOICE: Final = Rule("it weighs words that could come next", _is(), soft=_any)
_THINKING: Final = Rule("how to reason is up to the model", _is("adaptive", "auto", "disabled", "enabled"))

_FROM_RESPONSES: Final[dict[str, Rule]] = {
    "background": _default(False),
    "context_management": Rule(_WHOLE, _shortens),
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
        soft=_any,
    ),
    "max_tool_calls": Rule("it counts calls of the provider's own tools, and there are none"),
    "prompt_cache_key": _CACHED,
    "prompt_cache_options": _CACHED,
    "prompt_cache_retention": _CACHED,
    "reasoning.context": Rule("reasoning of earlier turns is not sent to another provider"),
    "reasoning.generate_summary": _READABLE,
    "reasoning.mode": _default("standard", soft=True),
    "reasoning.summary": _READABLE,
    "safety_identifier": Rule("it is OpenAI's own id of an end user"),
    "service_tier": _TIER,
    "store": Rule("where an answer is stored does not change it"),
    "stream_options": _OPTIONS,
    "text.format": _default({"type": "text"}),
    "text.verbosity": Rule("it is a wish"),
    "top_logprobs": _default(0, soft=True),
    "truncation": Rule("the whole prompt is sent; too long a one is an error", default="disabled"),
}

_FROM_CHAT: Final[dict[str, Rule]] = {
    "clear_thinking": Rule("reasoning of earlier turns is not sent to another provider"),
    "frequency_penalty": _default(0, soft=True),
    "logit_bias": _CHOICE,
    "logprobs": _default(False, soft=True),
    "max_tokens": Rule("it is the older name of a cap that is given, too"),
    "min_p": _CHOICE,
    "modalities": Rule("text is the default", _only("text"), reported=False),
    "moderation": Rule("only OpenAI judges so", _is(), {_RESPONSES: "moderation"}),
    "n": _default(1),
    "prediction": Rule("it makes the answer faster, not different"),
    "presence_penalty": _default(0, soft=True),
    "prompt_cache_key": _in_responses("prompt_cache_key", _CACHED.why),
    "prompt_cache_options": _in_responses("prompt_cache_options", _CACHED.why),
    "prompt_cache_retention": _in_responses("prompt_cache_retention", _CACHED.why),
    "reasoning_effort": _default("auto", "default", soft=True),
    "reasoning.enabled": Rule("how to reason is up to the model", _is(True, False)),
    "reasoning.exclude": _READABLE,
    "reasoning.summary": _READABLE,
    "reasoning_format": _READABLE,
    "repetition_penalty": _CHOICE,
    "response_format": _default({"type": "text"}),
    "safety_identifier": _in_responses("safety_identifier", "it is OpenAI's own id of an end user"),
    "service_tier": _in_responses("service_tier", _TIER.why),
    "store": _in_responses("store", "where an answer is stored does not change it"),
    "stream_options": _OPTIONS,
    "thinking.clear_thinking": Rule("reasoning of earlier turns is not sent to another provider"),
    "thinking.type": _THINKING,
    "top_a": _CHOICE,
    "top_logprobs": _default(0, soft=True),
    "verbosity": _in_responses("text.verbosity", "it is a wish"),
}

_FROM_ANTHROPIC: Final[dict[str, Rule]] = {
    "cache_control": _CACHED,
    "context_management": Rule(_WHOLE, _edits_shorten),
    "inference_geo": _default("global", "not_available"),
    "metadata": Rule("it tells of the caller, not of the request"),
    "output_config": Rule("the model is told no budget", _is(), soft=_only_a_budget),
    "service_tier": _TIER,
    "speed": Rule("it makes the answer faster, not different", default="standard"),
    "thinking.display": _READABLE,
    "thinking.type": _THINKING,
}

FIELDS: Final[Mapping[str, Mapping[str, Rule]]] = {
    _RESPONSES: _FROM_RESPONSES,
    _CHAT: _FROM_CHAT,
    "anthropic": _FROM_ANTHROPIC,
}
"""By the format that a request came in; paths of fields inside of an object are joined by a dot."""

NESTED: Final[Mapping[str, frozenset[str]]] = {
    _RESPONSES: frozenset({"reasoning", "text"}),
    _CHAT: frozenset({"reasoning", "thinking"}),
    "anthropic": frozenset({"thinking"}),
}
"""Objects whose fields are judged one by one."""
