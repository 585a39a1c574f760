"""The code cells of a notebook as one module, and back into the notebook. It knows JSON's texts, nothing of kernels.

The cells of a notebook share their names, so they are converted together, with a comment between them. Of the file only
the changed lines of changed cells are written anew, in place: all other bytes stay. Lines with magics are put aside.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field

from tidyllm.migrate.errors import MigrateError

__all__ = ["Notebook"]

_CELL = "# tidyllm-cell-{}"
_CELLS = re.compile(r"^# tidyllm-cell-(\d+)\n", re.MULTILINE)
_MAGIC = "pass  # tidyllm-magic-{}"
_MAGICS = re.compile(r"pass  # tidyllm-magic-(\d+)$", re.MULTILINE)
_IS_MAGIC = re.compile(r"^\s*(%|!|\?|[\w.]+\?{1,2}\s*$)|^\s*[\w, ]+=\s*(%|!)")
_PYTHON_CELLS = ("%%time", "%%timeit", "%%capture", "%%prun")


@dataclass(slots=True)
class _Cell:
    number: int
    text: str
    span: tuple[int, int]
    """Where the value of `source` stands in the file's text."""
    is_list: bool
    prepared: str = ""
    indent: str = ""
    first_line: int = 0


@dataclass(slots=True)
class Notebook:
    """A notebook's text, its code cells, and one module made of them."""

    raw: str
    cells: list[_Cell] = field(default_factory=list[_Cell])
    magics: list[str] = field(default_factory=list[str])
    skipped: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Cells that are no Python, and why."""

    @classmethod
    def read(cls, raw: str) -> Notebook:
        """:raises MigrateError: it is no notebook."""
        try:
            document: object = json.loads(raw)
        except ValueError as error:
            raise MigrateError(f"it is no notebook: {error}.", "Open it in Jupyter and save it.") from error
        if not isinstance(document, dict) or not isinstance(document.get("cells"), list):  # pyright: ignore[reportUnknownMemberType] - JSON
            raise MigrateError(
                "it is no notebook of version 4: it has no list of cells.", "Save it in Jupyter."
            )
        book = cls(raw)
        for number, (kind, span) in enumerate(_Finder(raw).cells(), 1):
            if kind != "code" or span is None:
                continue
            value: object = json.loads(raw[span[0] : span[1]])
            text = "".join(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownArgumentType] - JSON
            if isinstance(text, str) and text.strip():
                book._add(_Cell(number, text, span, isinstance(value, list)))
        return book

    def _add(self, cell: _Cell) -> None:
        lines = cell.text.split("\n")
        first = lines[0].lstrip()
        if first.startswith("%%") and not first.startswith(_PYTHON_CELLS):
            return
        kept = len(self.magics)
        for place, line in enumerate(lines):
            if _IS_MAGIC.match(line):
                indent = line[: len(line) - len(line.lstrip())]
                lines[place] = indent + _MAGIC.format(len(self.magics))
                self.magics.append(line[len(indent) :])
        prepared = "\n".join(lines)
        try:
            compile(prepared, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
        except (SyntaxError, ValueError) as error:
            # A line inside a text that looked like a magic, or no Python at all.
            del self.magics[kept:]
            try:
                compile(cell.text, "cell", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
            except (SyntaxError, ValueError):
                self.skipped.append((cell.number, f"cell {cell.number} does not parse: {error}"))
                return
            prepared = cell.text
        cell.prepared = prepared
        self.cells.append(cell)

    def module(self) -> str:
        """All code cells as one module."""
        text, line = "", 1
        for cell in self.cells:
            cell.first_line = line + 1
            text += _CELL.format(cell.number) + "\n" + cell.prepared + "\n"
            line += cell.prepared.count("\n") + 2
        return text

    def place(self, line: int) -> tuple[int, int]:
        """The cell and the line in it for a line of the module."""
        for cell in reversed(self.cells):
            if line >= cell.first_line:
                return cell.number, line - cell.first_line + 1
        return 1, line

    def replaced(self, module: str) -> str:
        """The notebook's text with the cells of a converted module.

        :raises MigrateError: the cells cannot be told apart any more.
        """
        parts = _CELLS.split(module)
        found = {int(parts[place]): parts[place + 1] for place in range(1, len(parts), 2)}
        if parts[0].strip() or set(found) != {cell.number for cell in self.cells}:
            raise MigrateError("a change would reach over the border of two cells.", "Convert it by hand.")
        raw = self.raw
        for cell in reversed(self.cells):
            new = found[cell.number].removesuffix("\n")
            if new == cell.prepared:
                continue
            text = _MAGICS.sub(lambda match: self.magics[int(match[1])], new)
            raw = raw[: cell.span[0]] + self._written(cell, text) + raw[cell.span[1] :]
        return raw

    def _written(self, cell: _Cell, text: str) -> str:
        old = self.raw[cell.span[0] : cell.span[1]]
        ascii_only = old.isascii()
        if not cell.is_list:
            return json.dumps(text, ensure_ascii=ascii_only)
        lines = [json.dumps(line, ensure_ascii=ascii_only) for line in text.splitlines(keepends=True)]
        inner = re.match(r"\[(\s*)", old)
        outer = re.search(r"(\s*)\]$", old)
        start, end = (inner[1] if inner else ""), (outer[1] if outer else "")
        return "[" + start + f",{start or ' '}".join(lines) + end + "]"


class _Finder:
    """Finds the values of `source` in a notebook's text, which a decoder that gives values alone cannot."""

    _SPACE = re.compile(r"[ \t\r\n]*")

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self._scan = json.JSONDecoder().raw_decode

    def cells(self) -> list[tuple[str, tuple[int, int] | None]]:
        """For each cell its type and where its source stands."""
        found: list[tuple[str, tuple[int, int] | None]] = []
        for name, start, _ in self._members(self._skip(0)):
            if name == "cells":
                for begin, _ in self._items(start):
                    found.append(self._cell(begin))
        return found

    def _cell(self, begin: int) -> tuple[str, tuple[int, int] | None]:
        kind, span = "", None
        for key, start, end in self._members(begin):
            if key == "cell_type":
                kind = str(json.loads(self.raw[start:end]))
            elif key == "source":
                span = start, end
        return kind, span

    def _skip(self, at: int) -> int:
        match = self._SPACE.match(self.raw, at)
        return match.end() if match is not None else at

    def _members(self, at: int) -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        at = self._skip(at + 1)
        while self.raw[at] != "}":
            name, at = self._scan(self.raw, at)
            at = self._skip(self._skip(at) + 1)
            start = at
            _, at = self._scan(self.raw, at)
            found.append((str(name), start, at))
            at = self._skip(at)
            if self.raw[at] == ",":
                at = self._skip(at + 1)
        return found

    def _items(self, at: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        at = self._skip(at + 1)
        while self.raw[at] != "]":
            start = at
            _, at = self._scan(self.raw, at)
            found.append((start, at))
            at = self._skip(at)
            if self.raw[at] == ",":
                at = self._skip(at + 1)
        return found
