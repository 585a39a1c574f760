"""Unified diffs: read strictly, applied without fuzz. Pure: from texts to texts; it knows no files.

Every context and removed line must be in the file as the diff has it. Line numbers may be off (models miscount): a hunk
that does not fit where it says goes to the one place where it does; if there is none, or more than one, it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tidyllm.errors import EditConflict

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_END = "\\ No newline at end of file"


@dataclass
class Hunk:
    """One piece: the lines it expects and the lines it leaves, each with its line end."""

    line: int
    old: list[str] = field(default_factory=list[str])
    new: list[str] = field(default_factory=list[str])


@dataclass
class FilePatch:
    """The changes of one file; `None` stands for /dev/null."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list[Hunk])
    mode: int | None = None

    @property
    def path(self) -> str:
        """The name to speak of."""
        return self.new or self.old or "?"


def parse(diff: str) -> list[FilePatch]:
    """The files of a unified diff (plain or git's). `EditConflict` names the line that cannot be read."""
    lines = diff.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    patches: list[FilePatch] = []
    at = 0
    while at < len(lines):
        line = lines[at].rstrip("\r")
        if line.startswith("diff --git "):
            at = _git(lines, at, patches)
        elif line.startswith("--- ") and at + 1 < len(lines) and lines[at + 1].startswith("+++ "):
            patches.append(FilePatch(None, None))
            at = _file(lines, at, patches[-1])
        elif line.startswith(("@@", "+", "-")):
            raise EditConflict(
                f"diff, line {at + 1}: {line!r} belongs to no file; begin with '--- a/F' and '+++ b/F'"
            )
        else:
            at += 1  # words around the diff
    if not patches:
        raise EditConflict(
            "there is no unified diff here: expected '--- a/FILE', '+++ b/FILE' and '@@ -1,2 +1,3 @@'"
        )
    return patches


def _git(lines: list[str], at: int, patches: list[FilePatch]) -> int:
    header = lines[at].rstrip("\r")
    patch = FilePatch(None, None)
    names = re.fullmatch(r"diff --git a/(.+) b/(.+)", header)
    if names:
        patch.old, patch.new = names[1], names[2]
    patches.append(patch)
    at += 1
    while at < len(lines):
        line = lines[at].rstrip("\r")
        word, _, rest = line.partition(" ")
        if line.startswith(("GIT binary patch", "Binary files ")):
            raise EditConflict(f"diff, line {at + 1}: {patch.path} is binary; only text is changed here")
        if line.startswith("new file mode "):
            patch.old, patch.mode = None, _mode(rest, at)
        elif line.startswith("new mode "):
            patch.mode = _mode(rest, at)
        elif line.startswith("deleted file mode "):
            patch.new = None
        elif line.startswith("rename from "):
            patch.old = _name(rest.removeprefix("from "), at)
        elif line.startswith("rename to "):
            patch.new = _name(rest.removeprefix("to "), at)
        elif line.startswith(("copy from ", "copy to ")):
            raise EditConflict(f"diff, line {at + 1}: copies are not applied; give the new file in full")
        elif line.startswith("--- "):
            return _file(lines, at, patch)
        elif word not in {"index", "similarity", "dissimilarity", "old"}:
            break
        at += 1
    if patch.old is None and patch.new is None:
        raise EditConflict(f"{header!r} names no file")
    return at


def _mode(words: str, at: int) -> int:
    text = words.rsplit(" ", 1)[-1]
    if text not in {"100644", "100755"}:
        raise EditConflict(f"diff, line {at + 1}: mode {text} is not applied; only 100644 and 100755 are")
    return int(text[-3:], 8)


def _file(lines: list[str], at: int, patch: FilePatch) -> int:
    if at + 1 >= len(lines) or not lines[at + 1].startswith("+++ "):
        raise EditConflict(f"diff, line {at + 1}: '---' without '+++' in the next line")
    old, new = _name(lines[at][4:], at), _name(lines[at + 1][4:], at + 1)
    patch.old = None if old == "/dev/null" else _strip(old, "a/", new, "b/")
    patch.new = None if new == "/dev/null" else _strip(new, "b/", old, "a/")
    if patch.old is None and patch.new is None:
        raise EditConflict(f"diff, line {at + 1}: both sides are /dev/null")
    at += 2
    while at < len(lines) and (match := _HUNK.match(lines[at])):
        hunk = Hunk(int(match[1]))
        at = _hunk(
            lines,
            at,
            hunk,
            int(match[2] or 1 if match[2] != "0" else 0),
            int(match[4] or 1 if match[4] != "0" else 0),
        )
        patch.hunks.append(hunk)
    return at


