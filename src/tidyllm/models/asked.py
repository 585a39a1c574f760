"""What the body of a request says about its own cost, in any format. It reads a few fields and knows no prices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

__all__ = ["Asked", "most_tokens"]

_MOST: Mapping[str, tuple[str, ...]] = {
    "openai_chat": ("max_completion_tokens", "max_tokens"),
    "openai_responses": ("max_output_tokens",),
    "anthropic": ("max_tokens",),
    "bedrock": (),
    "ollama": (),
    "": ("max_completion_tokens", "max_output_tokens", "max_tokens"),
}
"""The caps that each format knows. A field of another format caps nothing there: providers ignore it."""
_OF_OLLAMA = frozenset({"ollama", ""})
"""Where `options.num_predict` is a cap."""
_OF_BEDROCK = frozenset({"bedrock", ""})
"""Where `inferenceConfig` has the cap; what goes to the model besides may have another."""
_LARGEST = 10**15
"""What is counted of a number that a caller made up: still far more than anybody can pay for."""
_TIERS = frozenset({"service_tier", "speed", "inference_geo"})
_OWN_WORK = ("mcp_servers", "web_search_options", "search_parameters", "plugins", "models", "compound_custom")
"""Top-level fields with which a provider works on its own, or lets a model of another price answer."""
_WORK = frozenset({*_OWN_WORK, "prompt", "tools", "reasoning"})
_CALLERS = re.compile(
    r"|function|custom|(?:bash|text_editor|computer|memory)_.*|computer|(?:local_)?shell|apply_patch"
)
"""Kinds of tools that the caller runs. Any other is run by the provider, whose own turns are input once more."""


class _Tool(msgspec.Struct):
    type: str | None = None
    max_uses: int | None = None


_read_tools = msgspec.json.Decoder(list[_Tool]).decode


class Asked(msgspec.Struct, frozen=True):
    """A few fields of a request, wherever its format keeps them; None where it does not say.

    `own_calls` is how often the provider may run tools of its own before it answers: 0 when it has none, None when it
    has some and no cap is given.
    """

    max_tokens: int | None = None
    answers: int = 1
    tiers: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    own_calls: int | None = 0
    known_tools: int = 0

    @classmethod
    def of(cls, body: Mapping[str, Any], format: str = "") -> Asked:
        """From a body's top-level fields, decoded or raw.

        `format`: the wire format in which it is sent; "": not known, any format's caps count. Of several the largest
        counts, since which of them a provider obeys is its own choice.
        """
        if not _READ.intersection(body):
            return _NOTHING
        bedrock = _bedrock(body) if format in _OF_BEDROCK else None
        most = _most(body, format, bedrock)
        answers = _number(body, "n")
        tiers = () if _TIERS.isdisjoint(body) else _named_tiers(body)
        own_calls, known_tools = _tools(body)
        if bedrock is not None:
            return cls(
                most,
                1,
                bedrock.tiers,
                bedrock.temperature,
                bedrock.top_p,
                None if bedrock.runs_tools else own_calls,
                known_tools,
            )
        return cls(
            most,
            1 if answers is None else min(max(int(answers), 1), _LARGEST),
            tiers,
            _number(body, "temperature"),
            _number(body, "top_p"),
            own_calls,
            known_tools,
        )


def most_tokens(body: Mapping[str, Any], format: str) -> int | None:
    """`Asked.of(body, format).max_tokens`, without a look at anything else."""
    return _most(body, format, _bedrock(body) if format in _OF_BEDROCK else None)


def _most(body: Mapping[str, Any], format: str, bedrock: _Converse | None) -> int | None:
    caps = [cap for name in _MOST.get(format, ()) if (cap := _number(body, name)) is not None]
    if format in _OF_OLLAMA and isinstance(options := _value(body, "options"), dict):
        cap = _number(options, "num_predict")  # pyright: ignore[reportUnknownArgumentType]
        caps += [] if cap is None else [cap]
    if bedrock is not None:
        caps += bedrock.caps
    if not caps:
        return None
    least = min(caps)
    return min(int(least if least < 0 else max(caps)), _LARGEST)  # below 0 is without end


class _Converse(msgspec.Struct, frozen=True):
    """What the body of Bedrock's Converse says, whose fields stand deeper."""

    caps: list[Any]
    tiers: tuple[str, ...]
    temperature: float | None
    top_p: float | None
    runs_tools: bool
    """Whether a tool is given that the provider runs."""


def _bedrock(body: Mapping[str, Any]) -> _Converse | None:
    if _DEEPER.isdisjoint(body):
        return None
    config, more = _inner(body, "inferenceConfig"), _inner(body, "additionalModelRequestFields")
    caps = [_number(config, "maxTokens"), *(_number(more, name) for name in _MODELS_OWN)]
    tier, speed = _inner(body, "serviceTier").get("type"), _inner(body, "performanceConfig").get("latency")
    tiers = [
        name
        for name in (tier, "latency-optimized" if speed == "optimized" else None)
        if isinstance(name, str)
    ]
    return _Converse(
        [cap for cap in caps if cap is not None],
        tuple(tiers),
        _number(config, "temperature"),
        _number(config, "topP"),
        b'"systemTool"' in msgspec.json.encode(body.get("toolConfig")),
    )


def _inner(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = _value(body, name)
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


_DEEPER = frozenset(
    {"inferenceConfig", "additionalModelRequestFields", "toolConfig", "serviceTier", "performanceConfig"}
)
_MODELS_OWN = ("max_tokens", "maxTokens", "max_new_tokens", "max_gen_len")
"""Names that models have for the cap themselves."""

_NOTHING = Asked()
_READ = frozenset({
    *_MOST[""], *_DEEPER, *_TIERS, *_WORK, "options", "n", "temperature", "top_p", "max_tool_calls",
})  # fmt: skip
"""All fields that are looked at."""


def _named_tiers(body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(tier for name in sorted(_TIERS) if isinstance(tier := _value(body, name), str))


def _tools(body: Mapping[str, Any]) -> tuple[int | None, int]:
    """How often the provider may run tools of its own, and how many tools of the caller are of a kind it knows."""
    if _WORK.isdisjoint(body):
        return 0, 0
    tools = body.get("tools")
    found: list[_Tool] = []
    try:
        if isinstance(tools, msgspec.Raw):
            found = _read_tools(tools)
        elif tools:
            found = msgspec.convert(tools, list[_Tool])
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError):
        return None, 0  # of no format that we know
    own = [tool for tool in found if not _CALLERS.fullmatch(tool.type or "")]
    known = sum((tool.type or "function") not in ("function", "custom") for tool in found) - len(own)
    thinks_often = isinstance(reasoning := _value(body, "reasoning"), dict) and reasoning.get("mode") == "pro"  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if thinks_often or any(name in body and _value(body, name) for name in _OWN_WORK):
        return None, known
    stored = isinstance(_value(body, "prompt"), dict)  # kept at the provider, with tools perhaps
    if not own and not stored:
        return 0, known
    caps = [cap for tool in own if (cap := tool.max_uses) is not None and cap >= 0]
    most = _number(body, "max_tool_calls")
    if most is not None and most >= 0:
        return min(int(most), _LARGEST), known
    return (min(sum(caps), _LARGEST) if len(caps) == len(own) and not stored else None), known


def _value(body: Mapping[str, Any], name: str) -> object:
    value: object = body.get(name)
    if value is None:
        return None
    if isinstance(value, msgspec.Raw):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    return value


def _number(body: Mapping[str, Any], name: str) -> Any:
    value = _value(body, name)
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
