"""Calls of tools in the text of a model that has no native ones. Pure, linear in the text, and it never raises.

It knows ways to write a call (`parse_json.py`, `parse_tags.py`, `parse_native.py`) and the tools' names and schemas; it
runs nothing and guesses no name. What is written like a call and cannot be read becomes a problem, in words for the
model, and so does a call in the middle of a sentence. Text that merely mentions a tool, and JSON that is no call, are
text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tidyllm.agents.parse_json import Document, Unreadable, read_json
from tidyllm.agents.parse_native import HEAD, TAIL, named, unread
from tidyllm.agents.parse_shape import Ask, asks_of, looks_like_a_call
from tidyllm.agents.parse_tags import TagReader

__all__ = ["Reading", "Written", "read_calls"]

_START = re.compile(
    r"\{(?=\s*+[\"'\u201c\u2018A-Za-z_$/#])"
    r"|\[(?=\s*+[{\[\"'\d/#])"
    r"|<(?P<wrap>(?:antml:)?(?:tool_calls?|function_calls?|tool_use|tool_code))\s*+>"
    r"|<(?:antml:)?(?P<tag>function=|invoke\s)"
    r"|<(?P<aside>think|thinking|reasoning|(?P<result>(?:tool|function)_(?:response|result|results|output)))\s*+>"
    rf"|{HEAD}"
)
_THINKING = re.compile(r"\s*+<(think|thinking)>")
_THOUGHT = re.compile(r"^[^\S\n]*+</(think|thinking)>[^\S\n]*+$", re.MULTILINE)
_NOT_PROSE = re.compile(r"\s*+(?:```|[<{\[])")
_FENCE_OPENS = re.compile(r"```[\w+-]*+[^\S\n]*+\n\s*+\Z")
_FENCE_CLOSES = re.compile(r"\s*+```")
_MARKS = re.compile(r"</?[^<>\n]{1,60}+>|\[/?[A-Z_]{1,40}+\]|```[\w+-]*+")
_WORD = re.compile(r"[^\W\d_]")
_LINE = 2_000  # characters of a line around a call that are looked at
_WORK = 4
"""How often the text may be read over, all in all: what begins many values and ends none would take for ever."""
_MOST = 1_000_000
"""Characters of an answer that is read for calls: more than any model writes, and a few seconds of work at worst."""
_TRY = 50  # characters' worth of work that one try costs beside those it reads


class Written(msgspec.Struct, frozen=True):
    """One call as it was read. `closed`: its end was missing, as when an answer is cut off."""

    name: str
    arguments: dict[str, Any]
    closed: bool = False


class Reading(msgspec.Struct, frozen=True):
    """What a text holds: calls in order, problems in order, and the text without the calls."""

    calls: tuple[Written, ...] = ()
    problems: tuple[str, ...] = ()
    text: str = ""


def read_calls(text: str, schemas: Mapping[str, Mapping[str, Any]]) -> Reading:
    """The calls in `text`. `schemas`: of the arguments, by the name of the tool.

    Calls of names that are not in `schemas` are read as well, where they are plainly calls.
    """
    if len(text) > _MOST:
        problem = f"The answer has {len(text):,} characters; at most {_MOST:,} are read for calls, and none was run."
        return Reading(problems=(f"{problem} {HOW}",), text=text)
    return _Scanner(Document(text), schemas).read()


class _Scanner:
    """Goes through the text once and looks closer where a call may begin."""

    def __init__(self, text: Document, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._text = text
        self._schemas = schemas
        self._tags = TagReader(text, schemas)
        self._calls: list[Written] = []
        self._problems: list[str] = []
        self._spans: list[tuple[int, int]] = []
        self._work = _WORK * len(text) + 10_000
        self._wrapped_at: int | None = None
        """Where the wrapping tag began that is open."""
        self._wrap = ""
        self._found_in_wrap = 0
        self._made_up = ""
        """The tag of a tool's result that the model wrote by itself."""
        self._unended: set[str] = set()
        self._past = 0
        """Where the last thought or result ended."""

    def read(self) -> Reading:
        text = self._text
        at = begin = self._past = self._after_thinking()
        while True:
            found = _START.search(text, at)
            until = len(text) if found is None else found.start()
            if self._wrapped_at is not None:
                self._look_for_end(at, until)
            if found is None:
                break
            if found["wrap"]:
                self._unwrap(found.start())
                self._wrap, self._wrapped_at, self._found_in_wrap = found["wrap"], found.start(), 0
                at = found.end()
            elif found["aside"]:
                at = self._aside(found)
            elif found["tag"]:
                at = self._tag(found.start())
            elif found["head"]:
                at = self._headed(found)
            else:
                at = self._json(found.start())
        self._unwrap(len(text))
        if not self._calls and not self._problems and (how := unread(text[begin:], self._schemas)):
            self._problems.append(f"A call that is written {how} was not run. {HOW}")
        return Reading(tuple(self._calls), tuple(self._problems), self._rest())

    def _after_thinking(self) -> int:
        """Drafts of a model that thinks aloud, before its answer, are no calls."""
        opened = _THINKING.match(self._text)
        if opened is None:
            # Some models are made to begin with a thought: only its end is written.
            ended = None if _NOT_PROSE.match(self._text) else _THOUGHT.search(self._text)
            return 0 if ended is None or f"<{ended[1]}>" in self._text[: ended.start()] else ended.end()
        end = self._text.find(f"</{opened[1]}>", opened.end())
        return len(self._text) if end < 0 else end + len(opened[1]) + 3

    def _aside(self, found: re.Match[str]) -> int:
        """Past what stands there for the model alone, or in a tool's name: calls in it are none."""
        name = found["aside"]
        end = -1 if name in self._unended else self._text.find(f"</{name}>", found.end())
        if end < 0:
            self._unended.add(name)
            return found.end()  # a mention of the tag
        if found["result"]:
            self._made_up = f"<{name}>"
        self._past = end + len(name) + 3
        return self._past

    # -- wrapping tags

    def _look_for_end(self, at: int, until: int) -> None:
        closing = f"</{self._wrap}>"
        end = self._text.find(closing, at, until)
        if end >= 0:
            self._unwrap(end + len(closing))

    def _unwrap(self, end: int) -> None:
        start, self._wrapped_at = self._wrapped_at, None
        if start is None:
            return
        if not self._found_in_wrap:
            inner = self._text[start + len(self._wrap) + 2 : end].strip()
            if not inner.endswith(f"</{self._wrap}>") and inner[:1] not in ("{", "[", "<"):
                return  # prose that names the tag
            if inner == f"</{self._wrap}>":
                return
            self._problems.append(f"<{self._wrap}> holds no call that can be read. {HOW}")
        self._spans.append((start, end))

    # -- one candidate; each gives the place to go on from

    def _tag(self, at: int) -> int:
        try:
            ask, end, closed = self._tags.read(at)
        except Unreadable as why:
            return at + 1 if why.at <= at else self._give_up(why.reason)
        self._take([ask], closed)
        self._spans.append((at, end))
        return max(end, at + 1)

    def _json(self, at: int) -> int:
        try:
            found = read_json(self._text, at)
        except Unreadable as why:
            if self._wrapped_at is not None or looks_like_a_call(self._text[at : at + 2_000], self._schemas):
                return self._give_up(why.reason)
            self._work -= max(why.work, why.at - at) + _TRY
            return at + 1 if self._work > 0 else self._give_up("too many brackets that begin nothing")
        asks = asks_of(found.value, self._schemas, sure=self._wrapped_at is not None)
        if asks and self._is_quoted(at, found.end):
            self._problems.append(
                "A call stands within a sentence, or in backticks, and was not run: that may be a mention. If it is"
                f" meant, write it alone, on lines of its own. {HOW}"
            )
        elif asks:
            self._take(asks, found.closed)
            self._spans.append(self._fenced(at, found.end))
        return found.end

    def _is_quoted(self, at: int, end: int) -> bool:
        """Whether a bare value is part of a sentence: words stand before it on its line, without an end."""
        if self._wrapped_at is not None:
            return False
        text = self._text
        begin = max(str.rfind(text, "\n", max(at - _LINE, 0), at) + 1, at - _LINE, 0)
        begin = max(begin, self._past, self._spans[-1][1] if self._spans else 0)
        stop = text.find("\n", end, end + _LINE)
        before, after = text[begin:at].strip(), text[end : stop if stop >= 0 else end + _LINE].strip()
        if before.endswith("`") and not before.endswith("``") and after.startswith("`"):
            return True
        if not _WORD.search(_MARKS.sub("", before)):
            return False
        return not before.rstrip("*_").endswith((":", ".", "!")) or bool(_WORD.search(_MARKS.sub("", after)))

    def _headed(self, found: re.Match[str]) -> int:
        """A name, and behind it the JSON object of its arguments."""
        name = named(found)
        try:
            value = read_json(self._text, found.end())
        except Unreadable as why:
            return self._give_up(why.reason)
        self._take([Ask(name, value.value)], value.closed)
        tail = TAIL.match(self._text, value.end)
        if tail is not None and tail["result"]:
            self._made_up = "line Observation:"
        end = value.end if tail is None else tail.end()
        self._spans.append((found.start(), end))
        return end

    def _give_up(self, reason: str) -> int:
        """Read no further: where a call's end is not known, what follows may be a string of it that holds calls."""
        self._found_in_wrap += 1
        self._problems.append(f"A call cannot be read: {reason}. Neither it nor what follows was run. {HOW}")
        return len(self._text)

    def _take(self, asks: list[Ask], closed: bool) -> None:
        for ask in asks:
            self._found_in_wrap += 1
            if ask.problem:
                self._problems.append(f"{ask.problem} {HOW}")
                continue
            if made_up := self._made_up:
                self._problems.append(
                    f"{ask.name[:100]} was not called: it stands after a {made_up} that you wrote yourself. "
                    "Results come from the tools alone: write the call, and wait for its result."
                )
                continue
            try:
                msgspec.json.encode(ask.arguments)
            except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
                self._problems.append(
                    f"The arguments of {ask.name[:100]} hold half a character or a number that is too large."
                )
                continue
            self._calls.append(Written(ask.name, ask.arguments, closed))

    # -- what is left

    def _fenced(self, start: int, end: int) -> tuple[int, int]:
        """The span of a value, with the code fence around it."""
        opens = _FENCE_OPENS.search(self._text[max(start - 40, 0) : start])
        closes = _FENCE_CLOSES.match(self._text, end)
        if opens is None or closes is None:
            return start, end
        return max(start - 40, 0) + opens.start(), closes.end()

    def _rest(self) -> str:
        kept: list[str] = []
        at = 0
        for start, end in sorted(self._spans):
            if start > at:
                kept.append(self._text[at:start])
            at = max(at, end)
        kept.append(self._text[at:])
        return "".join(kept).strip()


HOW = 'Write <tool_call>{"name": "...", "arguments": {...}}</tool_call>, with the arguments as a JSON object.'
"""What every problem ends with: the one way that is asked for (keep in step with `tool_prompt.py`)."""
