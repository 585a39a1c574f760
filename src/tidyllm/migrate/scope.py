"""Which import a name comes from. It knows Python's scopes, not which imports matter.

A name means an import only where nothing else binds it: a parameter, a variable or a class of that name hides it. Two
kinds of bindings beside an import do not count: `X = None` and whatever stands in an `except ImportError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import libcst as cst

from tidyllm.migrate.tree import children, dotted

__all__ = ["Binding", "ImportNode", "Key", "Scope", "Scopes"]

ImportNode: TypeAlias = cst.Import | cst.ImportFrom
Key: TypeAlias = tuple[int, str]
"""A variable: the scope it lives in, and its name (`config`, `self.config`)."""


@dataclass(slots=True, eq=False)
class Binding:
    """One place that gives a name a meaning."""

    kind: Literal["import", "none", "other"]
    local: str
    origin: str = ""
    """Dotted name of what is imported; starts with dots when it is relative."""
    statement: ImportNode | None = None
    soft: bool = False
    name: cst.Name | None = None
    node: cst.CSTNode | None = None


@dataclass(slots=True, eq=False)
class Scope:
    """One scope: a module, class, function, lambda or comprehension."""

    kind: Literal["module", "class", "function", "comprehension"]
    parent: Scope | None
    node: cst.CSTNode
    names: dict[str, list[Binding]] = field(default_factory=dict[str, list[Binding]])
    globals: set[str] = field(default_factory=set[str])
    stars: list[tuple[str, cst.ImportFrom]] = field(default_factory=list[tuple[str, cst.ImportFrom]])

    def holder(self, name: str) -> Scope | None:
        """The scope that binds `name` as it is seen from here."""
        here: Scope | None = self
        first = True
        while here is not None:
            if name in here.names and (first or here.kind != "class"):
                return here
            first = False
            here = here.parent
        return None

    def enclosing_class(self) -> Scope | None:
        here: Scope | None = self
        while here is not None and here.kind != "class":
            here = here.parent
        return here


_COMPREHENSIONS = (cst.ListComp, cst.SetComp, cst.DictComp, cst.GeneratorExp)
_IMPORT_FAILURES = {"ImportError", "ModuleNotFoundError", "Exception"}


class Scopes:
    """The scopes of one module, the parents of its nodes, and what is assigned to its variables."""

    def __init__(self, module: cst.Module) -> None:
        self.module = module
        self.root = Scope("module", None, module)
        self.of: dict[int, Scope] = {}
        self.parents: dict[int, cst.CSTNode] = {}
        self.binding_names: set[int] = set()
        self.not_read: set[int] = set()
        self.assigned: dict[Key, list[cst.CSTNode]] = {}
        self.annotated: dict[Key, cst.CSTNode] = {}
        self.calls: list[cst.Call] = []
        self.imports: list[tuple[ImportNode, Scope]] = []
        self._soft = 0
        self._pending: list[tuple[Scope, cst.BaseExpression, cst.CSTNode | None, cst.CSTNode | None]] = []
        self._walk(module, self.root)
        for scope, target, value, note in self._pending:
            key = self.key(target, scope)
            if key is not None:
                if value is not None:
                    self.assigned.setdefault(key, []).append(value)
                if note is not None:
                    self.annotated[key] = note

    def key(self, node: cst.CSTNode, scope: Scope) -> Key | None:
        """The variable that a name or `self.x` stands for."""
        name = dotted(node)
        if name is None:
            return None
        base, _, rest = name.partition(".")
        if rest and base in {"self", "cls"}:
            holder = scope.enclosing_class() or scope
            return id(holder), f"self.{rest}"
        holder = scope.holder(base)
        return (id(holder or self.root), name)

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        return self.parents.get(id(node))

    def statement(self, node: cst.CSTNode) -> cst.CSTNode:
        """The small statement that the node is part of."""
        here = node
        while not isinstance(here, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            above = self.parents.get(id(here))
            if above is None:
                return here
            here = above
        return here

    # -- the walk

    def _bind(
        self,
        scope: Scope,
        local: str,
        kind: Literal["import", "none", "other"] = "other",
        *,
        origin: str = "",
        statement: ImportNode | None = None,
        name: cst.Name | None = None,
        node: cst.CSTNode | None = None,
    ) -> None:
        home = self.root if local in scope.globals else scope
        soft = bool(self._soft) or kind == "none"
        home.names.setdefault(local, []).append(Binding(kind, local, origin, statement, soft, name, node))
        if name is not None:
            self.binding_names.add(id(name))

    def _walk(self, node: cst.CSTNode, scope: Scope) -> None:
        kind = type(node)
        self.of[id(node)] = scope
        if kind is cst.FunctionDef or kind is cst.Lambda:
            self._function(node, scope)
        elif kind is cst.ClassDef:
            self._class(node, scope)
        elif kind in _COMPREHENSIONS:
            self._children(node, Scope("comprehension", scope, node))
        elif kind is cst.Import or kind is cst.ImportFrom:
            self._import(node, scope)
        elif kind is cst.Try or kind is cst.TryStar:
            self._try(node, scope)
        elif kind is cst.Attribute:
            assert isinstance(node, cst.Attribute)
            self.not_read.add(id(node.attr))
            self._children(node, scope)
        elif kind is cst.Arg:
            assert isinstance(node, cst.Arg)
            if node.keyword is not None:
                self.not_read.add(id(node.keyword))
            self._children(node, scope)
        else:
            self._other(node, scope)
            self._children(node, scope)

    def _children(self, node: cst.CSTNode, scope: Scope) -> None:
        for child in children(node):
            self.parents[id(child)] = node
            self._walk(child, scope)

    def _other(self, node: cst.CSTNode, scope: Scope) -> None:
        if isinstance(node, cst.Call):
            self.calls.append(node)
        elif isinstance(node, cst.Assign):
            for one in node.targets:
                self._target(one.target, scope, node.value)
        elif isinstance(node, cst.AnnAssign):
            self._target(node.target, scope, node.value, node.annotation.annotation)
        elif isinstance(node, cst.AugAssign):
            self._target(node.target, scope, node)
        elif isinstance(node, cst.NamedExpr):
            home = scope
            while home.kind == "comprehension" and home.parent is not None:
                home = home.parent
            self._target(node.target, home, node.value)
        elif isinstance(node, cst.For | cst.CompFor):
            self._target(node.target, scope, node)
        elif isinstance(node, cst.WithItem):
            if node.asname is not None:
                self._target(node.asname.name, scope, node.item)
        else:
            self._rarer(node, scope)

    def _rarer(self, node: cst.CSTNode, scope: Scope) -> None:
        if isinstance(node, cst.Global | cst.Nonlocal):
            for one in node.names:
                self.not_read.add(id(one.name))
                if isinstance(node, cst.Global):
                    scope.globals.add(one.name.value)
        elif isinstance(node, cst.MatchAs | cst.MatchStar) and node.name is not None:
            self._bind(scope, node.name.value, name=node.name)
        elif isinstance(node, cst.MatchMapping) and node.rest is not None:
            self._bind(scope, node.rest.value, name=node.rest)
        elif isinstance(node, cst.MatchKeywordElement):
            self.not_read.add(id(node.key))

    def _target(
        self,
        target: cst.CSTNode,
        scope: Scope,
        value: cst.CSTNode | None,
        note: cst.CSTNode | None = None,
    ) -> None:
        if isinstance(target, cst.Name):
            empty = isinstance(value, cst.Name) and value.value == "None"
            self._bind(scope, target.value, "none" if empty else "other", name=target, node=value)
            self._pending.append((scope, target, value, note))
        elif isinstance(target, cst.Attribute):
            self._pending.append((scope, target, value, note))
        elif isinstance(target, cst.Tuple | cst.List):
            for one in target.elements:
                inner = one.value
                self._target(inner, scope, target)

    def _function(self, node: cst.CSTNode, scope: Scope) -> None:
        assert isinstance(node, cst.FunctionDef | cst.Lambda)
        inside = Scope("function", scope, node)
        if isinstance(node, cst.FunctionDef):
            self._bind(scope, node.name.value, name=node.name, node=node)
            self.parents[id(node.name)] = node
            for decorator in node.decorators:
                self.parents[id(decorator)] = node
                self._walk(decorator, scope)
            if node.returns is not None:
                self.parents[id(node.returns)] = node
                self._walk(node.returns, scope)
        soft, self._soft = self._soft, 0
        self._parameters(node.params, node, scope, inside)
        self.parents[id(node.body)] = node
        self._walk(node.body, inside)
        self._soft = soft

    def _parameters(self, params: cst.Parameters, node: cst.CSTNode, scope: Scope, inside: Scope) -> None:
        self.parents[id(params)] = node
        self.of[id(params)] = inside
        for one in _all_parameters(params):
            self.parents[id(one)] = params
            self._bind(inside, one.name.value, name=one.name, node=one)
            for part in (one.annotation, one.default):
                if part is not None:
                    self.parents[id(part)] = one
                    self._walk(part, scope)
            if one.annotation is not None:
                self.annotated[id(inside), one.name.value] = one.annotation.annotation

    def _class(self, node: cst.CSTNode, scope: Scope) -> None:
        assert isinstance(node, cst.ClassDef)
        self._bind(scope, node.name.value, name=node.name, node=node)
        for part in (*node.decorators, *node.bases, *node.keywords):
            self.parents[id(part)] = node
            self._walk(part, scope)
        self.parents[id(node.body)] = node
        soft, self._soft = self._soft, 0
        self._walk(node.body, Scope("class", scope, node))
        self._soft = soft

    def _try(self, node: cst.CSTNode, scope: Scope) -> None:
        assert isinstance(node, cst.Try | cst.TryStar)
        for child in children(node):
            self.parents[id(child)] = node
            if isinstance(child, cst.ExceptHandler | cst.ExceptStarHandler):
                if child.name is not None and isinstance(child.name.name, cst.Name):
                    self._bind(scope, child.name.name.value, name=child.name.name)
                caught = _caught(child.type)
                soft = not caught or bool(caught & _IMPORT_FAILURES)
                self._soft += soft
                self._walk(child, scope)
                self._soft -= soft
            else:
                self._walk(child, scope)

    def _import(self, node: cst.CSTNode, scope: Scope) -> None:
        if isinstance(node, cst.Import):
            self.imports.append((node, scope))
            for alias in node.names:
                whole = dotted(alias.name) or ""
                local = _asname(alias) or whole.partition(".")[0]
                origin = whole if alias.asname is not None else local
                self._bind(scope, local, "import", origin=origin, statement=node)
            return
        assert isinstance(node, cst.ImportFrom)
        self.imports.append((node, scope))
        module = "." * len(node.relative) + (dotted(node.module) or "" if node.module is not None else "")
        if isinstance(node.names, cst.ImportStar):
            scope.stars.append((module, node))
            return
        for alias in node.names:
            name = dotted(alias.name) or ""
            joined = f"{module}{name}" if module.endswith(".") or not module else f"{module}.{name}"
            self._bind(scope, _asname(alias) or name, "import", origin=joined, statement=node)


def _asname(alias: cst.ImportAlias) -> str | None:
    if alias.asname is not None and isinstance(alias.asname.name, cst.Name):
        return alias.asname.name.value
    return None


def _all_parameters(params: cst.Parameters) -> Sequence[cst.Param]:
    found = [*params.posonly_params, *params.params]
    if isinstance(params.star_arg, cst.Param):
        found.append(params.star_arg)
    found.extend(params.kwonly_params)
    if params.star_kwarg is not None:
        found.append(params.star_kwarg)
    return found


def _caught(kind: cst.BaseExpression | None) -> set[str]:
    if isinstance(kind, cst.Tuple):
        return {name for one in kind.elements for name in _caught(one.value)}
    name = None if kind is None else dotted(kind)
    return set() if name is None else {name}
