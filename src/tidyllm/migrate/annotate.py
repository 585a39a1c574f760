"""Comments above what could not be converted. It knows lines, not code."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from tidyllm.migrate.findings import Finding

__all__ = ["MARK", "annotated"]

MARK = "# tidyllm migrate:"


def annotated(before: str, after: str, findings: Sequence[Finding]) -> str:
    """The converted text with a comment above each statement that holds something that could not be converted.

    A comment that is there already is not written again.
    """
    left = [one for one in findings if one.kind == "could_not"]
    if not left:
        return after
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    places = _moved(old, new)
    starts = _starts(after)
    ending = "\r\n" if "\r\n" in after else "\n"
    wanted: dict[int, list[str]] = {}
    for one in left:
        place = places.get(one.line - 1)
        if place is None:
            continue
        first = max((line for line in starts if line <= place + 1), default=place + 1)
        text = f"{MARK} {one.name}: {' '.join(one.reason.split())}"
        notes = wanted.setdefault(first - 1, [])
        if text not in notes:
            notes.append(text)
    for place in sorted(wanted, reverse=True):
        indent = re.match(r"[ \t]*", new[place])
        above = place
        while above > 0 and new[above - 1].lstrip().startswith("#"):
            above -= 1
        there = "".join(new[above:place])
        lines = [
            f"{indent[0] if indent else ''}{text}{ending}" for text in wanted[place] if text not in there
        ]
        new[place:place] = lines
    return "".join(new)


def _moved(old: list[str], new: list[str]) -> dict[int, int]:
    """Where the lines of the old text are in the new one."""
    import difflib

    places: dict[int, int] = {}
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            places.update(zip(range(a, b), range(c, d), strict=True))
        elif tag == "replace":
            places.update((line, min(c + line - a, d - 1)) for line in range(a, b))
    return places


def _starts(text: str) -> list[int]:
    """The lines on which statements begin, so that no comment lands inside one."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return []
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            lines = [node.lineno]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                lines += [one.lineno for one in node.decorator_list]
            found.add(min(lines))
    return sorted(found)
