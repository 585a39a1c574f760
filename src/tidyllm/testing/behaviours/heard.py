"""What a request holds, read as a listener would: who said what, which tools were called, what tests printed.

It knows the shapes of requests and of pytest's output; it knows no program and remembers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, cast

import msgspec

from tidyllm.models.message import Part, Text, ToolCall, ToolResult
from tidyllm.models.request import Request

__all__ = ["Heard", "Verdict", "conversation", "holds", "lines_of", "verdict"]

Verdict = Literal["passed", "failed"]


class Heard(msgspec.Struct, frozen=True):
    """One thing in a conversation. `told`: by the user or the system; `said`: by the model itself; `call` and `result`:
    of a tool, `name` with its `arguments`."""

    kind: Literal["told", "said", "call", "result"]
    text: str = ""
    name: str = ""
    arguments: dict[str, Any] = {}


_WRITTEN = re.compile(r"```(?:json)?\s*\n(\{.*?\})\s*\n```|<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


def conversation(request: Request) -> list[Heard]:
    """Everything in `request`, in order.

    A model without native tools calls them in its text; what the user says next is then the result.
    """
    heard: list[Heard] = []
    if request.system:
        system = request.system
        heard.append(
            Heard("told", system if isinstance(system, str) else "\n".join(each.text for each in system))
        )
    names: dict[str, tuple[str, dict[str, Any]]] = {}
    for turn in request.turns:
        called = [each for each in heard[-1:] if each.kind == "call"]
        if turn.role == "assistant":
            heard += _said(turn.parts, names)
            continue
        for part in turn.parts:
            if isinstance(part, ToolResult):
                name, arguments = names.get(part.call_id, ("", {}))
                heard.append(Heard("result", _text(part.content), name, arguments))
            elif isinstance(part, Text) and called and turn.role == "user":
                heard.append(Heard("result", part.text, called[-1].name, called[-1].arguments))
            elif isinstance(part, Text):
                heard.append(Heard("told", part.text))
    return heard


def _said(parts: tuple[Part, ...], names: dict[str, tuple[str, dict[str, Any]]]) -> Iterator[Heard]:
    for part in parts:
        if isinstance(part, ToolCall):
            names[part.id] = (part.name, part.arguments)
            yield Heard("call", part.raw_arguments, part.name, part.arguments)
        elif isinstance(part, Text):
            yield Heard("said", part.text)
            for match in _WRITTEN.finditer(part.text):
                try:
                    given = msgspec.json.decode(match[1] or match[2], type=dict[str, Any])
                except (msgspec.MsgspecError, RecursionError):
                    continue
                name = given.get("tool", given.get("name"))
                arguments = given.get("parameters", given.get("arguments"))
                if isinstance(name, str) and isinstance(arguments, dict):
                    yield Heard("call", match[0], name, cast("dict[str, Any]", arguments))


def _text(content: str | tuple[Part, ...]) -> str:
    return (
        content
        if isinstance(content, str)
        else "".join(each.text for each in content if isinstance(each, Text))
    )


# -- tests

_SUMMARY = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.MULTILINE)
_NAMED = re.compile(r"^(?:FAILED|ERROR) \S+", re.MULTILINE)
_REPORT = re.compile(
    r"^=+ (?:FAILURES|ERRORS) =+$.*?(?:^=*\s*(?:\d+ [a-z]+(?:, )?)+ in [\d.]+s[^\n]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def verdict(text: str) -> Verdict | None:
    """What the last summary of pytest in `text` says; None when there is none."""
    last: Verdict | None = None
    for match in _SUMMARY.finditer(text):
        bad = re.search(r"failed|error", match[1]) is not None
        last = "failed" if bad else "passed" if "passed" in match[1] else last
    if last is None and _NAMED.search(text):
        return "failed"
    return last


# -- files

_NUMBER = re.compile(r"^\s*\d+(?:\s*[|:│→]|\t)\s?")


def lines_of(text: str) -> list[str]:
    """The lines that are not empty, without line numbers in front and without indentation."""
    return [line for each in text.splitlines() if (line := _NUMBER.sub("", each).strip())]


def holds(text: str, snippet: str) -> bool:
    """Whether whole lines of `snippet` stand in `text` one after the other, outside of reports about failed tests.

    A traceback quotes lines of a file as it was; that is not the file. Texts within JSON are read as well.
    """
    wanted = "\n".join(["", *lines_of(snippet), ""])
    plain = _REPORT.sub("", text)
    texts = [plain, *_in_json(text)] if "\\n" in plain else [plain]
    return any(wanted in "\n".join(["", *lines_of(each), ""]) for each in texts)


def _in_json(text: str) -> Iterator[str]:
    """The strings in a text that is JSON."""
    try:
        waiting: list[Any] = [msgspec.json.decode(text)]
    except (msgspec.MsgspecError, RecursionError):
        return
    while waiting:
        value: object = waiting.pop()
        if isinstance(value, str):
            yield _REPORT.sub("", value)
        elif isinstance(value, dict):
            waiting += cast("dict[str, Any]", value).values()
        elif isinstance(value, list):
            waiting += cast("list[Any]", value)
