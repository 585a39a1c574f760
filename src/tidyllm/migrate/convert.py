"""From the text of a module to the text of the converted one, with what was found. It knows no files."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module

import libcst as cst

from tidyllm.migrate.findings import Finding
from tidyllm.migrate.imports import settle
from tidyllm.migrate.resolve import Facts
from tidyllm.migrate.rewrite import Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.scope import Scopes
from tidyllm.migrate.tree import children, name_occurrences

__all__ = ["Converted", "convert"]


@dataclass(frozen=True)
class Converted:
    """The result for one text."""

    text: str
    findings: tuple[Finding, ...]
    tainted: frozenset[str]
    exports: tuple[tuple[str, str], ...]
    kept: frozenset[str]
    renamed: tuple[tuple[str, str], ...] = ()
    reshaped: frozenset[str] = frozenset()


def convert(text: str, library: Sequence[Rules], facts: Facts | None = None) -> Converted:
    """Convert what can be, list the rest.

    :raises SyntaxError: the text is no Python. (LibCST's own error is made one.)
    """
    facts = facts or Facts()
    try:
        module = cst.parse_module(text)
    except cst.ParserSyntaxError as error:
        raise SyntaxError(f"line {error.raw_line}: {error.message}") from error
    if module.code != text:
        raise SyntaxError("it would not come back byte for byte")
    scopes = Scopes(module)
    handlers = {
        rules.pattern: import_module(f"tidyllm.migrate.patterns.{rules.pattern}") for rules in library
    }
    file = Rewriter(module, scopes, library, handlers, facts)
    file.has_comments = "#" in text
    done = settle(file, file.run())
    lines = _Lines(module, text)
    findings = [
        Finding(
            entry.kind, entry.rules.pattern, entry.name, lines.of(entry.node), entry.reason, entry.by_hand
        )
        for entry in file.log
    ]
    changed = done.code
    if changed == text:
        findings = [one for one in findings if one.kind == "could_not"]
    unique = dict.fromkeys(replace(one) for one in sorted(findings, key=lambda one: one.line))
    root = scopes.root
    tainted = frozenset(name for home, name in file.tainted if home == id(root))
    reshaped = frozenset(name for home, name in file.reshaped if home == id(root))
    exports = tuple(
        (name, file.resolver.canonical(one.origin))
        for name, bindings in root.names.items()
        for one in bindings
        if one.kind == "import" and file.resolver.legacy(one.origin) is not None
    )
    imported = _still_imported(done) if file.needs or exports else []
    kept = frozenset(
        facts.absolute(one.origin) for one in imported if file.resolver.legacy(one.origin) is not None
    )
    here = {one.local: one.origin for one in imported}
    renamed: list[tuple[str, str]] = []
    for name, origin in exports:
        legacy = file.resolver.legacy(origin) if name not in here else None
        to = legacy[1].to if legacy is not None and legacy[1] is not None else ""
        renamed += [(name, local) for local, one in here.items() if to and one == to][:1]
    return Converted(changed, tuple(unique), tainted, exports, kept, tuple(renamed), reshaped)


def _still_imported(module: cst.Module) -> list[_Origin]:
    found: list[_Origin] = []

    def look(node: cst.CSTNode) -> None:
        if isinstance(node, cst.ImportFrom):
            base = "." * len(node.relative) + (_dotted(node.module) if node.module is not None else "")
            if not isinstance(node.names, cst.ImportStar):
                for alias in node.names:
                    name = _dotted(alias.name)
                    local = alias.evaluated_alias or name
                    found.append(_Origin(f"{base}{name}" if base.endswith(".") else f"{base}.{name}", local))
            return
        if isinstance(node, cst.BaseExpression):
            return
        for child in children(node):
            look(child)

    look(module)
    return found


@dataclass(frozen=True)
class _Origin:
    origin: str
    local: str


def _dotted(node: cst.CSTNode) -> str:
    from tidyllm.migrate.tree import dotted

    return dotted(node) or ""


class _Lines:
    """Line numbers of nodes: the n-th time that a name stands in the tree is the n-th time it stands in the text."""

    def __init__(self, module: cst.Module, text: str) -> None:
        self._module = module
        self._text = text
        self._numbers: dict[int, int] | None = None

    def of(self, node: cst.CSTNode) -> int:
        if self._numbers is None:
            self._numbers = self._count()
        numbers = self._numbers

        def look(one: cst.CSTNode) -> int:
            if id(one) in numbers:
                return numbers[id(one)]
            for child in children(one):
                line = look(child)
                if line:
                    return line
            return 0

        return look(node) or self._literal(node)

    def _literal(self, node: cst.CSTNode) -> int:
        if isinstance(node, cst.SimpleString) and node.value in self._text:
            return self._text[: self._text.index(node.value)].count("\n") + 1
        return 1

    def _count(self) -> dict[int, int]:
        places: dict[str, list[int]] = {}
        depth = 0
        opens, closes = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
        try:
            for token in tokenize.generate_tokens(io.StringIO(self._text).readline):
                if token.type == opens:
                    depth += 1
                elif token.type == closes:
                    depth -= 1
                elif token.type == tokenize.NAME and not depth:
                    places.setdefault(token.string, []).append(token.start[0])
        except (tokenize.TokenError, SyntaxError):
            return {}
        seen: dict[str, int] = {}
        numbers: dict[int, int] = {}
        for name in name_occurrences(self._module):
            count = seen.get(name.value, 0)
            seen[name.value] = count + 1
            lines = places.get(name.value, [])
            if count < len(lines):
                numbers[id(name)] = lines[count]
        return numbers
