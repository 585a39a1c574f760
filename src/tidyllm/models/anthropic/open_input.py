"""Whether the input of a tool, which comes in bits, is whole. It counts brackets, and does not check the JSON."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["OpenInput"]

_MARK: Final = re.compile(r'["\\{}\[\]]')


class OpenInput:
    """`add` each bit; `whole` once the object that it is has been closed. Each character is looked at once."""

    __slots__ = ("_depth", "_escape", "_in_text", "whole")

    def __init__(self) -> None:
        self.whole = False
        self._depth = 0
        self._in_text = False
        self._escape = False
        """The last bit ended with the backslash of an escape."""

    def add(self, bit: str) -> None:
        """Take in the next bit."""
        skipped = 0 if self._escape and bit else -1
        self._escape = self._escape and not bit
        for found in _MARK.finditer(bit):
            place, mark = found.start(), found[0]
            if place == skipped:
                continue
            if mark == '"':
                self._in_text = not self._in_text
            elif mark == "\\":
                skipped = place + 1
                self._escape = skipped == len(bit)
            elif not self._in_text:
                self._depth += 1 if mark in "{[" else -1
                self.whole = self.whole or self._depth == 0
