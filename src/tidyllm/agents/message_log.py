"""What the members of a team said to each other: typed, in order, queryable. It knows no model's conversation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

__all__ = ["MessageKind", "MessageLog", "TeamMessage"]

MessageKind: TypeAlias = Literal[
    "goal", "task", "result", "finding", "question", "answer", "decision", "check", "note"
]
EVERYBODY = "everybody"


class TeamMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said. `number` counts from 1; `about`: the id of a task, or ""."""

    number: int
    sender: str
    to: str = EVERYBODY
    kind: MessageKind = "note"
    text: str = ""
    about: str = ""


class MessageLog(msgspec.Struct):
    """Messages in order. Nothing is changed or taken out once it was said."""

    messages: list[TeamMessage] = []

    def say(
        self, sender: str, text: str, kind: MessageKind = "note", *, to: str = EVERYBODY, about: str = ""
    ) -> TeamMessage:
        """Append a message."""
        made = TeamMessage(
            number=len(self.messages) + 1, sender=sender, to=to, kind=kind, text=text, about=about
        )
        self.messages.append(made)
        return made

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[TeamMessage]:
        return iter(self.messages)

    def where(
        self,
        *,
        sender: str | None = None,
        to: str | None = None,
        kind: MessageKind | None = None,
        about: str | None = None,
        after: int = 0,
    ) -> list[TeamMessage]:
        """Messages that fit all that is given; `after`: only later ones than that number."""
        wanted = {"sender": sender, "to": to, "kind": kind, "about": about}
        return [
            one
            for one in self.messages[after:]
            if all(value is None or getattr(one, name) == value for name, value in wanted.items())
        ]

    def heard_by(self, name: str) -> list[TeamMessage]:
        """What was said to `name` or to everybody, by others."""
        return [one for one in self.messages if one.to in (name, EVERYBODY) and one.sender != name]

    def to_json(self) -> bytes:
        """All of it; `msgspec.json.decode(text, type=MessageLog)` reads it back."""
        return msgspec.json.encode(self)
