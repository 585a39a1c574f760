"""Converting one module. It knows how uses of legacy names hang together, not what a pattern makes of them.

What belongs together is converted together: a wrapper is left as it is when one of its arguments could not be
converted, and so is whatever is used with it through a variable. It is done in rounds: each may find more that has to
stay, until a round finds nothing new.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.resolve import Facts, Instance, Reference, Resolver
from tidyllm.migrate.rules import Name, Rules
from tidyllm.migrate.scope import Binding, ImportNode, Key, Scopes
from tidyllm.migrate.site import Site, literal
from tidyllm.migrate.tree import children, rebuilt

__all__ = ["Entry", "Handlers", "Need", "Rewriter"]

_MARK = "_tidyllm_need_{}_"


class Handlers(Protocol):
    """What a pattern's module offers; what it lacks is left as it is."""

    CALLS: Mapping[str, Callable[[Site], cst.BaseExpression]]


@dataclass(slots=True, eq=False)
class Entry:
    """One line of the log of a round."""

    kind: str
    """`converted`, `could_not`, or `need` for a name that has to be imported."""
    rules: Rules
    name: str
    node: cst.CSTNode
    reason: str = ""
    by_hand: str = ""
    need: int = -1


@dataclass(slots=True, eq=False)
class Need:
    """A name that new code uses. It stands in the code as a mark until it is known what it is called there."""

    target: str
    alias: str
    """The alias of the legacy name, which it takes over; empty where there is none."""
    statements: dict[int, ImportNode]
    """The imports that it goes beside."""

    mark: str = ""


