"""What was taken out of a conversation, kept for looking up. It knows words, not what they mean."""

from __future__ import annotations

import re
from collections import Counter

import msgspec

from tidyllm.agents.prune import Entry
from tidyllm.models.message import Message, Text, ToolCall, ToolResult

__all__ = ["Archive", "words_of"]

_WORD = re.compile(r"\w+")


class Archive(msgspec.Struct):
    """Messages in the order in which they were said."""

    entries: list[Entry] = []

    def add(self, entries: tuple[Entry, ...]) -> None:
        """Keep these as well."""
        self.entries.extend(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def search(self, query: str, limit: int = 5) -> list[Message]:
        """Messages with words of `query`, those with more and rarer ones first; of equals the latest."""
        wanted = {word.lower() for word in _WORD.findall(query)}
        texts = [
            Counter(word.lower() for word in _WORD.findall(words_of(one.message))) for one in self.entries
        ]
        spread = {word: sum(word in text for text in texts) for word in wanted}
        scores = [
            (sum(min(text[word], 3) / spread[word] for word in wanted if word in text), at)
            for at, text in enumerate(texts)
        ]
        best = sorted((score for score in scores if score[0] > 0), reverse=True)
        return [self.entries[at].message for _, at in best[:limit]]


def words_of(message: Message) -> str:
    """All that was said in a message, calls and results of tools included."""
    said: list[str] = []
    for part in message.parts:
        if isinstance(part, Text):
            said.append(part.text)
        elif isinstance(part, ToolCall):
            said += [part.name, part.raw_arguments or msgspec.json.encode(part.arguments).decode()]
        elif isinstance(part, ToolResult):
            content = part.content
            said += (
                [content] if isinstance(content, str) else [p.text for p in content if isinstance(p, Text)]
            )
    return "\n".join(said)
