"""How answers and failures of tools are put into words for a model: as text, within a bound, without our secrets."""

from __future__ import annotations

import os
import re
from typing import Any

import msgspec

__all__ = ["MAX_CHARS", "bounded", "hide_secrets", "reason_of", "text_of"]

MAX_CHARS = 20_000
"""Characters of a tool's answer, by default: about 5,000 tokens, a long page of test output or a file of 500 lines."""

_HEAD = 0.6  # of what is kept: a listing is read from its top, a test run from its end
_MOST_REASON = 2_000

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_SHORTEST = 8  # characters of a value: shorter ones would blot out words
_SHAPES = re.compile(
    r"(?<=://)[^\s/:@]{1,200}:[^\s/@]{1,200}(?=@)"  # user and password of an address
    r"|(?i:(?<=bearer )[\w.~+/=-]{8,})"
    r"|\bsk-[\w-]{8,}|\btk-[\w-]{16,}|\bgh[opsu]_\w{16,}|\bAKIA[0-9A-Z]{12,}"
)


def text_of(answer: Any) -> str:
    """What a function returned, as text: text itself, nothing as a word of its own, anything else as JSON."""
    if isinstance(answer, str):
        return answer
    if answer is None:
        return "(done; no output)"
    if isinstance(answer, bytes | bytearray):
        return bytes(answer).decode(errors="replace")
    try:
        return msgspec.json.encode(answer, order="deterministic").decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return str(answer)


def bounded(text: str, max_chars: int) -> str:
    """`text` in at most `max_chars` characters: its beginning and its end, and between them how much was cut."""
    if len(text) <= max_chars:
        return text
    # The note's own length depends on its numbers; those of the whole text are the longest that it can hold.
    longest = len(_note(len(text), len(text)))
    room = max_chars - longest
    if room <= 0:
        return text[:max_chars]
    head = int(room * _HEAD)
    tail = room - head
    return text[:head] + _note(len(text) - room, len(text)) + text[len(text) - tail :]


def _note(cut: int, of: int) -> str:
    return f"\n[… {cut:,} of {of:,} characters are left out here …]\n"


def reason_of(error: BaseException) -> str:
    """A failure in one piece for the model: the class and what it says. No traceback, no secret, of bounded length."""
    said = str(error).strip()
    name = type(error).__name__
    return bounded(hide_secrets(f"{name}: {said}" if said else name), _MOST_REASON)


def hide_secrets(text: str) -> str:
    """`text` without the values of environment variables that are named like secrets, and what is shaped like one."""
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and value in text and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return _SHAPES.sub("***", text)
