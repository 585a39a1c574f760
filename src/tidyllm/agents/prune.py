"""Which messages stay when a conversation must fit: a pure function. It counts by the sizes it is given.

What stays, in this order: the beginning (instructions and the task), the end, what was marked as decision or error,
then the latest. A tool call and its results stay or go together. The beginning is never touched while it fits, so that
the provider's cache of it stays; and more is taken out than must be, so that not every turn breaks the cache anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import msgspec

from tidyllm.models.message import Message, Text, Thinking, ToolCall, ToolResult

__all__ = ["NOTE", "Entry", "Kept", "Kind", "prune", "units"]

Kind: TypeAlias = Literal["talk", "decision", "error"]
Size: TypeAlias = Callable[[Message], int]

NOTE = Message.user("[Earlier messages are not shown; they are in the archive of this conversation.]")
"""Where messages are missing. It is always the same, so that it breaks no cache by itself."""
_LOW = 0.6
"""Of the budget, what is filled again after messages were taken out."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message, and whether it is one to keep longer."""

    message: Message
    kind: Kind = "talk"


class Kept(msgspec.Struct, frozen=True):
    """`entries` that stay, in order, with a note where some are missing; `gone` are those that do not, in order.

    `prefix`: how many at the beginning are as they were. Shortened ones are in both.
    """

    entries: tuple[Entry, ...]
    gone: tuple[Entry, ...]
    prefix: int


def prune(entries: Sequence[Entry], budget: int, size: Size) -> Kept:
    """`entries` within `budget` tokens by `size`; as they are where they fit."""
    sizes = [size(entry.message) for entry in entries]
    if sum(sizes) <= budget:
        return Kept(tuple(entries), (), len(entries))
    groups = units(entries)
    weights = [sum(sizes[at] for at in group) for group in groups]
    head = _head(entries, groups)
    last = len(groups) - 1
    must = {*range(head), last}
    base = sum(weights[at] for at in must) + size(NOTE)
    if base > budget:
        return _shortened(entries, groups, head, budget, size)
    chosen, used = set(must), base
    goal = max(base, int(budget * _LOW))
    between = [at for at in range(last - 1, head - 1, -1) if entries[groups[at][0]].message != NOTE]
    for at in between:  # of what was marked, at most half of the room: the latest must have a place, too
        marked = any(entries[one].kind != "talk" for one in groups[at])
        if marked and used + weights[at] <= (base + goal) // 2:
            chosen.add(at)
            used += weights[at]
    for at in between:
        if at in chosen:
            continue
        if used + weights[at] > goal:
            break
        chosen.add(at)
        used += weights[at]
    return _assembled(entries, groups, chosen)


def units(entries: Sequence[Entry]) -> list[list[int]]:
    """Places that stay or go together: a tool call with everything up to its last result; else one message alone."""
    answered = {
        part.call_id: at
        for at, entry in enumerate(entries)
        for part in _parts(entry.message)
        if isinstance(part, ToolResult)
    }
    groups: list[list[int]] = []
    until = -1
    for at, entry in enumerate(entries):
        if at <= until:
            groups[-1].append(at)
        else:
            groups.append([at])
        for part in _parts(entry.message):
            if isinstance(part, ToolCall):
                until = max(until, answered.get(part.id, -1))
    return groups


def _parts(message: Message) -> tuple[object, ...]:
    return () if isinstance(message.content, str) else message.content


def _head(entries: Sequence[Entry], groups: list[list[int]]) -> int:
    """How many units are the beginning: instructions, and the first that is none."""
    for at, group in enumerate(groups):
        if entries[group[0]].message.role not in ("system", "developer"):
            return at + 1
    return len(groups)


def _assembled(entries: Sequence[Entry], groups: list[list[int]], chosen: set[int]) -> Kept:
    kept: list[Entry] = []
    gone: list[Entry] = []
    prefix = place = -1
    for at, group in enumerate(groups):
        if at in chosen:
            kept.extend(entries[one] for one in group)
        else:
            if place < 0:
                prefix = place = len(kept)
            gone.extend(entries[one] for one in group)
    kept.insert(place, Entry(NOTE))
    return Kept(tuple(kept), _archived(gone), prefix)


def _shortened(entries: Sequence[Entry], groups: list[list[int]], head: int, budget: int, size: Size) -> Kept:
    """Beginning and end alone do not fit: their texts are cut, and what cannot be cut enough goes."""
    first = [entries[at] for group in groups[:head] for at in group]
    end = [] if len(groups) <= head else [entries[at] for at in groups[-1]]
    between = [Entry(NOTE)] if len(groups) > head + 1 and size(NOTE) * 4 <= budget else []
    room = budget - sum(size(one.message) for one in between)
    wanted = sum(size(one.message) for one in first)
    after = sum(size(one.message) for one in end)
    for_first = min(wanted, max(room // 2, room - after)) if end else room
    kept = _cut(first, for_first, size) or []
    left = room - sum(size(one.message) for one in kept)
    tail = _cut(end, left, size) or []
    whole = [*kept, *between, *tail]
    same = 0
    while same < min(len(whole), len(entries)) and whole[same] == entries[same]:
        same += 1
    stays = {id(one) for one in whole}
    return Kept(tuple(whole), _archived([one for one in entries if id(one) not in stays]), same)


def _archived(gone: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(entry for entry in gone if entry.message != NOTE)


def _cut(entries: Sequence[Entry], room: int, size: Size) -> list[Entry] | None:
    """These with as much of their texts as fits into `room`; None when even without any they do not fit."""

    def cut(most: int) -> list[Entry]:
        return [Entry(_limited(one.message, most), one.kind) for one in entries]

    def fits(those: Sequence[Entry]) -> bool:
        return sum(size(one.message) for one in those) <= room

    if fits(entries):
        return list(entries)
    if not fits(cut(0)):
        return None
    low, high = 0, max((_longest(one.message) for one in entries), default=0)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(cut(middle)) else (low, middle)
    return cut(low)


def _longest(message: Message) -> int:
    if isinstance(message.content, str):
        return len(message.content)
    texts = [part.text for part in message.content if isinstance(part, Text)]
    texts += [p.content for p in message.content if isinstance(p, ToolResult) and isinstance(p.content, str)]
    return max(map(len, texts), default=0)


def _limited(message: Message, most: int) -> Message:
    """The message with texts of at most `most` characters, and without reasoning, which is of use only whole."""
    if isinstance(message.content, str):
        return Message(message.role, _middle_out(message.content, most), message.extra)
    parts: list[object] = []
    for part in message.content:
        if isinstance(part, Text):
            parts.append(msgspec.structs.replace(part, text=_middle_out(part.text, most)))
        elif isinstance(part, ToolResult):
            content = (
                part.content
                if isinstance(part.content, str)
                else "".join(one.text for one in part.content if isinstance(one, Text))
            )
            parts.append(msgspec.structs.replace(part, content=_middle_out(content, most)))
        elif not isinstance(part, Thinking):
            parts.append(part)
    return Message(message.role, tuple(parts), message.extra)  # pyright: ignore[reportArgumentType] - parts of a message


def _middle_out(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    mark = " […] "
    if most <= len(mark) + 2:
        return text[:most]
    head = (most - len(mark)) // 2
    return text[:head] + mark + text[len(text) - (most - len(mark) - head) :]
