"""What hangs together in one module, and what has to stay because of it. It converts nothing.

What cannot be converted stays, and so does whatever is used with it through a variable: that is noted here, and asked
for in the next round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import libcst as cst

from tidyllm.migrate.resolve import Facts, Resolver
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.scope import Binding, ImportNode, Key, Scopes
from tidyllm.migrate.tree import children

__all__ = ["Entry", "Need", "Ties"]

_MARK = "_tidyllm_need_{}_"


@dataclass(slots=True, eq=False)
class Entry:
    """One line of the log of a round."""

    kind: Literal["converted", "could_not"]
    rules: Rules
    name: str
    node: cst.CSTNode
    reason: str = ""
    by_hand: str = ""


@dataclass(slots=True, eq=False)
class Need:
    """A name that new code uses. It stands in the code as a mark until it is known what it is called there."""

    target: str
    alias: str
    """The alias of the legacy name, which it takes over; empty where there is none."""
    statements: dict[int, ImportNode]
    """The imports that it goes beside."""

    mark: str = ""


class Ties:
    """The log of a round, the names that new code needs, and what has to stay."""

    def __init__(
        self,
        module: cst.Module,
        scopes: Scopes,
        library: Sequence[Rules],
        handlers: Mapping[str, object],
        facts: Facts,
    ) -> None:
        self.module = module
        self.scopes = scopes
        self.resolver = Resolver(scopes, library, facts)
        self.facts = facts
        self.handlers = handlers
        self.log: list[Entry] = []
        self.needs: dict[tuple[str, str], Need] = {}
        self.tainted: dict[Key, str] = {}
        self._family: dict[Key, list[Key]] | None = None
        self.stuck: dict[int, tuple[str, str]] = {}
        """Nodes that must stay, and why, found in an earlier round."""
        self.blocked: dict[str, str] = {}
        """Legacy names that must stay everywhere in this file, and why."""
        self.checked: dict[tuple[str, str], Rules] = {}
        """Names that objects are tested against (`isinstance`): all their uses are converted, or none."""
        self.has_comments = True
        self.unawaited: set[int] = set()
        """Calls that were awaited, and whose conversion is not."""
        self.pieces: set[Key] = set()
        """Variables that hold pieces of a stream."""
        self.reshaped: set[Key] = set()
        """Variables whose value is of another kind now: other files must not use them in the old way."""
        self.again = False
        self._taint_imports()

    # -- what has to stay

    def _taint_imports(self) -> None:
        for name, bindings in self.scopes.root.names.items():
            for one in bindings:
                if one.kind == "import" and self.facts.absolute(one.origin) in self.facts.tainted:
                    self.taint((id(self.scopes.root), name), f"{name} comes from a file where it had to stay")

    def taint(self, key: Key, why: str) -> None:
        """Leave a variable or class as it is, and with it its class, or what is made of it."""
        if key in self.tainted:
            return
        self.tainted[key] = why
        self.again = True
        for value in self.scopes.assigned.get(key, ()):
            for one in self.classes(value):
                self.taint(one, why)
        for other, values in self.scopes.assigned.items():
            if any(key in self.classes(value) for value in values):
                self.taint(other, why)
        for child, bases in self._families().items():
            if child == key:
                for base in bases:
                    self.taint(base, why)
            elif key in bases:
                self.taint(child, why)

    def _families(self) -> dict[Key, list[Key]]:
        """The classes of this file below legacy ones, each with those of its bases that are such classes too."""
        if self._family is None:
            self._family = {}
            for scope in {id(one): one for one in self.scopes.of.values()}.values():
                for name, bindings in scope.names.items():
                    for node in (one.node for one in bindings):
                        if isinstance(node, cst.ClassDef) and self.resolver.legacy_base(node) is not None:
                            self._family[id(scope), name] = [
                                key
                                for arg in node.bases
                                if self.resolver.base_of(arg.value) is not None
                                and (key := self.resolver.variable(arg.value)) is not None
                            ]
        return self._family

    def classes(self, node: cst.CSTNode) -> list[Key]:
        """The classes of this file, below legacy ones, that an expression makes objects of."""
        found: list[Key] = []
        if isinstance(node, cst.BaseCompoundStatement | cst.Lambda):
            return found
        if isinstance(node, cst.Call) and self.resolver.base_of(node.func) is not None:
            key = self.resolver.variable(node.func)
            if key is not None:
                found.append(key)
        for child in children(node):
            found += self.classes(child)
        return found

    def block(self, rules: Rules, name: str, why: str) -> None:
        """Leave every use of a legacy name in this file as it is."""
        key = f"{rules.pattern}.{name}"
        if key not in self.blocked:
            self.blocked[key] = why
            self.again = True

    def refuse(self, node: cst.CSTNode, rules: Rules, name: str, reason: str, by_hand: str = "") -> None:
        """List a use that stays, and what must stay with it."""
        self.log.append(Entry("could_not", rules, name, node, reason, by_hand))
        why = f"it is used together with {name}, which could not be converted"
        for key in (*self.targets(node), *self.held(node), *self.classes(node)):
            self.taint(key, why)

    def targets(self, node: cst.CSTNode) -> list[Key]:
        """The variables that the value of an expression goes to."""
        found: list[Key] = []
        here: cst.CSTNode = node
        while True:
            above = self.scopes.parent(here)
            if above is None:
                return found
            if isinstance(above, cst.Assign):
                found += [key for one in above.targets for key in self._names(one.target)]
                return found
            if isinstance(above, cst.AnnAssign | cst.NamedExpr):
                return [*found, *self._names(above.target)] if here is above.value else found
            if isinstance(above, cst.WithItem) and above.asname is not None:
                return [*found, *self._names(above.asname.name)]
            if isinstance(above, cst.Return | cst.Yield):
                scope = self.scopes.of.get(id(above))
                if scope is not None and isinstance(scope.node, cst.FunctionDef) and scope.parent is not None:
                    found.append((id(scope.parent), scope.node.name.value))
                return found
            if (
                isinstance(above, cst.Call)
                and here is not above.func
                and self.resolver.reference(above.func) is None
            ):
                return found
            if isinstance(above, cst.Lambda | cst.BaseCompoundStatement | cst.Decorator):
                return found
            here = above

    def _names(self, target: cst.CSTNode) -> list[Key]:
        key = self.resolver.variable(target)
        return [] if key is None else [key]

    def held(self, node: cst.CSTNode) -> list[Key]:
        """The variables inside an expression that hold legacy objects."""
        found: list[Key] = []

        def look(one: cst.CSTNode) -> None:
            if isinstance(one, cst.Lambda):
                return
            if (
                isinstance(one, cst.Name | cst.Attribute)
                and id(one) not in self.scopes.not_read
                and self.resolver.reference(one) is None
                and self.resolver.instance(one) is not None
            ):
                key = self.resolver.variable(one)
                if key is not None:
                    found.append(key)
                    return
            for child in children(one):
                look(child)

        if isinstance(node, cst.Call):
            for part in children(node):
                look(part)
        return found

    def must_stay(self, node: cst.CSTNode) -> str:
        """Why an expression has to stay because of a variable in it or around it; empty when it need not."""
        if not self.tainted:
            return ""
        why = self._mentions(node)
        if why:
            return why
        return next((self.tainted[key] for key in self.targets(node) if key in self.tainted), "")

    def _mentions(self, node: cst.CSTNode) -> str:
        if isinstance(node, cst.Lambda):
            return ""
        if isinstance(node, cst.Name | cst.Attribute) and id(node) not in self.scopes.not_read:
            key = self.resolver.variable(node)
            if key in self.tainted:
                return self.tainted[key]
            if isinstance(node, cst.Name) and self._is_parameter(node):
                key = id(self.scopes.root), node.value  # a fixture of pytest goes by the name of its function
                if key in self.tainted:
                    return self.tainted[key]
        for child in children(node):
            why = self._mentions(child)
            if why:
                return why
        return ""

    def _is_parameter(self, node: cst.Name) -> bool:
        scope = self.scopes.of.get(id(node))
        holder = None if scope is None else scope.holder(node.value)
        return holder is not None and any(isinstance(one.node, cst.Param) for one in holder.names[node.value])

    # -- new names

    def use(self, target: str, bindings: Sequence[Binding], *, alias: bool = False) -> cst.Name:
        """A mark for `target`, which is imported beside these imports."""
        own = ""
        if alias and bindings:
            one = bindings[0]
            own = one.local if one.local != one.origin.rpartition(".")[2] and "." in one.origin else ""
            if isinstance(one.statement, cst.Import):
                own = ""
        need = self.needs.get((target, own))
        if need is None:
            need = Need(target, own, {}, _MARK.format(len(self.needs)))
            self.needs[target, own] = need
        for one in bindings:
            if one.statement is not None:
                need.statements.setdefault(id(one.statement), one.statement)
        return cst.Name(need.mark)

    def module_name(self, module: str, bindings: Sequence[Binding]) -> cst.Name:
        """The name of a module that is imported as a whole: as the file has it, else a new import."""
        for name, found in self.scopes.root.names.items():
            if any(one.kind == "import" and one.origin == module for one in found):
                return cst.Name(name)
        return self.use(f"{module}.", bindings)
