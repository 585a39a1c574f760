"""The caller's own name for a field of ours, for errors about a request that came in his format. Pure.

Requests are checked and encoded in our words (`output`, `messages[3].content[1].arguments`); whoever wrote
`response_format` looks for that. Where a message or part stood in his request is found by decoding beginnings of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec

from tidyllm.errors import BadRequest
from tidyllm.models.checks import Misfit, is_object
from tidyllm.models.formats import wire_format
from tidyllm.models.forward import Forward
from tidyllm.models.message import ToolCall
from tidyllm.models.request import Request

__all__ = ["caller_field", "in_words_of"]

_NAMES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "openai_chat": {
        "effort": ("reasoning_effort", "reasoning.effort"),
        "max_output_tokens": ("max_completion_tokens", "max_tokens"),
        "output": ("response_format",),
        "system": ("messages",),
        "thinking_tokens": ("reasoning.max_tokens", "thinking.budget_tokens"),
    },
    "openai_responses": {
        "effort": ("reasoning.effort",),
        "output": ("text.format",),
        "system": ("instructions",),
    },
    "anthropic": {
        "effort": ("output_config.effort",),
        "max_output_tokens": ("max_tokens",),
        "output": ("output_config.format", "output_format"),
        "parallel_tool_calls": ("tool_choice.disable_parallel_tool_use",),
        "stop": ("stop_sequences",),
        "thinking_tokens": ("thinking.budget_tokens",),
        "user": ("metadata.user_id",),
    },
}
"""Ours, and what it may be called there: the first one that the request has. The others are called the same."""

_TAILS: Final[Mapping[str, Mapping[str, str]]] = {
    "openai_chat": {
        ".arguments": ".function.arguments",
        ".strict": ".function.strict",
        ".detail": ".image_url.detail",
    },
    "openai_responses": {},
    "anthropic": {".arguments": ".input"},
}
_PLACE: Final = re.compile(r"messages\[(\d+)\](?:\.content\[(\d+)\])?")
_LISTS: Final = ("tool_calls", "content", "summary")
"""Lists in a message whose entries become parts, from the end of the message to its beginning."""


@contextmanager
def in_words_of(call: object) -> Generator[None]:
    """Errors about fields that are raised in this block name them as the caller of `call`, a `Forward`, did."""
    try:
        yield
    except BadRequest as error:
        if isinstance(call, Forward) and error.field:
            ours, theirs = error.field, caller_field(call, error.field)
            if theirs != ours:
                error.message = _renamed(error.message, ours, theirs)
                error.args = tuple(
                    _renamed(one, ours, theirs) if isinstance(one, str) else one for one in error.args
                )
                error.field = theirs
        raise


def caller_field(call: Forward, field: str) -> str:
    """What `field` is called in this request; where that cannot be told, the list that it stands in."""
    names = _NAMES.get(call.format)
    if names is None:
        return field
    if field.startswith("messages"):
        return _placed(call, field)
    top = re.split(r"[.\[]", field, maxsplit=1)[0]
    if top in call.fields and "." not in field:  # theirs already, or called the same
        return field
    known = names.get(top)
    if known is None or top in call.fields:
        return _with_tail(call.format, field, "")
    present = [name for name in known if name.split(".")[0] in call.fields]
    return present[0] if present else field


def _placed(call: Forward, field: str) -> str:
    items_name = "input" if call.format == "openai_responses" else "messages"
    found = _PLACE.match(field)
    raw = call.fields.get(items_name)
    if found is None or raw is None or call.is_large:
        return items_name
    body = {name: msgspec.json.decode(value) for name, value in call.fields.items()}
    items: object = body[items_name]
    if not isinstance(items, list):
        return items_name
    listed = cast("list[Any]", items)
    message, part = int(found[1]), None if found[2] is None else int(found[2])

    def holds(some: list[Any]) -> bool:
        """Whether what is asked for is in a request with these items only."""
        request = _decoded(call.format, {**body, items_name: some})
        return request is not None and _part_at(request, message, part) is not None

    count = _first(len(listed), lambda size: holds(listed[:size]))
    if count is None:
        return items_name
    before, item, place = listed[: count - 1], listed[count - 1], f"{items_name}[{count - 1}]"
    whole = _decoded(call.format, {**body, items_name: listed[:count]})
    if part is not None and is_object(item):
        place += _within(item, lambda one: holds([*before, one]))
    tail = field[found.end() :]
    if whole is not None and not isinstance(_part_at(whole, message, part), ToolCall):
        tail = tail.replace(".content[", ".output[") if items_name == "input" else tail
    return _with_tail(call.format, place + tail, tail)


def _within(item: dict[str, Any], holds: Callable[[dict[str, Any]], bool]) -> str:
    """Where in this message the part is: `.content[2]`; "" for the message as a whole."""
    for name in _LISTS:
        entries: object = item.get(name)
        if not isinstance(entries, list) or not entries:
            continue
        listed = cast("list[Any]", entries)
        if holds({**item, name: []}):
            continue
        size = _first(
            len(listed), lambda size, name=name, listed=listed: holds({**item, name: listed[:size]})
        )
        if size is not None:
            return f".{name}[{size - 1}]"
    return ""


def _first(most: int, holds: Callable[[int], bool]) -> int | None:
    """The smallest size from 1 to `most` for which it holds, if what holds for one holds for all larger ones."""
    if most < 1 or not holds(most):
        return None
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _part_at(request: Request, message: int, part: int | None) -> object:
    if isinstance(request.messages, str) or len(request.messages) <= message:
        return None
    found = request.messages[message]
    if part is None:
        return found
    return found.parts[part] if len(found.parts) > part else None


def _decoded(format: str, body: dict[str, Any]) -> Request | None:
    try:
        return wire_format(format).decode_request(body)[0]
    except (BadRequest, Misfit, RecursionError):
        return None


def _with_tail(format: str, field: str, tail: str) -> str:
    for ours, theirs in _TAILS[format].items():
        if field.endswith(ours) and (not tail or tail == ours):
            return field.removesuffix(ours) + theirs
    return field


def _renamed(text: str, ours: str, theirs: str) -> str:
    if repr(ours) in text:
        return text.replace(repr(ours), repr(theirs))
    return re.sub(rf"(?<![\w.]){re.escape(ours)}(?![\w\[])", lambda _: theirs, text, count=1)
