"""The caches of providers: marks that let Anthropic keep the stable beginning of a prompt, and what that saves.

Pure functions on requests. A provider reads a prompt from its cache up to the first byte that differs, in the
order tools, system, messages: nothing here changes that order, and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

import msgspec

from tidyllm.errors import ConfigError
from tidyllm.models.message import Message, Text, Thinking
from tidyllm.models.pricing_cache import prompt_cache_saved_usd
from tidyllm.models.request import Request, Tool

__all__ = [
    "MarkPolicy",
    "Place",
    "chosen_places",
    "least_tokens",
    "mark_body",
    "mark_of",
    "mark_request",
    "marks_in",
    "prompt_cache_saved_usd",
    "rough_tokens",
    "takes_mark",
]

_MOST = 4
"""Marks that Anthropic takes in one request; a fifth is refused."""
_BYTES_PER_TOKEN = 4
"""Of English text. Where a prompt has fewer tokens than this says, Anthropic ignores the mark and takes no money."""

Place = Literal["tools", "system", "turn", "earlier_turn"]
_PLACES: tuple[Place, ...] = ("tools", "system", "turn", "earlier_turn")


class MarkPolicy(msgspec.Struct, frozen=True):
    """Where marks go. Each stands at the end of what it names:

    - `tools`: all tools. `system`: all of the instruction.
    - `turn`: the last message, so that the next call of a conversation reads up to here.
    - `earlier_turn`: the user's turn before it. Anthropic looks for what it has at most 20 blocks before a mark: after
      a turn with many tools the last mark alone would miss what the one before has written.

    `ttl` is how long Anthropic keeps it after the last use: `5m` costs 1.25 times the price of input to write, `1h`
    twice. `min_tokens`: shorter prefixes are not marked; None: what the model needs at least (`least_tokens`).

    :raises ConfigError: a place or `ttl` is unknown, or `min_tokens` below 0.
    """

    places: Sequence[Place] = _PLACES
    ttl: Literal["5m", "1h"] = "5m"
    min_tokens: int | None = None

    def __post_init__(self) -> None:
        for place in self.places:
            if place not in _PLACES:
                raise ConfigError(f"{place!r} is none of {', '.join(_PLACES)}.", where="MarkPolicy.places")
        if self.ttl not in ("5m", "1h"):
            raise ConfigError(f"{self.ttl!r} is neither '5m' nor '1h'.", where="MarkPolicy.ttl")
        if self.min_tokens is not None and self.min_tokens < 0:
            raise ConfigError(f"{self.min_tokens} is below 0.", where="MarkPolicy.min_tokens")


def least_tokens(model: str) -> int:
    """Tokens that a prefix needs at least, to be kept by this model of Anthropic's; for unknown ones the most that any
    known one needs. From Anthropic's page on prompt caching, as others quoted it in 2026.
    """
    return next((tokens for part, tokens in _LEAST if part in model), 4096)


_LEAST = (
    ("opus-4-5", 4096), ("opus-4-6", 4096), ("opus-4.5", 4096), ("opus-4.6", 4096),
    ("haiku-4-5", 4096), ("haiku-4.5", 4096),
    ("sonnet-4-6", 2048), ("sonnet-4.6", 2048), ("haiku-3", 2048), ("3-haiku", 2048), ("3-5-haiku", 2048),
    ("opus-4-1", 1024), ("opus-4-2025", 1024), ("opus-4-0", 1024), ("sonnet-4", 1024),
    ("3-7-sonnet", 1024), ("3-5-sonnet", 1024), ("3-opus", 1024), ("sonnet-3", 1024), ("opus-3", 1024),
)  # fmt: skip


def mark_request(
    request: Request,
    policy: MarkPolicy | None = None,
    *,
    model: str | None = None,
    count: Callable[[bytes], int] | None = None,
) -> Request:
    """The request with Anthropic's marks by the policy; the same request where there is nothing to mark.

    Marks that are there stay, and count towards the four. `model` is who is asked (default: `request.model`); `count`
    tells tokens of text (default: a quarter of the bytes). Give the result to Anthropic only: other providers have no
    place for the marks.
    """
    policy = policy or MarkPolicy()
    least = least_tokens(model or request.model) if policy.min_tokens is None else policy.min_tokens
    turns = request.turns
    free = _MOST - marks_in(msgspec.to_builtins([list(request.tools), request.system, turns], enc_hook=repr))
    if free <= 0 or "cache_control" in request.extra:  # that one asks Anthropic to place marks itself
        return request
    mark = mark_of(policy)
    sizes = _sizes(
        [msgspec.json.encode(list(request.tools)) if request.tools else b"", _encoded(request.system)],
        [_encoded(turn) for turn in turns],
        count,
    )
    changes: dict[str, Any] = {}
    changed = list(turns)
    for place, index in chosen_places(policy, sizes, [turn.role for turn in turns], least):
        if free <= 0:
            break
        if place == "tools":
            last = request.tools[-1] if request.tools else None
            if isinstance(last, Tool) and "cache_control" not in last.extra:
                marked = msgspec.structs.replace(last, extra={**last.extra, "cache_control": mark})
                changes["tools"] = (*request.tools[:-1], marked)
                free -= 1
        elif place == "system":
            system = request.system
            texts = (Text(text=system),) if isinstance(system, str) else system or ()
            if texts and "cache_control" not in texts[-1].extra:
                changes["system"] = (*texts[:-1], _marked(texts[-1], mark))
                free -= 1
        elif (turn := _marked_turn(changed[index], mark)) is not None:
            changed[index] = turn
            changes["messages"] = tuple(changed)
            free -= 1
    return msgspec.structs.replace(request, **changes) if changes else request


def mark_body(
    body: Mapping[str, Any],
    policy: MarkPolicy | None = None,
    *,
    model: str | None = None,
    count: Callable[[bytes], int] | None = None,
) -> dict[str, Any]:
    """As `mark_request`, for the decoded body of `POST /v1/messages`. What is marked is copied; the rest is shared."""
    policy = policy or MarkPolicy()
    asked = model or str(body.get("model", ""))
    least = least_tokens(asked) if policy.min_tokens is None else policy.min_tokens
    tools, system, turns = (_list(body.get(name)) for name in ("tools", "system", "messages"))
    if isinstance(body.get("system"), str) and body["system"]:
        system = [{"type": "text", "text": body["system"]}]
    free = _MOST - marks_in([tools, system, turns])
    if free <= 0 or "cache_control" in body:  # that one asks Anthropic to place marks itself
        return dict(body)
    mark = mark_of(policy)
    marked = dict(body)
    sizes = _sizes(
        [msgspec.json.encode(part) if part else b"" for part in (tools, system)],
        [msgspec.json.encode(turn) for turn in turns],
        count,
    )
    roles = [str(turn.get("role")) for turn in turns]
    for place, index in chosen_places(policy, sizes, roles, least):
        if free <= 0:
            break
        blocks = {"tools": tools, "system": system}.get(place)
        if blocks is None:
            content = turns[index].get("content")
            blocks = (
                [{"type": "text", "text": content}]
                if isinstance(content, str) and content
                else _list(content)
            )
        if not blocks or "cache_control" in blocks[-1] or not takes_mark(blocks[-1]):
            continue
        done = [*blocks[:-1], {**blocks[-1], "cache_control": mark}]
        if place in ("tools", "system"):
            marked[place] = done
        else:
            turns = [*turns[:index], {**turns[index], "content": done}, *turns[index + 1 :]]
            marked["messages"] = turns
        free -= 1
    return marked


def chosen_places(
    policy: MarkPolicy, sizes: tuple[int, int, list[int]], roles: list[str], least: int
) -> list[tuple[Place, int]]:
    """The places in which a mark helps, the last of the prompt first: when marks run out, that one saves most."""
    tools, system, turns = sizes
    ends = {"tools": (0, tools), "system": (0, tools + system)}
    last = len(turns) - 1
    if turns:
        ends["turn"] = (last, tools + system + sum(turns))
        before = next((at for at in range(last - 1, -1, -1) if roles[at] == "user"), None)
        if before is not None:
            ends["earlier_turn"] = (before, tools + system + sum(turns[: before + 1]))
    has = {"tools": tools, "system": system}
    order: tuple[Place, ...] = ("turn", "earlier_turn", "system", "tools")
    return [
        (place, ends[place][0])
        for place in order
        if place in policy.places and place in ends and ends[place][1] >= least and has.get(place, 1)
    ]


def _sizes(
    heads: list[bytes], turns: list[bytes], count: Callable[[bytes], int] | None
) -> tuple[int, int, list[int]]:
    tokens = count or rough_tokens
    tools, system = (tokens(text) if text else 0 for text in heads)
    return tools, system, [tokens(turn) for turn in turns]


def rough_tokens(text: bytes) -> int:
    """About how many tokens a text has; too few rather than too many."""
    return len(text) // _BYTES_PER_TOKEN


def mark_of(policy: MarkPolicy) -> dict[str, str]:
    """The mark itself."""
    return {"type": "ephemeral"} if policy.ttl == "5m" else {"type": "ephemeral", "ttl": policy.ttl}


def marks_in(value: object) -> int:
    """Marks anywhere in a prompt."""
    if isinstance(value, Mapping):
        held = cast("Mapping[str, object]", value)
        return ("cache_control" in held) + sum(map(marks_in, held.values()))
    if isinstance(value, list | tuple):
        return sum(map(marks_in, cast("Sequence[object]", value)))
    return 0


def _marked(part: Any, mark: dict[str, str]) -> Any:
    return msgspec.structs.replace(part, extra={**part.extra, "cache_control": mark})


def _marked_turn(turn: Message, mark: dict[str, str]) -> Message | None:
    """The message with a mark on its last part; None where there is one, or nothing that can bear it."""
    parts = turn.parts
    if not parts or isinstance(parts[-1], Thinking) or "cache_control" in parts[-1].extra:
        return None
    if isinstance(parts[-1], Text) and not parts[-1].text:
        return None  # Anthropic refuses a mark on an empty text
    return msgspec.structs.replace(turn, content=(*parts[:-1], _marked(parts[-1], mark)))


def takes_mark(block: Mapping[str, Any]) -> bool:
    """Whether Anthropic takes a mark on this block."""
    if block.get("type") in ("thinking", "redacted_thinking"):
        return False
    return not (block.get("type") == "text" and not block.get("text"))


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, enc_hook=repr) if value else b""


def _list(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        return []
    return [one for one in cast("list[Any]", value) if isinstance(one, dict)]
