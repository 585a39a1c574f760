"""Marks for Anthropic's cache in a body that goes out, placed without decoding more than the block that gets one.

Which places get a mark `prompt.py` says. A body whose caller has placed marks is left alone: he knows his prompt, and
Anthropic refuses a mark of an hour behind one of five minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tidyllm.cache.prompt import (
    MarkPolicy,
    chosen_places,
    least_tokens,
    mark_of,
    marks_in,
    rough_tokens,
    takes_mark,
)

__all__ = ["body_marks"]

_MOST = 4
_SIGN = b'"cache_control"'
_PARTS = ("tools", "system", "messages")

_Fields = Mapping[str, msgspec.Raw]
_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_raw = msgspec.Raw


def body_marks(policy: MarkPolicy, model: str) -> Callable[[_Fields], _Fields]:
    """A function from the top-level fields of a body of `POST /v1/messages` to those that change; none for a body
    that has marks, that asks Anthropic to place them (`cache_control` at the top), or whose parts are not as Anthropic
    wants them: Anthropic says that better.
    """
    least = least_tokens(model) if policy.min_tokens is None else policy.min_tokens
    mark = _raw(msgspec.json.encode(mark_of(policy)))

    def changes(fields: _Fields) -> _Fields:
        if "cache_control" in fields:
            return {}
        try:
            return _changes(fields, policy, least, mark)
        except (msgspec.MsgspecError, RecursionError):
            return {}

    return changes


def _changes(fields: _Fields, policy: MarkPolicy, least: int, mark: msgspec.Raw) -> dict[str, msgspec.Raw]:
    if any(_SIGN in bytes(fields[name]) and _has_marks(fields[name]) for name in _PARTS if name in fields):
        return {}
    tools = _list(fields["tools"]) if "tools" in fields else []
    system = fields.get("system", _raw(b"null"))
    turns = _list(fields.get("messages", _raw(b"[]")))
    heads = {"tools": tools, "system": _blocks(system)}
    sizes = (
        rough_tokens(bytes(fields["tools"])) if tools else 0,
        rough_tokens(bytes(system)) if heads["system"] else 0,
        [rough_tokens(bytes(turn)) for turn in turns],
    )
    roles = [msgspec.json.decode(turn, type=_Turn).role for turn in turns]
    found: dict[str, msgspec.Raw] = {}
    placed = 0
    for place, index in chosen_places(policy, sizes, roles, least):
        if placed >= _MOST:
            break
        if place in heads:
            done = _marked(heads[place], mark)
            if done is not None:
                found[place] = done
                placed += 1
            continue
        turn = _object(turns[index])
        done = _marked(_blocks(turn.get("content", _raw(b"null"))), mark)
        if done is not None:
            turns[index] = _raw(msgspec.json.encode({**turn, "content": done}))
            found["messages"] = _raw(msgspec.json.encode(turns))
            placed += 1
    return found


class _Turn(msgspec.Struct):
    role: str = ""


def _has_marks(raw: msgspec.Raw) -> bool:
    return marks_in(msgspec.json.decode(raw)) > 0


def _blocks(raw: msgspec.Raw) -> list[msgspec.Raw]:
    """The blocks of a prompt's part; a text is one block."""
    first = bytes(raw).lstrip()[:1]
    if first == b'"':
        return [_raw(b'{"type":"text","text":' + bytes(raw) + b"}")] if len(bytes(raw).strip()) > 2 else []
    return _list(raw) if first == b"[" else []


def _marked(blocks: list[msgspec.Raw], mark: msgspec.Raw) -> msgspec.Raw | None:
    """The blocks with the mark on the last one; None where that cannot bear one."""
    if not blocks:
        return None
    last: dict[str, Any] = _object(blocks[-1])
    known = {name: msgspec.json.decode(last[name]) for name in ("type", "text") if name in last}
    if not takes_mark(known):
        return None
    return _raw(msgspec.json.encode([*blocks[:-1], {**last, "cache_control": mark}]))
