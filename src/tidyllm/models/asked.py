"""What the body of a request says about its own cost, in any format. It reads a few fields and sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from itertools import product
from math import isfinite
from typing import Any, TypeAlias

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.pricing import STANDARD, at_most_usd

__all__ = [
    "Asked",
    "InputCounter",
    "bound_tokens",
    "bound_usd",
    "closer_usd",
    "set_input_counter",
    "uncounted_usd",
]

InputCounter: TypeAlias = Callable[[bytes, ModelInfo], int | None]
"""The most tokens of input that a body can make at a model, closer than its bytes; None where it knows no better."""

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
_MOST_TIMES = 1_000
"""Answers, or calls of a provider's own tools, of one request: more than any provider makes."""
_MILLION = 1_000_000
_TIMES = (
    ("n", "n", "answers"),
    ("max_tool_calls", "max_tool_calls (or the sum of max_uses of the tools)", "own_calls"),
)
_TIERS = frozenset({"service_tier", "speed", "inference_geo"})
_SERVICE = ("batch", "flex", "priority", "ultrafast")
"""Names of `service` that a provider may choose among when it is asked for `auto`; the others are regions or speeds."""

# Keys of JSON, never words inside a text: those have a backslash before the quote (which is looked at afterwards,
# because an expression that begins with a plain character is searched for five times as fast).
_MARKS = re.compile(
    rb'"(?:(tools|response_format|output_config|output_format|json_schema|functions)'
    rb"|images?|image_url|input_image|files?|file_id|file_data|input_file|document|audio|input_audio|video|video_url"
    rb'|fileData|inlineData|previous_response_id|conversation|prompt|container|additional_tools)"'
)
_OF_TOOLS = 1_000
"""Tokens that a provider puts before the prompt when tools or a schema are given (recorded: up to 850)."""

_BACKSLASH = ord("\\")

_OWN_WORK = ("mcp_servers", "web_search_options", "search_parameters", "plugins", "models", "compound_custom")
"""Top-level fields with which a provider works on its own, or lets a model of another price answer."""
_WORK = frozenset({*_OWN_WORK, "prompt", "tools", "reasoning"})
_CALLERS = re.compile(
    r"|function|custom|(?:bash|text_editor|computer|memory)_.*|computer|(?:local_)?shell|apply_patch"
)
"""Kinds of tools that the caller runs. Any other is run by the provider, whose own turns are input once more."""
_OF_KNOWN_TOOL = 3_000
"""Tokens of what a provider says about a tool of a kind that it knows (recorded: 1,350 for `memory`)."""


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
        caps = [cap for name in _MOST.get(format, ()) if (cap := _number(body, name)) is not None]
        if format in _OF_OLLAMA and isinstance(options := _value(body, "options"), dict):
            cap = _number(options, "num_predict")  # pyright: ignore[reportUnknownArgumentType]
            caps += [] if cap is None else [cap]
        bedrock = _bedrock(body) if format in _OF_BEDROCK else None
        if bedrock is not None:
            caps += bedrock.caps
        most = min(caps) if caps and min(caps) < 0 else max(caps, default=None)  # below 0 is without end
        answers = _number(body, "n")
        tiers = () if _TIERS.isdisjoint(body) else _named_tiers(body)
        own_calls, known_tools = _tools(body)
        if bedrock is not None:
            return cls(
                None if most is None else min(int(most), _LARGEST),
                1,
                bedrock.tiers,
                bedrock.temperature,
                bedrock.top_p,
                None if bedrock.runs_tools else own_calls,
                known_tools,
            )
        return cls(
            None if most is None else min(int(most), _LARGEST),
            1 if answers is None else min(max(int(answers), 1), _LARGEST),
            tiers,
            _number(body, "temperature"),
            _number(body, "top_p"),
            own_calls,
            known_tools,
        )


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

_counters: list[InputCounter] = []
"""The one that is set, or none."""


def set_input_counter(counter: InputCounter | None) -> None:
    """Use `counter` where the bytes of a body are too wide a bound (see `closer_usd`); None: never.

    It is for the whole process. A budget of the process is exact without it, but uses less of itself near its limit.
    """
    _counters[:] = [] if counter is None else [counter]


