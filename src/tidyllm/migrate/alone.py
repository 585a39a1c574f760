"""Legacy names that are not called: type hints, bases, attributes, names that are bound beside an import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libcst as cst

from tidyllm.migrate.resolve import Reference
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.ties import Entry, Ties
from tidyllm.migrate.tree import dotted, last_name, rebuilt

__all__ = ["Alone"]


_ABOUT_CLASSES = {
    "isinstance", "issubclass", "cast", "Mock", "MagicMock", "AsyncMock", "create_autospec", "TypeVar", "NewType",
    "bool", "hasattr", "callable", "print", "repr", "str", "type", "id",
}  # fmt: skip
"""Functions that look at a class and do not call it."""


class Alone(Ties):
    """Converts names and attributes; calls are left to who inherits from it."""

    def rewrite(self, node: cst.CSTNode) -> cst.CSTNode:
        """The node with all in it converted that can be."""
        raise NotImplementedError

    def hook(self, rules: Rules, name: str) -> Callable[..., Any] | None:
        """What a pattern's module offers under this name."""
        return getattr(self.handlers.get(rules.pattern), name, None)

    def _name(self, node: cst.Name) -> cst.CSTNode:
        if id(node) in self.scopes.binding_names:
            return self._soft_binding(node)
        found = self.resolver.reference(node)
        if found is None:
            self._whole_module(node)
            return node
        return self._alone(node, found)

    def _whole_module(self, node: cst.Name) -> None:
        """List a legacy module that is handed on: what is taken from it then is not seen."""
        if not isinstance(self.scopes.parent(node), cst.Arg | cst.Assign):
            return
        origin = self.resolver.origin(node)
        rules = None if origin is None else self.resolver.legacy_module(origin[0][0])
        if rules is not None and rules.closed:
            self.log.append(Entry("could_not", rules, node.value, node, "the module itself is passed on, and what is "
                                  "taken from it is not seen", "Import the new names instead."))  # fmt: skip

    def _attribute(self, node: cst.Attribute) -> cst.CSTNode:
        found = self.resolver.reference(node)
        if found is not None:
            return self._alone(node, found)
        chain = self._chain(node)
        if chain is not None:
            return chain
        holds = None if id(node) in self.scopes.binding_names else self.resolver.instance(node.value)
        if holds is not None and not holds.rule.keep and holds.rules.settings.get("objects", True):
            special = getattr(self.handlers.get(holds.rules.pattern), "ATTRIBUTES", {}).get(
                f"{holds.rule.name}.{node.attr.value}"
            )
            if (
                special is not None
                and not holds.mixed
                and not self._is_target(node)
                and not self.must_stay(node.value)
            ):
                value = self.rewrite(node.value)
                self.log.append(Entry("converted", holds.rules, f"{holds.rule.name}.{node.attr.value}", node))
                return special(node if value is node.value else node.with_changes(value=value))
            new = holds.rule.attributes.get(node.attr.value, holds.rule.methods.get(node.attr.value))
            is_self = isinstance(node.value, cst.Name) and node.value.value == "self"
            if new is None and not is_self and not node.attr.value.startswith("__"):
                self.refuse(
                    node, holds.rules, f"{holds.rule.name}.{node.attr.value}",
                    f"{holds.rule.name} has an attribute {node.attr.value!r} that the new one lacks",
                    holds.rule.by_hand,
                )  # fmt: skip
                key = self.resolver.variable(node.value)
                if key is not None:
                    self.taint(key, f"its attribute {node.attr.value!r} has no counterpart")
                return node
            if new is not None and new != node.attr.value:
                done = rebuilt(node, self.rewrite)
                assert isinstance(done, cst.Attribute)
                self.log.append(Entry("converted", holds.rules, f"{holds.rule.name}.{node.attr.value}", node))
                return done.with_changes(attr=cst.Name(new))
        value = self.rewrite(node.value)
        return node if value is node.value else node.with_changes(value=value)

    def _chain(self, node: cst.CSTNode) -> cst.CSTNode | None:
        for rules in self.resolver.library:
            hook = self.hook(rules, "chain")
            done = None if hook is None else hook(self, rules, node)
            if isinstance(done, cst.CSTNode):
                return done
        return None

    def _is_target(self, node: cst.CSTNode) -> bool:
        above = self.scopes.parent(node)
        return isinstance(above, cst.AssignTarget | cst.AugAssign | cst.Del) or (
            isinstance(above, cst.AnnAssign) and above.target is node
        )

    def _alone(self, node: cst.CSTNode, found: Reference) -> cst.CSTNode:
        rules, rule = found.rules, found.rule
        if rule is not None and rule.keep:
            return node
        blocked = self.blocked.get(f"{rules.pattern}.{found.name}", "")
        hint = rules.settings.get("hint") if rule is not None and rule.arguments else None
        if hint and not found.ambiguous and self._is_hint(node):
            self.log.append(Entry("converted", rules, found.name, node))
            home, _, last = str(hint).rpartition(".")
            if isinstance(node, cst.Attribute) and found.qualified.rpartition(".")[0] == home:
                return node.with_changes(attr=cst.Name(last))
            new = self.use(str(hint), found.bindings)
            assert isinstance(node, cst.Name | cst.Attribute)
            return new.with_changes(lpar=node.lpar, rpar=node.rpar)
        if rule is None or not rule.to or found.ambiguous:
            reason = (
                rule.reason
                if rule is not None and rule.reason
                else "it stands alone, and nothing takes its place"
            )
            if found.ambiguous:
                reason = "the name is given another meaning in this file"
            self.log.append(Entry("could_not", rules, found.name, node, reason, rule.by_hand if rule else ""))
            if rule is not None:
                self.block(rules, found.name, f"{found.name} is used in a way that cannot be converted")
            return node
        if not blocked and (rule.convert or rule.rename) and self._is_value(node):
            blocked = "the class itself is passed on, and is called elsewhere in the old way"
            self.block(rules, found.name, blocked)
        if blocked:
            self.log.append(Entry("could_not", rules, found.name, node, blocked, rule.by_hand))
            return node
        self.log.append(Entry("converted", rules, found.name, node))
        if self._is_test(node):
            self.checked[rules.pattern, found.name] = rules
        new = self.use(rule.to, found.bindings, alias=isinstance(node, cst.Name))
        old = node if isinstance(node, cst.Name | cst.Attribute) else new
        return new.with_changes(lpar=old.lpar, rpar=old.rpar)

    def _is_value(self, node: cst.CSTNode) -> bool:
        """Whether the class is handed on as a value: `partial(X, …)`, `{"x": X}`, `Y = X`, `def f(make=X)`."""
        above = self.scopes.parent(node)
        if isinstance(above, cst.Arg):
            call = self.scopes.parent(above)
            func = last_name(call.func) if isinstance(call, cst.Call) else "isinstance"
            return func not in _ABOUT_CLASSES
        if isinstance(above, cst.Assign | cst.Param | cst.DictElement):
            return (above.default if isinstance(above, cst.Param) else above.value) is node
        return False

    def _is_hint(self, node: cst.CSTNode) -> bool:
        here = self.scopes.parent(node)
        while isinstance(here, cst.BaseExpression | cst.BaseElement | cst.SubscriptElement | cst.Index):
            if isinstance(here, cst.Call):
                return False
            here = self.scopes.parent(here)
        return isinstance(here, cst.Annotation) or self._is_test(node)

    def _is_test(self, node: cst.CSTNode) -> bool:
        """Whether objects are tested against this class: `isinstance(x, X)`, `case X():`, `except X:`."""
        here = self.scopes.parent(node)
        while isinstance(here, cst.Element | cst.Tuple | cst.BinaryOperation):
            here = self.scopes.parent(here)
        if isinstance(here, cst.MatchClass | cst.ExceptHandler):
            return True
        above = self.scopes.parent(here) if isinstance(here, cst.Arg) else None
        return isinstance(above, cst.Call) and dotted(above.func) in {"isinstance", "issubclass"}

    def _soft_binding(self, node: cst.Name) -> cst.CSTNode:
        """`X = None` beside an import of `X` takes its new name."""
        scope = self.scopes.of.get(id(node)) or self.scopes.root
        for one in scope.names.get(node.value, ()):
            if one.name is node and one.soft and one.kind != "import":
                imports = tuple(other for other in scope.names[node.value] if other.kind == "import")
                found = [self.resolver.legacy(other.origin) for other in imports]
                if imports and all(other is not None and other[1] is not None for other in found):
                    first = found[0]
                    assert first is not None
                    assert first[1] is not None
                    rules, rule = first[0], first[1]
                    if rule.to and f"{rules.pattern}.{rule.name}" not in self.blocked:
                        return self.use(rule.to, imports, alias=True)
        return node
