"""Writing import statements anew, and names in place of marks. It decides nothing (see `imports`).

A new import stands where the old one stood; comments of a line that goes away stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from tidyllm.migrate.scope import ImportNode
from tidyllm.migrate.tree import comments, rebuilt

__all__ = ["MARKS", "Change", "Writer"]

MARKS = re.compile(r"_tidyllm_need_\d+_")
"""What stands for new names until it is known what they are called."""
_LONGEST = 100


@dataclass(slots=True)
class Change:
    """What becomes of one import statement."""

    keep: list[cst.ImportAlias] = field(default_factory=list[cst.ImportAlias])
    star: bool = False
    gone: bool = False
    """Something is taken out of it."""
    new: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    """Dotted targets and the names they get here."""


def _lines(new: Mapping[tuple[str, str], None]) -> list[str]:
    """The import statements for these names."""
    modules: dict[str, list[str]] = {}
    plain: list[str] = []
    for target, name in new:
        module, _, last = target.rpartition(".")
        if not last:
            plain.append(
                f"import {module}"
                if name in {"", module.rpartition(".")[2]}
                else f"import {module} as {name}"
            )
            continue
        modules.setdefault(module, []).append(last if last == name else f"{last} as {name}")
    return sorted(plain) + [
        f"from {module} import {', '.join(sorted(names, key=str.lower))}"
        for module, names in sorted(modules.items())
    ]


class Writer:
    """Goes through the tree once more."""

    def __init__(
        self,
        module: cst.Module,
        changes: Mapping[int, Change],
        names: Mapping[str, str],
        floating: Mapping[tuple[str, str], None],
    ) -> None:
        self.module = module
        self.changes = changes
        self.names = names
        self.floating = floating

    def rewrite(self, node: cst.CSTNode) -> cst.CSTNode:
        if isinstance(node, cst.Name):
            return node.with_changes(value=self.names[node.value]) if node.value in self.names else node
        if isinstance(node, cst.SimpleString):
            if "_tidyllm_need_" not in node.value:
                return node
            return node.with_changes(value=MARKS.sub(lambda one: self.names.get(one[0], one[0]), node.value))
        if isinstance(node, cst.Import | cst.ImportFrom):
            return node
        if isinstance(node, cst.SimpleStatementSuite):
            body = self._small(node.body)
            return node if body is None else node.with_changes(body=body or [cst.Pass()])
        if isinstance(node, cst.IndentedBlock):
            done = rebuilt(node, self.rewrite)
            assert isinstance(done, cst.IndentedBlock)
            body, rest = self._body(done.body, node.body)
            if body is None:
                return done
            if rest:
                done = done.with_changes(footer=[*rest, *done.footer])
            return done.with_changes(body=body or [cst.SimpleStatementLine([cst.Pass()])])
        if isinstance(node, cst.Module):
            done = rebuilt(node, self.rewrite)
            assert isinstance(done, cst.Module)
            body, rest = self._body(done.body, node.body)
            if body is not None:
                done = done.with_changes(body=body, footer=[*rest, *done.footer])
            return self._floating(done)
        return rebuilt(node, self.rewrite)

    def _change(self, node: cst.CSTNode) -> Change | None:
        change = self.changes.get(id(node))
        return change if change is not None and (change.gone or change.new) else None

    def _small(self, body: Sequence[cst.BaseSmallStatement]) -> list[cst.BaseSmallStatement] | None:
        """Several statements on one line; None when nothing changes."""
        done: list[cst.BaseSmallStatement] = []
        changed = False
        for one in body:
            change = self._change(one)
            if change is None:
                new = self.rewrite(one)
                assert isinstance(new, cst.BaseSmallStatement)
                changed = changed or new is not one
                done.append(new)
                continue
            changed = True
            assert isinstance(one, cst.Import | cst.ImportFrom)
            kept = _kept(one, change)
            if kept is not None:
                done.append(kept)
            done.extend(self._parsed(change.new))
        return done if changed else None

    def _parsed(self, new: Mapping[tuple[str, str], None]) -> list[cst.BaseSmallStatement]:
        found: list[cst.BaseSmallStatement] = []
        for written in _lines(new):
            text = written
            if len(text) > _LONGEST:
                head, _, names = text.partition(" import ")
                newline = self.module.default_newline
                text = (
                    f"{head} import ({newline}    "
                    + f",{newline}    ".join(names.split(", "))
                    + f",{newline})"
                )
            line = cst.parse_statement(text, self.module.config_for_parsing)
            assert isinstance(line, cst.SimpleStatementLine)
            found.extend(line.body)
        return found

    def _body(
        self, body: Sequence[cst.BaseStatement], old: Sequence[cst.BaseStatement]
    ) -> tuple[list[cst.BaseStatement] | None, list[cst.EmptyLine]]:
        """The statements of a block; comments of a line that goes away stay with the next one."""
        done: list[cst.BaseStatement] = []
        carry: list[cst.EmptyLine] = []
        changed = False
        for written in body:
            line = written
            if not isinstance(line, cst.SimpleStatementLine) or not any(
                self._change(one) for one in line.body
            ):
                if carry:
                    line = line.with_changes(leading_lines=[*carry, *_leading(line)])
                    carry = []
                done.append(line)
                continue
            changed = True
            small = self._small(line.body) or []
            if not small:
                carry += _comments(line)
                continue
            if len(line.body) == 1:
                above = [*carry, *line.leading_lines, *_inside(line.body[0], small)]
                first = cst.SimpleStatementLine(
                    [small[0]], leading_lines=above, trailing_whitespace=line.trailing_whitespace
                )
                done += [first, *(cst.SimpleStatementLine([one]) for one in small[1:])]
            else:
                done.append(
                    line.with_changes(body=_spaced(small), leading_lines=[*carry, *line.leading_lines])
                )
            carry = []
        return (done if changed else None), carry

    def _floating(self, module: cst.Module) -> cst.Module:
        """New imports that no old one gives a place to: behind the last import at the top."""
        if not self.floating:
            return module
        place = 0
        for number, line in enumerate(module.body):
            if isinstance(line, cst.SimpleStatementLine) and all(
                isinstance(one, cst.Import | cst.ImportFrom) for one in line.body
            ):
                place = number + 1
            elif (
                number == 0
                and isinstance(line, cst.SimpleStatementLine)
                and isinstance(line.body[0], cst.Expr)
            ):
                place = 1
        lines = [cst.SimpleStatementLine([one]) for one in self._parsed(self.floating)]
        return module.with_changes(body=[*module.body[:place], *lines, *module.body[place:]])


def _kept(statement: ImportNode, change: Change) -> ImportNode | None:
    if change.star or not change.gone:
        return statement
    if not change.keep:
        return None
    names = list(change.keep)
    if isinstance(statement, cst.ImportFrom) and statement.lpar is not None:
        assert not isinstance(statement.names, cst.ImportStar)
        names[-1] = names[-1].with_changes(comma=statement.names[-1].comma)  # the line end before the bracket
        return statement.with_changes(names=names)
    names[-1] = names[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return statement.with_changes(names=names)


def _spaced(body: Sequence[cst.BaseSmallStatement]) -> list[cst.BaseSmallStatement]:
    semicolon = cst.Semicolon(whitespace_after=cst.SimpleWhitespace(" "))
    return [
        one
        if isinstance(one.semicolon, cst.Semicolon) or place == len(body) - 1
        else one.with_changes(semicolon=semicolon)
        for place, one in enumerate(body)
    ]


def _leading(line: cst.BaseStatement) -> Sequence[cst.EmptyLine]:
    return getattr(line, "leading_lines", ())


def _inside(old: cst.CSTNode, new: Sequence[cst.CSTNode]) -> list[cst.EmptyLine]:
    """The comments between the brackets of an import that goes away."""
    if old in new:
        return []
    above = len(old.leading_lines) if isinstance(old, cst.SimpleStatementLine) else 0
    words = [comment.value for child in list(old.children)[above:] for comment in comments(child)]
    kept = {comment.value for one in new for comment in comments(one)}
    return [cst.EmptyLine(comment=cst.Comment(word)) for word in words if word not in kept]


def _comments(line: cst.SimpleStatementLine) -> list[cst.EmptyLine]:
    return [*line.leading_lines, *_inside(line, [])]
