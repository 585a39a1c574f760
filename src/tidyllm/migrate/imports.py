"""The imports of a converted module: what is no longer used goes, what is new comes in its place.

It knows import statements and names, not what was converted. A new import stands where the old one stood, so that it
is found by the same code: inside a function, under `try`, in one branch of an `if`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import libcst as cst

from tidyllm.migrate.import_writer import MARKS, Change, Writer
from tidyllm.migrate.rewrite import Entry, Need, Rewriter
from tidyllm.migrate.scope import ImportNode, Scope
from tidyllm.migrate.texts import NAMES, is_annotation
from tidyllm.migrate.tree import children, dotted

__all__ = ["settle"]


def settle(file: Rewriter, tree: cst.Module) -> cst.Module:
    """The tree with its imports in order and every mark replaced by the name it stands for."""
    used, marks = _used(file, tree)
    before, _ = _used(file, file.module)
    needs = {need.mark: need for need in file.needs.values() if need.mark in marks}
    changes: dict[int, Change] = {}
    removed: set[tuple[int, str]] = set()
    unused: list[Need] = []
    for statement, scope in file.scopes.imports:
        changes[id(statement)] = _plan(file, statement, scope, _Uses(used, before, removed, unused))
    for need in unused:
        known = next(
            (one for one in needs.values() if (one.target, one.alias) == (need.target, need.alias)), None
        )
        if known is None:
            need.mark = f"{need.target} {need.alias}"
            needs[need.mark] = need
        else:
            known.statements.update(need.statements)
    names = _choose(file, needs, removed, changes)
    floating: dict[tuple[str, str], None] = {}
    for mark, need in needs.items():
        if not need.statements:
            floating[need.target, names[mark]] = None
    for mark, need in needs.items():
        for key in need.statements:
            changes[key].new[need.target, names[mark]] = None
    _drop_repeated(file, changes)
    _drop_known(file, changes, floating)
    if all(not (one.gone or one.new) for one in changes.values()) and not needs:
        return tree
    done = Writer(file.module, changes, names, floating).rewrite(tree)
    assert isinstance(done, cst.Module)
    return done


def _used(file: Rewriter, tree: cst.Module) -> tuple[set[tuple[int, str]], set[str]]:
    """The imports that names in the tree refer to (statement and local name), and the marks in it."""
    scopes = file.scopes
    marks = {need.mark for need in file.needs.values()}
    used: set[tuple[int, str]] = set()
    seen: set[str] = set()
    root = scopes.root

    def look(node: cst.CSTNode) -> None:
        if isinstance(node, cst.Import | cst.ImportFrom):
            return
        if isinstance(node, cst.SimpleString):
            value = node.value.strip("rRbBuU").strip("'\"")
            inside = set(MARKS.findall(value)) & marks
            if inside or is_annotation(file, node):
                seen.update(inside)
                used.update(_quoted(file, scopes.of.get(id(node), root), value))
            elif value in root.names and _in_all(file, node):
                used.update(
                    (id(one.statement), value) for one in root.names[value] if one.statement is not None
                )
            return
        if isinstance(node, cst.Name):
            if node.value in marks:
                seen.add(node.value)
                return
            if id(node) in scopes.not_read or id(node) in scopes.binding_names:
                return
            scope = scopes.of.get(id(node), root)
            holder = scope.holder(node.value)
            if holder is not None:
                used.update(
                    (id(one.statement), node.value)
                    for one in holder.names[node.value]
                    if one.statement is not None
                )
            else:
                used.update((id(statement), "*") for _, statement in root.stars if _from_star(file, node))
            return
        if isinstance(node, cst.Attribute):
            look(node.value)
            return
        if isinstance(node, cst.Arg):
            look(node.value)
            return
        for child in children(node):
            look(child)

    look(tree)
    return used, seen


def _quoted(file: Rewriter, scope: Scope, hint: str) -> set[tuple[int, str]]:
    """The imports that a type hint in quotes refers to."""
    found: set[tuple[int, str]] = set()
    for match in NAMES.finditer(hint):
        base = match[0].partition(".")[0]
        holder = scope.holder(base)
        for one in holder.names[base] if holder is not None else ():
            if one.statement is not None:
                found.add((id(one.statement), base))
    return found


def _from_star(file: Rewriter, node: cst.Name) -> bool:
    return file.resolver.reference(node) is not None


def _in_all(file: Rewriter, node: cst.SimpleString) -> bool:
    here = file.scopes.statement(node)
    if isinstance(here, cst.Assign):
        return any(dotted(one.target) == "__all__" for one in here.targets)
    return isinstance(here, cst.AugAssign | cst.AnnAssign) and dotted(here.target) == "__all__"


@dataclass(frozen=True)
class _Uses:
    """Which imports names refer to now and before, and what is found while going through them."""

    now: set[tuple[int, str]]
    before: set[tuple[int, str]]
    removed: set[tuple[int, str]]
    unused: list[Need]


def _plan(file: Rewriter, statement: ImportNode, scope: Scope, uses: _Uses) -> Change:
    change = Change()
    used, before, removed, unused = uses.now, uses.before, uses.removed, uses.unused
    if isinstance(statement.names, cst.ImportStar):
        _plan_star(file, statement, used, before, change)
        return change
    for alias in statement.names:
        whole = dotted(alias.name) or ""
        asname = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else ""
        local = asname or (whole.partition(".")[0] if isinstance(statement, cst.Import) else whole)
        key = id(statement), local
        if key in used or (scope is file.scopes.root and local in file.facts.keep):
            change.keep.append(alias)
        elif key in before or _replace_unused(file, statement, alias, unused):
            change.gone = True
            removed.add(key)
        else:
            change.keep.append(alias)
    return change


def _plan_star(
    file: Rewriter,
    statement: ImportNode,
    used: set[tuple[int, str]],
    before: set[tuple[int, str]],
    change: Change,
) -> None:
    assert isinstance(statement, cst.ImportFrom)
    key = id(statement), "*"
    module = "." * len(statement.relative) + (dotted(statement.module) or "" if statement.module else "")
    rules = file.resolver.legacy_module(module)
    change.star = True
    if rules is None or key in used:
        return
    if key in before:
        change.star, change.gone = False, True
    elif rules.closed:
        file.log.append(
            Entry("could_not", rules, "*", statement, "everything is imported, and nothing of it is seen to be used",
                  "Import the names that are meant.")
        )  # fmt: skip


def _replace_unused(
    file: Rewriter, statement: ImportNode, alias: cst.ImportAlias, unused: list[Need]
) -> bool:
    """An import that nothing uses (it asks whether the module is there, or passes a name on)."""
    asname = alias.asname.name.value if alias.asname and isinstance(alias.asname.name, cst.Name) else ""
    whole = dotted(alias.name) or ""
    local = asname or (whole.partition(".")[0] if isinstance(statement, cst.Import) else whole)
    if isinstance(statement, cst.Import):
        rules = file.resolver.legacy_module(dotted(alias.name) or "")
        if rules is None or not rules.closed:
            return False
        if not rules.home or asname:
            file.log.append(
                Entry("could_not", rules, local, statement, "the module is imported as a whole", "")
            )
            return False
        file.log.append(Entry("converted", rules, local, statement))
        unused.append(Need(f"{rules.home}.", "", {id(statement): statement}))
        return True
    module = "." * len(statement.relative) + (dotted(statement.module) or "" if statement.module else "")
    name = dotted(alias.name) or ""
    origin = f"{module}{name}" if module.endswith(".") else f"{module}.{name}"
    legacy = file.resolver.legacy(origin)
    if legacy is None:
        return False
    rules, rule, _ = legacy
    if rule is None or not rule.to or f"{rules.pattern}.{rule.name}" in file.blocked:
        if not rules.closed:
            return False
        if not file.facts.is_package and any(
            one.kind == "converted" and one.rules is rules for one in file.log
        ):
            return True  # it was never used, and the others of its kind are gone
        reason = (rule.reason if rule else "") or "nothing takes its place"
        file.log.append(Entry("could_not", rules, name, statement, reason, rule.by_hand if rule else ""))
        return False
    file.log.append(Entry("converted", rules, rule.name, statement))
    unused.append(Need(rule.to, asname if asname != name else "", {id(statement): statement}))
    return True


def _choose(
    file: Rewriter, needs: Mapping[str, Need], removed: set[tuple[int, str]], changes: Mapping[int, Change]
) -> dict[str, str]:
    """What each new name is called here: its own name where that is free, else with `tidyllm_` in front."""
    chosen: dict[str, str] = {}
    for mark, need in needs.items():
        own = need.alias or need.target.rstrip(".").rpartition(".")[2]
        if own and not _free(file, own, need.target, removed):
            own = f"tidyllm_{own}"
        chosen[mark] = own
    return chosen


def _free(file: Rewriter, name: str, target: str, removed: set[tuple[int, str]]) -> bool:
    for scope in _all_scopes(file):
        for one in scope.names.get(name, ()):
            if one.kind == "import":
                if (
                    file.facts.absolute(one.origin) == target.rstrip(".")
                    or (id(one.statement), name) in removed
                ):
                    continue
                return False
            if one.soft and any(
                other.kind == "import" and (id(other.statement), name) in removed
                for other in scope.names[name]
            ):
                continue
            return False
    return True


def _all_scopes(file: Rewriter) -> list[Scope]:
    found = {id(scope): scope for scope in file.scopes.of.values()}
    return list(found.values())


def _drop_repeated(file: Rewriter, changes: Mapping[int, Change]) -> None:
    """What several imports at the top of the module need from one module comes with the first of them."""
    first: dict[str, Change] = {}
    for statement, _ in file.scopes.imports:
        line = file.scopes.parent(statement)
        if not isinstance(line, cst.SimpleStatementLine) or file.scopes.parent(line) is not file.module:
            continue
        change = changes[id(statement)]
        own = change.new
        change.new = {}
        for target, name in own:
            first.setdefault(target.rpartition(".")[0], change).new[target, name] = None


def _drop_known(file: Rewriter, changes: Mapping[int, Change], floating: dict[tuple[str, str], None]) -> None:
    """What the file imports already at its top is not imported once more."""
    known: dict[tuple[str, str], int] = {}
    order = {id(statement): place for place, (statement, _) in enumerate(file.scopes.imports)}
    for name, bindings in file.scopes.root.names.items():
        for one in bindings:
            line = None if one.statement is None else file.scopes.parent(one.statement)
            if one.kind == "import" and line is not None and file.scopes.parent(line) is file.module:
                place = order[id(one.statement)]
                known[file.facts.absolute(one.origin), name] = place
                known[f"{one.origin}.", name] = place
    for key in list(floating):
        if key in known:
            del floating[key]
    for statement, scope in file.scopes.imports:
        change = changes[id(statement)]
        here = order[id(statement)]
        change.new = {
            one: None
            for one in change.new
            if one not in known or (scope is file.scopes.root and known[one] > here)
        }  # fmt: skip
