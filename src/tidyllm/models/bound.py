"""The most that sending a request can cost: from its bytes, what it asks for and the prices. It sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import product
from typing import TypeAlias

from tidyllm.errors import BadRequest
from tidyllm.models.asked import Asked
from tidyllm.models.model_info import ModelInfo
from tidyllm.models.pricing import STANDARD, at_most_usd

__all__ = ["InputCounter", "bound_tokens", "bound_usd", "closer_usd", "set_input_counter", "uncounted_usd"]

InputCounter: TypeAlias = Callable[[bytes, ModelInfo], int | None]
"""The most tokens of input that a body can make at a model, closer than its bytes; None where it knows no better."""

_MOST_TIMES = 1_000
"""Answers, or calls of a provider's own tools, of one request: more than any provider makes."""
_MILLION = 1_000_000
_TIMES = (
    ("n", "n", "answers"),
    ("max_tool_calls", "max_tool_calls (or the sum of max_uses of the tools)", "own_calls"),
)
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

_OF_KNOWN_TOOL = 3_000
"""Tokens of what a provider says about a tool of a kind that it knows (recorded: 1,350 for `memory`)."""

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