def _hunk(lines: list[str], at: int, hunk: Hunk, olds: int, news: int) -> int:
    head = at
    at += 1
    last = " "
    while len(hunk.old) < olds or len(hunk.new) < news or (at < len(lines) and lines[at].startswith("\\")):
        if at >= len(lines):
            raise _counts(head, hunk, olds, news)
        line = lines[at]
        sign, rest = line[:1], line[1:] + "\n"
        if sign == "\\":
            _without_end(hunk, last, at)
        elif line in {"", "\r"}:  # an empty context line whose blank was lost
            sign, rest = " ", line + "\n"
        elif sign not in {" ", "+", "-"}:
            raise _counts(head, hunk, olds, news)
        if sign in {" ", "-"}:
            hunk.old.append(rest)
        if sign in {" ", "+"}:
            hunk.new.append(rest)
        last = sign if sign != "\\" else last
        at += 1
        if len(hunk.old) > olds or len(hunk.new) > news:
            raise _counts(head, hunk, olds, news)
    return at


def _counts(head: int, hunk: Hunk, olds: int, news: int) -> EditConflict:
    return EditConflict(
        f"diff, line {head + 1}: the hunk says {olds} old and {news} new lines, "
        f"but {len(hunk.old)} and {len(hunk.new)} follow; correct the numbers after @@"
    )


def _without_end(hunk: Hunk, last: str, at: int) -> None:
    sides = {" ": (hunk.old, hunk.new), "-": (hunk.old,), "+": (hunk.new,)}[last]
    for side in sides:
        if not side:
            raise EditConflict(f"diff, line {at + 1}: {_NO_END!r} follows no line")
        side[-1] = side[-1].removesuffix("\n")


def _name(text: str, at: int) -> str:
    name = text.rstrip("\r").split("\t", 1)[0].rstrip()
    if name.startswith('"'):
        raise EditConflict(f"diff, line {at + 1}: quoted names are not read; write the name as it is")
    if not name:
        raise EditConflict(f"diff, line {at + 1}: the name of the file is missing")
    return name


def _strip(name: str, prefix: str, other: str, others: str) -> str:
    """Names lose git's a/ and b/ only if both sides have them, or the other is /dev/null."""
    both = name.startswith(prefix) and (other.startswith(others) or other == "/dev/null")
    return name[len(prefix) :] if both else name


def apply(path: str, text: str, hunks: list[Hunk]) -> str:
    """The text after all hunks. `EditConflict` names the hunk that does not fit, and what was expected there."""
    lines = text.split("\n")
    file = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    result: list[str] = []
    done = 0
    for number, hunk in enumerate(hunks, 1):
        at = _place(path, file, hunk, done, number)
        result += file[done:at] + hunk.new
        done = at + len(hunk.old)
        if done < len(file) and result and not result[-1].endswith("\n"):
            raise EditConflict(
                f"{path}, hunk {number}: a line without its end would stand in the middle of the file"
            )
    result += file[done:]
    return "".join(result)


def _place(path: str, file: list[str], hunk: Hunk, done: int, number: int) -> int:
    size = len(hunk.old)
    if size == 0:
        if hunk.line < done or hunk.line > len(file):
            raise EditConflict(
                f"{path}, hunk {number}: there is no line {hunk.line} to insert after; add context lines"
            )
        return hunk.line
    said = hunk.line - 1
    if said >= done and file[said : said + size] == hunk.old:
        return said
    places = [at for at in range(done, len(file) - size + 1) if file[at : at + size] == hunk.old]
    if len(places) == 1:
        return places[0]
    if places:
        raise EditConflict(
            f"{path}, hunk {number}: its lines are not at line {hunk.line} but at {len(places)} other places; "
            "correct the line number or add context lines"
        )
    found = "".join(file[max(said, 0) : max(said, 0) + size]) or "(the file's end)"
    wanted = "".join(hunk.old)
    raise EditConflict(
        f"{path}, hunk {number} does not fit. Expected at line {hunk.line}:\n{wanted[:600]}\nFound:\n{found[:600]}\n"
        "Read the file again and make the diff from it; nothing was changed"
    )
