"""The history of a conversation: counted in tokens, made to fit a window, with an archive of what no longer fits.

It asks no model: nothing is summarised, so that nothing is made up and nothing is paid for.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from math import ceil
from pathlib import Path

import msgspec

from tidyllm.agents.archive import Archive
from tidyllm.agents.prune import Entry, Kind, prune
from tidyllm.agents.sizes import bound_message, message_tokens
from tidyllm.errors import ConfigError
from tidyllm.models.message import Message, ToolResult
from tidyllm.models.model_info import ModelInfo
from tidyllm.tokens import family_of

__all__ = ["Compaction", "Conversation"]

_PRIMING = 16
_MARGIN = 1.15
"""On a count that a provider told of an earlier question, for texts of another mixture."""


_SHORT = 2_000
"""Tokens by bytes. Of a shorter question most is marks, and its count says nothing of texts."""


class Compaction(msgspec.Struct, frozen=True):
    """What making it fit has done. Dollars are None where a price is not known.

    - `messages` went to the archive; `tokens_before`, `tokens_after` of all that is sent.
    - `lost_usd`: once, because what comes after the change is no longer in the provider's cache.
    - `saved_usd`: on every later call.
    """

    messages: int
    tokens_before: int
    tokens_after: int
    lost_usd: Decimal | None = None
    saved_usd: Decimal | None = None

    def net_usd(self, calls: int = 1) -> Decimal | None:
        """What is saved over so many later calls, less what is lost; below 0 it was dearer than doing nothing."""
        if self.saved_usd is None or self.lost_usd is None:
            return None
        return self.saved_usd * calls - self.lost_usd


class _Saved(msgspec.Struct):
    model: str
    entries: list[Entry]
    archive: Archive
    scale: float = 1.0


class Conversation:
    """Messages in order.

    - `model`: by whose tokenizer it is counted (`openai/gpt-5.1`); "": by bytes, which is never too few.
    - `overhead_tokens`: of what is sent beside the messages: instructions, tools.
    """

    __slots__ = ("_bound", "_entries", "_scale", "_sizes", "archive", "model", "overhead_tokens")

    def __init__(
        self, messages: Iterable[Message] = (), *, model: str = "", overhead_tokens: int = 0
    ) -> None:
        self.model = model
        self.overhead_tokens = overhead_tokens
        self.archive: Archive = Archive()
        self._entries: list[Entry] = []
        self._sizes: list[int] = []  # of the first messages, as far as somebody asked
        self._bound = 0
        self._scale = 1.0
        self.extend(messages)

    # -- saying

    def add(self, message: Message, kind: Kind | None = None) -> None:
        """Append a message. `kind`: a decision or an error is kept longer; default: an error if a tool says so."""
        if kind is None:
            kind = "error" if _is_error(message) else "talk"
        self._entries.append(Entry(message, kind))
        self._bound += bound_message(message)

    def extend(self, messages: Iterable[Message]) -> None:
        """Append messages in order."""
        for message in messages:
            self.add(message)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is sent."""
        return tuple([entry.message for entry in self._entries])

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is sent, with what each message is."""
        return tuple(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    # -- counting

    @property
    def tokens(self) -> int:
        """Tokens of everything that is sent, overhead included; never below the truth where the tokenizer is public or
        no provider has told its own count yet."""
        return self.overhead_tokens + _PRIMING + ceil(sum(self._counted()) * self._scale)

    def _counted(self) -> list[int]:
        sizes, entries = self._sizes, self._entries
        for at in range(len(sizes), len(entries)):
            sizes.append(message_tokens(entries[at].message, self.model))
        return sizes

    def at_most(self, budget_tokens: int) -> int:
        """Tokens of everything that is sent: without a tokenizer if so it fits the budget already."""
        bound = self.overhead_tokens + _PRIMING + self._bound
        return bound if bound <= budget_tokens else self.tokens

    def told(self, input_tokens: int | None, sent: int) -> None:
        """What a provider counted for the first `sent` messages. Where its tokenizer is not public, counts by bytes are
        brought near it, with a margin of 15 %."""
        if not input_tokens or self._bound < _SHORT or family_of(self.model).encoding is not None:
            return
        bound = self.overhead_tokens + _PRIMING
        bound += sum(self._counted()[:sent])
        self._scale = min(1.0, max(0.2, _MARGIN * input_tokens / bound))

    # -- fitting

    def fit(self, budget_tokens: int, info: ModelInfo | None = None) -> Compaction | None:
        """Make it fit; None when it does already. `info`: for the dollars.

        What is taken out goes to the archive. With less room than the overhead takes nothing is left.
        """
        before = self.at_most(budget_tokens)
        if before <= budget_tokens:
            return None
        scale, model = self._scale, self.model
        room = budget_tokens - self.overhead_tokens - _PRIMING - (1 if scale < 1 else 0)
        kept = prune(self._entries, int(room / scale), lambda message: message_tokens(message, model))
        self.archive.add(kept.gone)
        same = self._entries[: kept.prefix]
        self._entries = list(kept.entries)
        self._sizes = []
        self._bound = sum(bound_message(entry.message) for entry in self._entries)
        after = self.tokens
        sizes = sum(message_tokens(entry.message, model) for entry in same)
        untouched = self.overhead_tokens + ceil(sizes * scale)
        lost, saved = _dollars(before, after, untouched, info)
        return Compaction(len(kept.gone), before, after, lost, saved)

    # -- keeping

    def to_json(self) -> bytes:
        """Everything, the archive included."""
        return msgspec.json.encode(_Saved(self.model, self._entries, self.archive, self._scale))

    @classmethod
    def from_json(cls, text: bytes | str) -> Conversation:
        """:raises ConfigError: it is no saved conversation."""
        try:
            saved = msgspec.json.decode(text, type=_Saved)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ConfigError(f"this is no saved conversation: {error}.") from error
        made = cls(model=saved.model)
        for entry in saved.entries:
            made.add(entry.message, entry.kind)
        made.archive = saved.archive
        made._scale = saved.scale
        return made

    def save(self, path: Path) -> None:
        """Write it to a file; a file that is there is replaced whole or not at all."""
        beside = path.with_name(f".{path.name}.new")
        beside.write_bytes(self.to_json())
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Conversation:
        """:raises ConfigError: the file is no saved conversation."""
        return cls.from_json(path.read_bytes())


def _is_error(message: Message) -> bool:
    if isinstance(message.content, str):
        return False
    return any(isinstance(part, ToolResult) and part.is_error for part in message.content)


def _dollars(
    before: int, after: int, untouched: int, info: ModelInfo | None
) -> tuple[Decimal | None, Decimal | None]:
    """What the lost cache costs once, and what each later call saves."""
    prices = None if info is None else info.prices
    if prices is None or prices.input is None:
        return None, None
    read = prices.input if prices.cache_read is None else prices.cache_read
    write = prices.input if prices.cache_write_5m is None else prices.cache_write_5m
    per = Decimal("0.000001")
    lost = max(write - read, Decimal(0)) * max(after - untouched, 0) * per
    return lost, read * (before - after) * per
