"""What happens to a field that has no place in this format: refused by name, or dropped and reported."""

from __future__ import annotations

from typing import Any

from tidyllm.errors import Unsupported

__all__ = ["Refusal"]

_NOTES = frozenset({
    "annotations", "index", "logprobs", "ollama", "openai_chat", "openai_responses", "phase", "status",
})  # fmt: skip
"""What other formats note on parts and messages for themselves, or to comment on an answer: left out."""

_FOREIGN = _NOTES | {
    "audio", "function_call", "name", "reasoning", "reasoning_content", "reasoning_details", "refusal",
}  # fmt: skip
"""All fields known to be other formats'; Anthropic has none of these names on its messages and blocks."""


class Refusal:
    """Collects the fields that were left out; raises at the first one unless `lenient`."""

    __slots__ = ("dropped", "lenient")

    def __init__(self, *, lenient: bool) -> None:
        self.lenient = lenient
        self.dropped: list[str] = []

    def __call__(self, field: str, why: str | None = None) -> None:
        """:raises Unsupported: unless lenient."""
        if not self.lenient:
            raise Unsupported(field, format="anthropic", why=why)
        self.dropped.append(field)

    def own(self, extra: dict[str, Any], where: str) -> dict[str, Any]:
        """The fields of a part's or message's `extra` but for those known to be another format's."""
        if not extra or _FOREIGN.isdisjoint(extra):
            return extra
        kept: dict[str, Any] = {}
        for key, value in extra.items():
            if key not in _FOREIGN:
                kept[key] = value
            elif key not in _NOTES and value not in (None, "", []):
                self(f"{where}.{key}")
        return kept