class Rewriter:
    """One module and its conversion. `run` gives the new tree with marks for new names (see `imports`)."""

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
        self.stuck: dict[int, tuple[str, str]] = {}
        """Nodes that must stay, and why, found in an earlier round."""
        self.blocked: dict[str, str] = {}
        """Legacy names that must stay everywhere in this file, and why."""
        self._again = False
        self._taint_imports()

    def run(self) -> cst.Module:
        """The converted tree."""
        for _ in range(30):
            self.log, self.needs, self._again = [], {}, False
            done = self.rewrite(self.module)
            if not self._again:
                assert isinstance(done, cst.Module)
                return done
        self.log = []
        return self.module

    # -- what has to stay

    def _taint_imports(self) -> None:
        for name, bindings in self.scopes.root.names.items():
            for one in bindings:
                if one.kind == "import" and self.facts.absolute(one.origin) in self.facts.tainted:
                    self.taint((id(self.scopes.root), name), f"{name} comes from a file where it had to stay")

    def taint(self, key: Key, why: str) -> None:
        if key not in self.tainted:
            self.tainted[key] = why
            self._again = True

    def block(self, rules: Rules, name: str, why: str) -> None:
        """Leave every use of a legacy name in this file as it is."""
        key = f"{rules.pattern}.{name}"
        if key not in self.blocked:
            self.blocked[key] = why
            self._again = True

    def refuse(self, node: cst.CSTNode, rules: Rules, name: str, reason: str, by_hand: str = "") -> None:
        """List a use that stays, and what must stay with it."""
        self.log.append(Entry("could_not", rules, name, node, reason, by_hand))
        why = f"it is used together with {name}, which could not be converted"
        for key in (*self.targets(node), *self.held(node)):
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
            if isinstance(one, cst.Name | cst.Attribute) and id(one) not in self.scopes.not_read:
                if self.resolver.reference(one) is None and self.resolver.instance(one) is not None:
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
        for key in self.targets(node):
            if key in self.tainted:
                return self.tainted[key]
        return self._mentions(node)

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

    # -- the walk

    def rewrite(self, node: cst.CSTNode) -> cst.CSTNode:
        """The node with all in it converted that can be."""
        if isinstance(node, cst.Call):
            return self._call(node)
        if isinstance(node, cst.Name):
            return node if id(node) in self.scopes.not_read else self._name(node)
        if isinstance(node, cst.Attribute):
            return self._attribute(node)
        if isinstance(node, cst.Subscript):
            return self._chain(node) or rebuilt(node, self.rewrite)
        if isinstance(node, cst.SimpleString):
            return self._string(node)
        if isinstance(node, cst.FormattedString):
            return _other_quotes(node, rebuilt(node, self.rewrite))
        if isinstance(node, cst.Import | cst.ImportFrom):
            return node
        if isinstance(node, cst.FunctionDef):
            return self._definition(node, "function")
        if isinstance(node, cst.ClassDef):
            return self._definition(node, "class")
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            return self._statement(node)
        return rebuilt(node, self.rewrite)

    def _hook(self, rules: Rules, name: str) -> Callable[..., object] | None:
        return getattr(self.handlers.get(rules.pattern), name, None)

    def _statement(self, node: cst.CSTNode) -> cst.CSTNode:
        for rules in self.resolver.library:
            hook = self._hook(rules, "statement")
            if hook is not None:
                done = hook(self, rules, node)
                if isinstance(done, cst.CSTNode):
                    return done
        return rebuilt(node, self.rewrite)

    def _definition(self, node: cst.FunctionDef | cst.ClassDef, kind: str) -> cst.CSTNode:
        for rules in self.resolver.library:
            hook = self._hook(rules, f"{kind}_definition")
            if hook is None:
                continue
            mark = len(self.log)
            try:
                done = hook(self, rules, node)
            except CannotConvert as error:
                del self.log[mark:]
                self.log.append(Entry("could_not", rules, error.args[1] if len(error.args) > 1 else node.name.value,
                                      node.name, error.reason, error.by_hand))  # fmt: skip
                if kind == "class":
                    holder = self.scopes.of[id(node)]
                    self.taint((id(holder), node.name.value), f"{node.name.value} could not be converted")
                return node if kind == "class" else rebuilt(node, self.rewrite)
            if isinstance(done, cst.CSTNode):
                return done
        if isinstance(node, cst.ClassDef):
            return self.rebuilt_class(node)
        return rebuilt(node, self.rewrite)

    def rebuilt_class(self, node: cst.ClassDef) -> cst.CSTNode:
        """A subclass goes with its base where the rules allow it."""
        for arg in node.bases:
            value = arg.value.value if isinstance(arg.value, cst.Subscript) else arg.value
            found = self.resolver.reference(value)
            if found is None:
                continue
            rule = found.rule
            own = {one.name.value for one in node.body.body if isinstance(one, cst.FunctionDef)}
            why = ""
            if rule is None or not rule.subclass or not rule.to:
                why = "it is a base class here"
            elif own & {old for old, new in rule.methods.items() if old != new}:
                why = f"{node.name.value} overrides {', '.join(sorted(own & set(rule.methods)))}"
            key = id(self.scopes.of[id(node)]), node.name.value
            why = (
                why
                or self.tainted.get(key, "")
                or self.blocked.get(f"{found.rules.pattern}.{found.name}", "")
            )
            if why:
                self.log.append(
                    Entry("could_not", found.rules, found.name, value, why, rule.by_hand if rule else "")
                )
                self.taint(key, f"{node.name.value} could not be converted")
                return node
        mark = len(self.log)
        done = rebuilt(node, self.rewrite)
        base = self.resolver.legacy_base(node)
        if base is not None and any(
            one.kind == "could_not" and one.rules is base.rules for one in self.log[mark:]
        ):
            self.log[mark:] = [one for one in self.log[mark:] if one.kind == "could_not"]
            self.taint(
                (id(self.scopes.of[id(node)]), node.name.value),
                f"a part of {node.name.value} could not be converted",
            )
            return node
        return done

    # -- calls

    def _call(self, node: cst.Call) -> cst.CSTNode:
        found = self.resolver.reference(node.func)
        if found is not None:
            return self._legacy_call(node, found)
        base = self._super_call(node)
        if base is not None and base.rule is not None:
            rule = base.rule
            return self.convert(node, base.rules, rule, base.bindings, lambda site: self._super(site, rule))
        if isinstance(node.func, cst.Attribute):
            for rules in self.resolver.library:
                hook = self._hook(rules, "method_call")
                if hook is not None:
                    done = hook(self, rules, node)
                    if isinstance(done, cst.CSTNode):
                        return done
            holds = self.resolver.instance(node.func.value)
            if holds is not None:
                return self._method(node, node.func, holds)
        inherited = self._inherited(node)
        if inherited is not None:
            return inherited
        return rebuilt(node, self.rewrite)

    def _legacy_call(self, node: cst.Call, found: Reference) -> cst.CSTNode:
        rules, rule = found.rules, found.rule
        if rule is None:
            self.refuse(node, rules, found.name, "nothing takes its place", "Write it anew by hand.")
            return node
        if found.ambiguous:
            self.refuse(
                node, rules, rule.name, f"{found.bindings[0].local} is given another meaning in this file",
                "Use one name for one thing and run it again.",
            )  # fmt: skip
            return node
        return self.convert(node, rules, rule, found.bindings, self._handler(rules, rule))

    def _handler(self, rules: Rules, rule: Name) -> Callable[[Site], cst.BaseExpression]:
        calls: Mapping[str, Callable[[Site], cst.BaseExpression]] = getattr(
            self.handlers.get(rules.pattern), "CALLS", {}
        )
        return calls.get(rule.convert or rule.name) or plain_call

    def convert(
        self,
        node: cst.Call,
        rules: Rules,
        rule: Name,
        bindings: tuple[Binding, ...],
        action: Callable[[Site], cst.BaseExpression],
        *,
        method: str = "",
        name: str = "",
    ) -> cst.CSTNode:
        """The call as `action` makes it, or as it was, with the reason in the log."""
        name = name or rule.name
        mark = len(self.log)
        if id(node) in self.stuck:
            self.refuse(node, rules, name, *self.stuck[id(node)])
            return node
        known = self.blocked.get(f"{rules.pattern}.{rule.name}", "") or self.must_stay(node)
        if known:
            self.refuse(node, rules, name, known, "Convert both by hand.")
            return node
        call = self._arguments(node)
        if method and isinstance(node.func, cst.Attribute):
            value = self.rewrite(node.func.value)
            if value is not node.func.value:
                call = call.with_changes(func=node.func.with_changes(value=value))
        inner = [one for one in self.log[mark:] if one.kind == "could_not"]
        if inner:
            self.log[mark:] = inner
            self.refuse(node, rules, name, f"{inner[0].name} inside it could not be converted", "")
            return node
        site = Site(self, rules, rule, node, call, bindings)
        site.method = method
        try:
            done = action(site)
        except CannotConvert as error:
            del self.log[mark:]
            self.stuck[id(node)] = error.reason, error.by_hand
            self.refuse(node, rules, name, error.reason, error.by_hand)
            return node
        if done is not node:
            self.log.append(Entry("converted", rules, name, node))
        return done

    def _arguments(self, node: cst.Call) -> cst.Call:
        args = [rebuilt(arg, self.rewrite) for arg in node.args]
        same = all(one is other for one, other in zip(args, node.args, strict=True))
        return node if same else node.with_changes(args=args)

    def _method(self, node: cst.Call, func: cst.Attribute, holds: Instance) -> cst.CSTNode:
        method = func.attr.value
        name = f"{holds.rule.name}.{method}"

        def action(site: Site) -> cst.BaseExpression:
            if holds.mixed:
                raise CannotConvert("the variable holds other things as well", "Use one name for one thing.")
            special = self._handler_of_method(holds, method)
            if special is not None:
                return special(site)
            if method not in holds.rule.methods:
                raise CannotConvert(
                    f"{holds.rule.name} has a method {method!r} that the new one lacks", holds.rule.by_hand
                )
            changed = site.call.func
            assert isinstance(changed, cst.Attribute)
            return site.call.with_changes(
                func=changed.with_changes(attr=cst.Name(holds.rule.methods[method]))
            )

        here = len(self.log)
        done = self.convert(node, holds.rules, holds.rule, holds.bindings, action, method=method, name=name)
        if done is not node and self.log[here:] and holds.rule.methods.get(method) == method:
            # Nothing of it is new: it is no conversion.
            self.log[here:] = [
                one for one in self.log[here:] if one.node is not node or one.kind != "converted"
            ]
        return done

    def _handler_of_method(self, holds: Instance, method: str) -> Callable[[Site], cst.BaseExpression] | None:
        table: Mapping[str, Callable[[Site], cst.BaseExpression]] = getattr(
            self.handlers.get(holds.rules.pattern), "METHODS", {}
        )
        return table.get(f"{holds.rule.name}.{method}")

    def _super_call(self, node: cst.Call) -> Reference | None:
        """The legacy base whose `__init__` a subclass calls by `super().__init__(…)`."""
        func = node.func
        if not (isinstance(func, cst.Attribute) and func.attr.value == "__init__"):
            return None
        value = func.value
        if not (
            isinstance(value, cst.Call) and isinstance(value.func, cst.Name) and value.func.value == "super"
        ):
            return None
        home = self.scopes.of[id(node)].enclosing_class()
        if home is None or not isinstance(home.node, cst.ClassDef):
            return None
        return self.resolver.legacy_base(home.node)

    def _super(self, site: Site, rule: Name) -> cst.BaseExpression:
        done = self._handler(site.rules, rule)(site)
        if not isinstance(done, cst.Call):
            raise CannotConvert("a subclass cannot be made like this", rule.by_hand)
        return done.with_changes(func=site.original.func)

    def _inherited(self, node: cst.Call) -> cst.CSTNode | None:
        """`Mine(retry_config=…)` where `Mine` is a subclass without an `__init__` of its own."""
        base = self.resolver.base_of(node.func)
        if base is None or base.rule is None or not node.args:
            return None
        holder = self.scopes.of[id(node.func)].holder(getattr(node.func, "value", ""))
        for one in holder.names[getattr(node.func, "value", "")] if holder is not None else ():
            if isinstance(one.node, cst.ClassDef) and any(
                isinstance(item, cst.FunctionDef) and item.name.value == "__init__"
                for item in one.node.body.body
            ):
                return None
        rule = base.rule

        def action(site: Site) -> cst.BaseExpression:
            return self._super(site, rule)

        return self.convert(node, base.rules, rule, base.bindings, action)

    # -- names that stand alone

    def _name(self, node: cst.Name) -> cst.CSTNode:
        if id(node) in self.scopes.binding_names:
            return self._soft_binding(node)
        found = self.resolver.reference(node)
        return node if found is None else self._alone(node, found)

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
                    f"{holds.rule.name} has an attribute {node.attr.value!r} that the new one lacks", holds.rule.by_hand,
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
            hook = self._hook(rules, "chain")
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
        if blocked:
            self.log.append(Entry("could_not", rules, found.name, node, blocked, rule.by_hand))
            return node
        self.log.append(Entry("converted", rules, found.name, node))
        new = self.use(rule.to, found.bindings, alias=isinstance(node, cst.Name))
        old = node if isinstance(node, cst.Name | cst.Attribute) else new
        return new.with_changes(lpar=old.lpar, rpar=old.rpar)

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

    # -- names in texts

    def _string(self, node: cst.SimpleString) -> cst.CSTNode:
        text = literal(node)
        if isinstance(text, str) and self._is_annotation(node):
            return self._annotation(node)
        if not isinstance(text, str) or not text.isascii() or not text.replace(".", "a").isidentifier():
            return node
        above = self.scopes.parent(node)
        if isinstance(above, cst.Expr) or (isinstance(above, cst.DictElement) and above.key is node):
            return node
        new = self._public(node, text) if "." not in text else self._path(node, text)
        if new is None:
            return node
        opening = node.prefix + node.quote
        return node.with_changes(value=f"{opening}{new}{node.quote}")

    def _is_annotation(self, node: cst.CSTNode) -> bool:
        here: cst.CSTNode | None = node
        while here is not None and not isinstance(here, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            if isinstance(here, cst.Annotation):
                return True
            if isinstance(here, cst.Subscript) and _last(here.value) in {"Literal", "Annotated"}:
                return False
            here = self.scopes.parent(here)
        return False

    def _annotation(self, node: cst.SimpleString) -> cst.CSTNode:
        """A type hint that is written as a text."""
        scope = self.scopes.of[id(node)]

        def change(match: re.Match[str]) -> str:
            holder = scope.holder(match[0])
            imports = (
                [one for one in holder.names[match[0]] if one.kind == "import"] if holder is not None else []
            )
            legacy = self.resolver.legacy(imports[0].origin) if len(imports) == 1 else None
            if legacy is None or legacy[1] is None or not legacy[1].to or legacy[1].keep:
                return match[0]
            if f"{legacy[0].pattern}.{legacy[1].name}" in self.blocked:
                return match[0]
            self.log.append(Entry("converted", legacy[0], legacy[1].name, node))
            return self.use(legacy[1].to, imports, alias=True).value

        value = re.sub(r"(?<![\w.])[A-Za-z_]\w*", change, node.value[len(node.prefix) :])
        return node if node.prefix + value == node.value else node.with_changes(value=node.prefix + value)

    def _public(self, node: cst.SimpleString, text: str) -> str | None:
        """A name in `__all__`."""
        statement = self.scopes.statement(node)
        names = [] if not isinstance(statement, cst.Assign | cst.AugAssign | cst.AnnAssign) else (
            [one.target for one in statement.targets] if isinstance(statement, cst.Assign) else [statement.target]
        )  # fmt: skip
        if not any(isinstance(one, cst.Name) and one.value == "__all__" for one in names):
            return None
        for one in self.scopes.root.names.get(text, ()):
            legacy = self.resolver.legacy(one.origin) if one.kind == "import" else None
            if legacy is None:
                continue
            rules, rule, _ = legacy
            if (
                rule is None
                or not rule.to
                or text in self.facts.keep
                or f"{rules.pattern}.{rule.name}" in self.blocked
            ):
                reason = (
                    "other files use it from here"
                    if text in self.facts.keep
                    else "it is passed on in __all__"
                )
                self.log.append(Entry("could_not", rules, text, node, reason, rule.by_hand if rule else ""))
                if rule is not None:
                    self.block(rules, rule.name, f"{text} is passed on in __all__")
                return None
            self.log.append(Entry("converted", rules, text, node))
            return self.use(rule.to, (one,), alias=True).value
        return None

    def _path(self, node: cst.SimpleString, text: str) -> str | None:
        """A dotted path to a legacy name, or to a legacy module where modules are named."""
        found = self.resolver.legacy(text)
        if found is not None:
            rules, rule, _ = found
            if rule is None or "." in rule.name:
                return None
            if rule.to:
                self.log.append(Entry("converted", rules, rule.name, node))
                return rule.to
            if rules.closed:
                self.log.append(
                    Entry(
                        "could_not",
                        rules,
                        rule.name,
                        node,
                        "a text names it, and nothing takes its place",
                        rule.by_hand,
                    )
                )
            return None
        home = self.resolver.legacy_module(text)
        above = self.scopes.parent(node)
        call = self.scopes.parent(above) if isinstance(above, cst.Arg) else None
        if home is None or not home.closed or not isinstance(call, cst.Call):
            return None
        if _last(call.func) not in {"import_module", "__import__", "find_spec", "importorskip"}:
            return None
        if not home.home or self.targets(call):
            self.log.append(
                Entry("could_not", home, text, node, "the module is loaded by its name, and what is taken from it "
                      "is not seen", "Import the new names instead.")
            )  # fmt: skip
            return None
        self.log.append(Entry("converted", home, text, node))
        return home.home


def _last(node: cst.CSTNode) -> str:
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _other_quotes(old: cst.FormattedString, new: cst.CSTNode) -> cst.CSTNode:
    """New texts inside an f-string in the quotes that it does not use itself: until Python 3.12 it ends at its own."""
    if new is old:
        return old
    own = old.end[-1]
    other = "'" if own == '"' else '"'

    def change(node: cst.CSTNode) -> cst.CSTNode:
        if isinstance(node, cst.SimpleString) and node.quote == own and other not in node.value:
            return node.with_changes(value=node.value.replace(own, other))
        return rebuilt(node, change)

    return rebuilt(new, change)


def plain_call(site: Site) -> cst.BaseExpression:
    """The new name, with the arguments under their new names."""
    return site.calling(site.replacement(), site.renamed())
