"""What happens to a field that Ollama has no place for: refused by name, or dropped and reported."""

from __future__ import annotations

from typing import Any

from tidyllm.errors import Unsupported

__all__ = ["FORMAT", "Refusal"]

FORMAT = "ollama"

_NOTES = frozenset({
    "annotations", "anthropic", "cache_control", "caller", "citations", "index", "logprobs", "ollama", "openai_chat",
    "openai_responses", "phase", "status",
})  # fmt: skip
"""Fields of parts and messages that comment on an answer, or tell how to cache: no model ever reads them."""


class Refusal:
    """Collects the fields that were left out; raises at the first one unless `lenient`."""

    __slots__ = ("dropped", "lenient")

    def __init__(self, *, lenient: bool) -> None:
        self.lenient = lenient
        self.dropped: list[str] = []

    def __call__(self, field: str, why: str | None = None) -> None:
        """:raises Unsupported: unless lenient."""
        if not self.lenient:
            raise Unsupported(field, format=FORMAT, why=why)
        self.dropped.append(field)

    def note(self, field: str) -> None:
        """Report a field that is left out and that no one can miss."""
        self.dropped.append(field)

    def fields(self, extra: dict[str, Any], where: str) -> None:
        """Refuse the fields of `extra` that say something: there is no place for any of them."""
        for key, value in extra.items():
            if key not in _NOTES and value not in (None, "", [], {}):
                self(f"{where}.{key}")
