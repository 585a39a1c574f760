"""JSON as models write it: one value read from the middle of a text. Pure, and it never recurses.

Real JSON is read as such. Otherwise it reads what can mean one thing only: trailing commas, single and smart quotes,
Python's and JSON's words, bare keys, comments, raw line breaks in strings, and brackets that were never closed. What a
string holds is never touched: a string that does not end is unreadable, not repaired, for nobody knows what is missing.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn, cast

__all__ = ["MAX_DEPTH", "Document", "Found", "Unreadable", "read_json"]

MAX_DEPTH = 64
"""Brackets within brackets. Arguments of tools are rarely nested more than five deep."""

_SPACE = re.compile(r"(?:\s++|//[^\n]*+|#[^\n]*+|/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*+/)*+")
_NUMBER = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*+")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_STRINGS = {
    '"': re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL),
    "'": re.compile(r"'([^'\\]*+(?:\\.[^'\\]*+)*+)'", re.DOTALL),
    "\u201c": re.compile("[\u201c]([^\u201d\\\\]*+(?:\\\\.[^\u201d\\\\]*+)*+)[\u201d]", re.DOTALL),
    "\u2018": re.compile("[\u2018]([^\u2019\\\\]*+(?:\\\\.[^\u2019\\\\]*+)*+)[\u2019]", re.DOTALL),
}
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(
    rf"\\(?:u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}|u{_HEX}{{4}}|x{_HEX}{{2}}|U{_HEX}{{8}}|.)",
    re.DOTALL,
)
_PLAIN = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\", "\n": "",
    '"': '"', "'": "'", "\u201c": "\u201c", "\u201d": "\u201d", "\u2018": "\u2018", "\u2019": "\u2019",
}  # fmt: skip
# What may follow a value whose brackets were left open: the end, a fence, a tag.
_OPEN_END = re.compile(r"\s*+(?:\Z|```|</|<\||<(?=tool_call|invoke|function))")
_NEXT_VALUE = re.compile(r"[^\S\n]*+\n\s*+[\[{]")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)  # NaN and Infinity are no JSON, and would be saved as null


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands twice")  # two calls in one object: neither is dropped in silence
    return made


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(written)  # 1e999 would be saved as null, too
    return number


_decode = json.JSONDecoder(
    strict=False, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_object
).raw_decode


class Document(str):
    """A text that is read from many places. The fast reader counts lines whenever it gives up: here there are none."""

    __slots__ = ()

    def count(self, *_: object) -> int:
        return 0

    def rfind(self, *_: object) -> int:
        return -1


class Unreadable(Exception):
    """No value can be read there. `reason` is for the model; `at` is how far it was read.

    `work`: what the attempt cost, in characters read, if more than those up to `at`.
    """

    def __init__(self, reason: str, at: int, *, work: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at = at
        self.work = work


class Found:
    """A value, where its text ends, and whether brackets had to be closed for it (`closed`)."""

    __slots__ = ("closed", "end", "value")

    def __init__(self, value: Any, end: int, *, closed: bool = False) -> None:
        self.value = value
        self.end = end
        self.closed = closed


def read_json(text: str, start: int = 0) -> Found:
    """The object or array that begins at `text[start]`.

    :raises Unreadable: none can be read there.
    """
    try:
        value, end = _decode(text, start)
    except RecursionError:
        raise Unreadable(_TOO_DEEP, start + MAX_DEPTH, work=_UNWINDING) from None
    except ValueError:
        return _Reader(text, start).read()
    # The fast reader goes as deep as the interpreter lets it.
    if str.count(text, "{", start, end) + str.count(text, "[", start, end) > MAX_DEPTH < _depth(value):
        raise Unreadable(_TOO_DEEP, end)
    return Found(value, end)


_UNWINDING = 20_000
"""Characters' worth of work: the fast reader takes as long to give up at the interpreter's depth."""
_TOO_DEEP = f"it has more than {MAX_DEPTH} brackets within brackets"


def _depth(value: Any) -> int:
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        inner: list[Any] = []
        for one in level:
            held = cast("list[Any]", list(one.values()) if isinstance(one, dict) else one)
            inner += [each for each in held if isinstance(each, dict | list)]
        level = inner
    return depth


class _Reader:
    """Reads one value with a stack of its own. Each character is looked at a bounded number of times."""

    __slots__ = ("_at", "_stack", "_text")

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._stack: list[dict[str, Any] | list[Any]] = []

    def read(self) -> Found:
        root = self._open()
        key: str | None = None
        while True:
            top = self._stack[-1]
            self._skip()
            char = self._peek()
            if char in ("}", "]"):
                if self._close(char):
                    return Found(root, self._at)
                if self._after_value():
                    return Found(root, self._at, closed=True)
                continue
            if isinstance(top, dict):
                if not char or not (char in _STRINGS or _WORD.match(self._text, self._at)):
                    if self._left_open():
                        return Found(root, self._at, closed=True)
                    self._fail("expected a key in quotes")
                key = self._key()
                if key in top:
                    self._fail(f"the key {key[:40]!r} stands twice in one object")
            elif char in ("", "`", "<") and self._left_open():
                return Found(root, self._at, closed=True)
            if self._peek() in ("{", "["):
                opened = self._open()
                self._put(top, key, opened)
                continue
            self._put(top, key, self._scalar())
            if self._after_value():
                return Found(root, self._at, closed=True)

    # -- structure

    def _open(self) -> dict[str, Any] | list[Any]:
        if len(self._stack) >= MAX_DEPTH:
            self._fail(_TOO_DEEP)
        opened: dict[str, Any] | list[Any] = {} if self._text[self._at] == "{" else []
        self._stack.append(opened)
        self._at += 1
        return opened

    def _close(self, char: str) -> bool:
        """Whether the whole value is closed. A bracket that was left out before this one is taken as written."""
        closes_object = char == "}"
        if not any(isinstance(one, dict) == closes_object for one in self._stack):
            self._fail(f"{char} closes nothing")
        while isinstance(self._stack.pop(), dict) != closes_object:
            pass
        self._at += 1
        return not self._stack

    def _after_value(self) -> bool:
        """Go past the comma; whether the text goes on as if all were closed."""
        before = self._at
        self._skip()
        char = self._peek()
        if char == ",":
            self._at += 1
            return False
        if char in ("}", "]"):
            return False
        self._at = before
        if self._left_open() or self._prose_follows():
            return True
        self._skip()
        return self._fail('expected a comma or a closing bracket; quotes within a string must be written \\"')

    def _left_open(self) -> bool:
        """Whether the text ends here for this value."""
        if _OPEN_END.match(self._text, self._at):
            return True
        # The next call on a line of its own; within a list it may be the next item, and only a comma is missing.
        return not any(isinstance(one, list) for one in self._stack[1:]) and bool(
            _NEXT_VALUE.match(self._text, self._at)
        )

    def _prose_follows(self) -> bool:
        """Behind a closed bracket comes text that cannot be the rest of a string: that would end in a quote."""
        return self._text[self._at - 1] in "}]" and not any(
            self._text.find(mark, self._at) >= 0 for mark in ('"', "}", "]")
        )

    @staticmethod
    def _put(top: dict[str, Any] | list[Any], key: str | None, value: Any) -> None:
        if isinstance(top, dict):
            assert key is not None
            top[key] = value
        else:
            top.append(value)

    # -- tokens

    def _skip(self) -> None:
        self._at = cast("re.Match[str]", _SPACE.match(self._text, self._at)).end()
        if self._text.startswith("/*", self._at):
            self._at = len(self._text)
            self._fail("a comment does not end")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _key(self) -> str:
        word = _WORD.match(self._text, self._at)
        if word:
            key = word[0]
            self._at = word.end()
        else:
            key = self._string()
        self._skip()
        if self._peek() != ":":
            self._fail(f"expected : after the key {key[:40]!r}")
        self._at += 1
        self._skip()
        return key

    def _scalar(self) -> Any:
        if self._peek() in _STRINGS:
            return self._string()
        if number := _NUMBER.match(self._text, self._at):
            self._at = number.end()
            return self._number(number[0])
        word = _WORD.match(self._text, self._at)
        if word and word[0] in _WORDS:
            self._at = word.end()
            return _WORDS[word[0]]
        return self._fail("expected a value")

    def _number(self, written: str) -> int | float:
        try:
            return int(written)
        except ValueError:
            if written.lstrip("+-").isdecimal():  # too long for the interpreter
                self._fail("the number is too long")
            number = float(written)
            if not math.isfinite(number):
                self._fail("the number is too large")
            return number

    def _string(self) -> str:
        match = _STRINGS[self._peek()].match(self._text, self._at)
        if match is None:
            at = self._at
            self._at = len(self._text)
            self._fail("a string does not end", at)
        self._at = match.end()
        inner = match[1]
        return _ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner

    def _fail(self, reason: str, at: int | None = None) -> NoReturn:
        place = self._at if at is None else at
        near = self._text[place : place + 30]
        raise Unreadable(f"{reason}, {f'at {near!r}' if near else 'at the end'}", self._at)


def _unescaped(match: re.Match[str]) -> str:
    written = match[0]
    if len(written) == 2:
        # What is no escape of anybody's is a pattern such as \d: kept as it stands.
        return _PLAIN.get(written[1], written)
    if len(written) == 12:  # two halves of one character
        high, low = int(written[2:6], 16), int(written[8:], 16)
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
    code = int(written[2:], 16)  # noqa: FURB166 - the mark before it is x, u or U
    return chr(code) if code <= 0x10FFFF else written
