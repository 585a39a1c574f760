"""Under which keys of `extra` a format remembers how something was written. Only their names.

A part, message, tool or request that was read from a format may carry `extra[<its name>]`, the mark. Its keys say only
how, never what: whatever says something stands in `extra` itself. Every format leaves out the marks of the others.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MARKS"]

MARKS: Final = frozenset({"anthropic", "bedrock", "ollama", "openai_chat", "openai_responses"})
