"""Which legacy name a name in a file means, and what kind of object a variable holds. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import libcst as cst

from tidyllm.migrate.rules import Name, Rules
from tidyllm.migrate.scope import Binding, Key, Scopes
from tidyllm.migrate.tree import children, dotted

__all__ = ["Facts", "Instance", "Reference", "Resolver"]


@dataclass(frozen=True)
class Facts:
    """What is known of the rest of the tree."""

    package: str = ""
    """Dotted name of the package that the file lies in."""
    is_package: bool = False
    """The file is an `__init__.py`: names that it imports and does not use are for others."""
    exports: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names that modules of the tree pass on, and where they come from."""
    foreign: frozenset[str] = frozenset()
    """Dotted names that look legacy and are something else: the tree itself defines them, with other parameters."""
    tainted: frozenset[str] = frozenset()
    """Dotted names in the tree that hold what could not be converted."""
    keep: frozenset[str] = frozenset()
    """Names that this file must go on passing on."""
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names in modules of the tree that are called something else now."""

    def absolute(self, origin: str) -> str:
        """A relative name made absolute."""
        bare = origin.lstrip(".")
        up = len(origin) - len(bare) - 1
        if up < 0:
            return origin
        parts = self.package.split(".") if self.package else []
        base = parts[: len(parts) - up] if up else parts
        return ".".join([*base, bare])


@dataclass(frozen=True)
class Reference:
    """A use of a legacy name."""

    rules: Rules
    rule: Name | None
    qualified: str
    bindings: tuple[Binding, ...]
    ambiguous: bool = False

    @property
    def name(self) -> str:
        return self.rule.name if self.rule is not None else self.qualified.rpartition(".")[2]


@dataclass(frozen=True)
class Instance:
    """What a variable holds."""

    rules: Rules
    rule: Name
    bindings: tuple[Binding, ...]
    mixed: bool = False
    """Something else is assigned to it as well."""


class Resolver:
    """Answers questions about one module."""

    def __init__(self, scopes: Scopes, library: Sequence[Rules], facts: Facts) -> None:
        self.scopes = scopes
        self.library = library
        self.facts = facts
        self._references: dict[int, Reference | None] = {}
        self._instances: dict[int, Instance | None] = {}
        self._asked: set[int] = set()

    # -- names

    def reference(self, node: cst.CSTNode) -> Reference | None:
        """The legacy name that a name or a dotted expression means."""
        if id(node) in self._references:
            return self._references[id(node)]
        found = self._reference(node)
        self._references[id(node)] = found
        return found

    def _reference(self, node: cst.CSTNode) -> Reference | None:
        if not isinstance(node, cst.Name | cst.Attribute):
            return None
        origin = self.origin(node)
        if origin is None:
            return None
        qualified, bindings, ambiguous = origin
        found = [one for one in map(self.legacy, qualified) if one is not None]
        if not found:
            return None
        rules, rule, name = found[0]
        same = len(found) == len(qualified) and all(one[1] is rule for one in found)
        return Reference(rules, rule, name, bindings, ambiguous or not same)

    def origin(self, node: cst.CSTNode) -> tuple[tuple[str, ...], tuple[Binding, ...], bool] | None:
        """Where a dotted expression comes from: the imported names, their imports, and whether others bind it too."""
        whole = dotted(node)
        scope = self.scopes.of.get(id(node))
        if whole is None or scope is None:
            return None
        base, _, rest = whole.partition(".")
        holder = scope.holder(base)
        if holder is None:
            return self.starred(base, rest)
        bindings = holder.names[base]
        imports = tuple(one for one in bindings if one.kind == "import")
        if not imports:
            return None
        hard = any(one.kind != "import" and not one.soft for one in bindings)
        names = dict.fromkeys(f"{one.origin}.{rest}" if rest else one.origin for one in imports)
        return tuple(names), imports, hard

    def starred(self, base: str, rest: str) -> tuple[tuple[str, ...], tuple[Binding, ...], bool] | None:
        """The same for a name that a star brings."""
        for module, statement in self.scopes.root.stars:
            name = f"{module}.{base}"
            found = self.legacy(name)
            if found is not None and found[1] is not None:
                whole = f"{name}.{rest}" if rest else name
                return (whole,), (Binding("import", base, name, statement),), False
        return None

    def canonical(self, origin: str) -> str:
        """The name at its source: what modules of the tree pass on is followed."""
        name = self.facts.absolute(origin)
        for _ in range(8):
            if name in self.facts.exports:
                name = self.facts.exports[name]
                continue
            module, _, last = name.rpartition(".")
            if module in self.facts.exports:
                name = f"{self.facts.exports[module]}.{last}"
                continue
            break
        return name

    def legacy(self, origin: str) -> tuple[Rules, Name | None, str] | None:
        """The rule for an imported name; a rule of None for an unknown name of a module that is legacy as a whole."""
        name = self.canonical(origin)
        if name in self.facts.foreign:
            return None
        for rules in self.library:
            rule = rules.find(name)
            if rule is not None:
                return rules, rule, name
        for rules in self.library:
            if rules.unknown(name) and not rules.module(name):
                return rules, None, name
        return None

    def legacy_module(self, origin: str) -> Rules | None:
        """The rules whose module this is."""
        name = self.canonical(origin)
        if name in self.facts.foreign:
            return None
        return next((rules for rules in self.library if rules.module(name)), None)

    # -- objects

    def instance(self, node: cst.CSTNode) -> Instance | None:
        """The legacy class that an expression is an instance of, as far as the file itself tells."""
        mark = id(node)
        if mark in self._instances:
            return self._instances[mark]
        if mark in self._asked or len(self._asked) > 200:
            return None
        self._asked.add(mark)
        try:
            found = self._instance(node)
        finally:
            self._asked.discard(mark)
        self._instances[mark] = found
        return found

    def _instance(self, node: cst.CSTNode) -> Instance | None:
        if isinstance(node, cst.Call):
            return self._made_by(node.func)
        if isinstance(node, cst.BinaryOperation):
            if isinstance(node.operator, cst.RightShift | cst.BitOr):
                found = self.instance(node.left) or self.instance(node.right)
                return self._composed(found)
            return None
        if isinstance(node, cst.Await):
            return None
        if isinstance(node, cst.IfExp):
            return self.instance(node.body) or self.instance(node.orelse)
        if isinstance(node, cst.Name | cst.Attribute):
            return self._variable(node)
        return None

    def _composed(self, found: Instance | None) -> Instance | None:
        if found is None:
            return None
        whole = found.rules.settings.get("composed")
        rule = found.rules.names.get(str(whole)) if whole else None
        return None if rule is None else Instance(found.rules, rule, found.bindings, found.mixed)

    def _made_by(self, func: cst.CSTNode) -> Instance | None:
        found = self.reference(func)
        if found is not None and found.rule is not None:
            # A function is no class, but what it gives may be.
            gives = found.rules.settings.get("gives", {}).get(found.name, found.name)
            rule = found.rules.names.get(gives)
            if rule is None or not rule.name.rpartition(".")[2][:1].isupper():
                return None
            return Instance(found.rules, rule, found.bindings, found.ambiguous)
        base = self.base_of(func)
        if base is not None and base.rule is not None:
            return Instance(base.rules, base.rule, base.bindings)
        return None

    def base_of(self, func: cst.CSTNode) -> Reference | None:
        """The legacy base of a class that this file defines."""
        scope = self.scopes.of.get(id(func))
        if not isinstance(func, cst.Name) or scope is None:
            return None
        holder = scope.holder(func.value)
        for one in holder.names[func.value] if holder is not None else ():
            if isinstance(one.node, cst.ClassDef):
                return self.legacy_base(one.node)
        return None

    def legacy_base(self, node: cst.ClassDef, depth: int = 0) -> Reference | None:
        """The legacy class among the bases, also by way of another class of this file."""
        for arg in node.bases:
            value = arg.value.value if isinstance(arg.value, cst.Subscript) else arg.value
            found = self.reference(value)
            if found is not None:
                return found
            scope = self.scopes.of.get(id(value))
            if isinstance(value, cst.Name) and scope is not None and depth < 8:
                holder = scope.holder(value.value)
                for one in holder.names[value.value] if holder is not None else ():
                    if isinstance(one.node, cst.ClassDef) and one.node is not node:
                        deeper = self.legacy_base(one.node, depth + 1)
                        if deeper is not None:
                            return deeper
        return None

    def _variable(self, node: cst.Name | cst.Attribute) -> Instance | None:
        scope = self.scopes.of.get(id(node))
        if scope is None:
            return None
        if isinstance(node, cst.Name) and node.value == "self":
            home = scope.enclosing_class()
            base = self.legacy_base(home.node) if home and isinstance(home.node, cst.ClassDef) else None
            return (
                None if base is None or base.rule is None else Instance(base.rules, base.rule, base.bindings)
            )
        key = self.scopes.key(node, scope)
        if key is None:
            return None
        values = [one for one in self.scopes.assigned.get(key, ()) if not _is_none(one)]
        found = [self.instance(one) for one in values]
        real = [one for one in found if one is not None]
        if real:
            mixed = len(real) < len(found) or any(one.rule is not real[0].rule for one in real)
            return Instance(real[0].rules, real[0].rule, real[0].bindings, mixed or real[0].mixed)
        if values:
            return None
        note = self.scopes.annotated.get(key)
        return None if note is None else self._annotated(note)

    def _annotated(self, note: cst.CSTNode) -> Instance | None:
        found = self.reference(note)
        if found is not None and found.rule is not None:
            return Instance(found.rules, found.rule, found.bindings, found.ambiguous)
        if isinstance(note, cst.Name | cst.Attribute):
            return None
        inner = [self._annotated(child) for child in children(note)]
        real = [one for one in inner if one is not None]
        whole = dotted(note.value) if isinstance(note, cst.Subscript) else None
        holds = isinstance(note, cst.Subscript) and (whole or "").rpartition(".")[2] not in {
            "Optional",
            "Union",
        }
        if holds:
            # `list[Wrapper]` is no wrapper, `Retry[int]` is.
            return self._annotated(note.value) if isinstance(note, cst.Subscript) else None
        return real[0] if real else None

    def variable(self, node: cst.CSTNode) -> Key | None:
        scope = self.scopes.of.get(id(node))
        return None if scope is None else self.scopes.key(node, scope)


def _is_none(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Name) and node.value == "None"