def bound_tokens(body: bytes, asked: Asked, info: ModelInfo) -> int | None:
    """The most input tokens that sending `body` can be billed for; None when there is no bound. It takes a look at the
    bytes, and no tokenizer.

    No tokenizer makes more tokens than there are bytes of UTF-8. What is not in the body as text (images, files, an
    earlier answer that the provider keeps) is bounded by the model's window, and so is each turn of a provider that
    runs tools of its own.
    """
    into = len(body) + asked.known_tools * _OF_KNOWN_TOOL
    with_tools, elsewhere = _marks(body)
    if with_tools:
        into += _OF_TOOLS
    window = info.context_window_tokens
    if info.searches:
        return None
    if asked.own_calls == 0 and not elsewhere:
        return into
    if window is None or asked.own_calls is None:
        return None
    return max(into, window) * (asked.own_calls + 1)


def _marks(body: bytes) -> tuple[bool, bool]:
    """Whether tools or a schema are given, and whether something is to be read that is not in the body as text."""
    with_tools = False
    for mark in _MARKS.finditer(body):
        if body[mark.start() - 1] != _BACKSLASH:
            if mark[1] is None:
                return with_tools or b'"tools"' in body, True
            with_tools = True
    return with_tools, False


def bound_usd(
    body: bytes, asked: Asked, info: ModelInfo | None, *, operation: str = "chat"
) -> Decimal | None:
    """The most that sending `body` can cost in US dollars; None when that is not known.

    A cap above what the catalogue says of the model's output counts up to its window: the catalogue may be behind the
    provider, but no answer is longer than the window, and so nobody blocks an account with a number.

    :raises BadRequest: more answers or calls of tools are asked for than can be set aside for; the field is named.
    """
    if info is None:
        return None
    for field, what, number in _TIMES:
        if (asks := getattr(asked, number) or 0) > _MOST_TIMES:
            raise BadRequest(
                f"{what} is {asks:,}; under a budget it may be {_MOST_TIMES:,} at most.",
                field=field,
                hint="Money for all of them would have to be set aside, and others could not use it meanwhile.",
            )
    if info.local and at_most_usd(_MILLION, _MILLION, info) == 0:
        return Decimal(0)  # whatever its window and its answers: nobody need know them
    into = bound_tokens(body, asked, info)
    return None if into is None else _usd(into, asked, info, operation)


def closer_usd(
    body: bytes, asked: Asked, info: ModelInfo | None, *, room_usd: Decimal, operation: str = "chat"
) -> Decimal | None:
    """As `bound_usd`, with the counter given to `set_input_counter`: closer, but it reads the whole body, so it is for
    where the other one does not fit. None when the counter knows no better, and without counting when the answer alone
    does not fit into `room_usd`.
    """
    if info is None or not _counters or asked.own_calls != 0 or info.searches:
        return None
    answer = _usd(0, asked, info, operation)
    if answer is None or answer > room_usd:
        return None
    into, wide = _counters[0](body, info), bound_tokens(body, asked, info)
    if into is None or (wide is not None and into >= wide):
        return None
    return _usd(into, asked, info, operation)


def _usd(into: int, asked: Asked, info: ModelInfo, operation: str) -> Decimal | None:
    most = 0 if operation == "embeddings" else asked.max_tokens or info.max_output_tokens
    if most is None or (most < 0 and info.max_output_tokens is None):
        return None
    possible = max(info.max_output_tokens or 0, info.context_window_tokens or most)
    most = (info.max_output_tokens or 0) if most < 0 else min(most, possible)  # Ollama's -1: without end
    calls = asked.own_calls or 0
    if calls and not info.fees:
        return None  # what a provider takes for each of its tools' calls is in no price of tokens
    if not asked.tiers and not calls:  # nearly always
        return at_most_usd(into, most * asked.answers, info)
    bounds: list[Decimal] = []
    for tiers in _tiers(asked, info):
        bound = at_most_usd(into, most * asked.answers * (calls + 1), info, tier=tiers)
        if bound is None:
            return None
        bounds.append(bound)
    fees = max(info.fees.values(), default=Decimal(0)) * calls
    return max(bounds) + fees


def uncounted_usd(asked: Asked, info: ModelInfo | None, format: str) -> Decimal:
    """The most that tools of the provider can cost by the piece where no usage tells how often they were used: only
    Anthropic's does."""
    if not asked.own_calls or info is None or format == "anthropic":
        return Decimal(0)
    return max(info.fees.values(), default=Decimal(0)) * asked.own_calls


def _tiers(asked: Asked, info: ModelInfo) -> Iterator[tuple[str, ...]]:
    """All that may apply together: which tier serves is the provider's choice once the caller has named one."""
    choices: list[tuple[str, ...]] = []
    for tier in asked.tiers:
        if tier == "auto":
            choices.append(("default", *(name for name in _SERVICE if name in info.service)))
        elif tier not in STANDARD:
            choices.append((tier, "default"))
    return product(*choices)


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
