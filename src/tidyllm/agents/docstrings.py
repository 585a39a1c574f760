"""What a docstring says of a function and of its parameters: Google's, NumPy's and reST's ways to write it. Pure.

It understands the parts that describe parameters, and takes the text before the first part as the description. What
it cannot place stays in the description: nothing is lost, at worst a parameter has no words of its own.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection

__all__ = ["describe"]

_GOOGLE_PARAMETERS = frozenset({"args:", "arguments:", "parameters:", "params:", "keyword args:"})
_GOOGLE_OTHER = frozenset(
    {"returns:", "return:", "raises:", "yields:", "example:", "examples:", "note:", "notes:", "see also:"}
)
_NUMPY_PARAMETERS = frozenset({"parameters", "other parameters"})
_REST = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_REST_OTHER = re.compile(r":(?:type|returns?|rtype|raises?|raise|yields?|except|exception)\b[^:]*:")
# `name: words`, `name (type): words`, `- name: words`, `` `name`: words ``
_ENTRY = re.compile(r"(?:[-*]\s+)?[`*]{0,2}(\w+)[`*]{0,2}\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ENTRY = re.compile(r"\*{0,2}(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?")


def describe(docstring: str | None, parameters: Collection[str]) -> tuple[str, dict[str, str]]:
    """The description, and the words for each of `parameters` that has some."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    kept: list[str] = []
    words: dict[str, list[str]] = {}
    at = 0
    while at < len(lines):
        line = lines[at].strip()
        below = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if len(below) >= 3 and not below.strip("-"):
            is_ours = line.lower() in _NUMPY_PARAMETERS
            at = _numpy(lines, at + 2, parameters, words if is_ours else {})
        elif line.lower() in _GOOGLE_PARAMETERS:
            at = _indented(lines, at + 1, parameters, words)
        elif line.lower() in _GOOGLE_OTHER:
            at = _indented(lines, at + 1, (), {})
        elif match := _REST.match(line):
            at = _rest(lines, at, match, parameters, words)
        elif _REST_OTHER.match(line):
            at = _rest(lines, at, None, (), {})
        elif (match := _ENTRY.fullmatch(line)) and match[1] in parameters:
            # No heading at all: `path: where it lies` on a line of its own.
            at = _plain(lines, at, match, words)
        else:
            kept.append(lines[at].rstrip())
            at += 1
    described = {name: " ".join(part for part in parts if part) for name, parts in words.items()}
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip(), {
        name: text for name, text in described.items() if text
    }


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _indented(lines: list[str], at: int, parameters: Collection[str], words: dict[str, list[str]]) -> int:
    """A part of Google's kind: entries are indented, what belongs to one is indented further."""
    level: int | None = None
    current: list[str] = []
    while at < len(lines) and (not lines[at].strip() or _indent(lines[at]) > 0):
        line = lines[at].strip()
        at += 1
        if not line:
            continue
        depth = _indent(lines[at - 1])
        level = depth if level is None else level
        match = _ENTRY.fullmatch(line) if depth <= level else None
        if match and match[1] in parameters:
            current = words.setdefault(match[1], [])
            current.append(match[2].strip())
        elif match:
            current = []  # of something that is no parameter
        else:
            current.append(line)
    return at


def _numpy(lines: list[str], at: int, parameters: Collection[str], words: dict[str, list[str]]) -> int:
    """A part of NumPy's kind: `name : type`, and below it, indented, what it is; ends before the next heading."""
    current: list[list[str]] = []
    while at < len(lines):
        line = lines[at]
        below = lines[at + 1].strip() if at + 1 < len(lines) else ""
        if line.strip() and len(below) >= 3 and not below.strip("-"):
            break
        at += 1
        if not line.strip():
            continue
        if _indent(line) == 0:
            match = _NUMPY_ENTRY.fullmatch(line.strip())
            names = re.split(r"\s*,\s*", match[1]) if match else []
            current = [words.setdefault(name, []) for name in names if name in parameters]
        else:
            for parts in current:
                parts.append(line.strip())
    return at


def _rest(
    lines: list[str],
    at: int,
    match: re.Match[str] | None,
    parameters: Collection[str],
    words: dict[str, list[str]],
) -> int:
    """A field of reST's kind: its further lines are indented."""
    current = words.setdefault(match[1], []) if match and match[1] in parameters else []
    current.append(match[2].strip() if match else "")
    at += 1
    while at < len(lines) and lines[at].strip() and _indent(lines[at]) > 0:
        current.append(lines[at].strip())
        at += 1
    return at


def _plain(lines: list[str], at: int, match: re.Match[str], words: dict[str, list[str]]) -> int:
    level = _indent(lines[at])
    current = words.setdefault(match[1], [])
    current.append(match[2].strip())
    at += 1
    while at < len(lines) and lines[at].strip() and _indent(lines[at]) > level:
        current.append(lines[at].strip())
        at += 1
    return at
