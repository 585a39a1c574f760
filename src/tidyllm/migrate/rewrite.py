"""Converting one module. It knows how uses of legacy names hang together, not what a pattern makes of them.

What belongs together is converted together: a wrapper is left as it is when one of its arguments could not be
converted, and so is whatever is used with it through a variable. It is done in rounds: each may find more that has to
stay, until a round finds nothing new.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import libcst as cst

from tidyllm.migrate.alone import Alone
from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.looks import other_quotes, with_comments
from tidyllm.migrate.resolve import Instance, Reference
from tidyllm.migrate.rules import Name, Rules
from tidyllm.migrate.scope import Binding
from tidyllm.migrate.site import Site
from tidyllm.migrate.texts import converted_text
from tidyllm.migrate.ties import Entry, Need
from tidyllm.migrate.tree import children, rebuilt

__all__ = ["Action", "Entry", "Need", "Rewriter"]

Action: TypeAlias = Callable[[Site], cst.BaseExpression]
_ROUNDS = 200


class Rewriter(Alone):
    """One module and its conversion. `run` gives the new tree with marks for new names (see `imports`)."""

    def run(self) -> cst.Module:
        """The converted tree."""
        for _ in range(_ROUNDS):
            self.log, self.needs, self.again = [], {}, False
            self.unawaited, self.pieces, self.reshaped = set(), set(), set()
            done = self.rewrite(self.module)
            if self.checked:
                self._tested(done)
            if not self.again:
                assert isinstance(done, cst.Module)
                return done
        self.log = []
        return self.module

    def _tested(self, node: cst.CSTNode) -> None:
        """An object that stays is not tested against a class that does not."""
        if isinstance(node, cst.Import | cst.ImportFrom):
            return
        found = None if id(node) in self.scopes.not_read else self.resolver.reference(node)
        if found is not None and (found.rules.pattern, found.name) in self.checked:
            why = f"objects are tested for {found.name}, and another use of it has to stay"
            self.block(found.rules, found.name, why)
        for child in children(node):
            self._tested(child)

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
            return converted_text(self, node)
        if isinstance(node, cst.FormattedString):
            return other_quotes(node, rebuilt(node, self.rewrite))
        if isinstance(node, cst.Await):
            done = rebuilt(node, self.rewrite)
            bare = isinstance(done, cst.Await) and done is not node and id(node.expression) in self.unawaited
            return done.expression if bare and isinstance(done, cst.Await) else done
        if isinstance(node, cst.Import | cst.ImportFrom):
            return node
        if isinstance(node, cst.FunctionDef):
            return self._definition(node, "function")
        if isinstance(node, cst.ClassDef):
            return self._definition(node, "class")
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            return self._statement(node)
        return rebuilt(node, self.rewrite)

    def _statement(self, node: cst.CSTNode) -> cst.CSTNode:
        for rules in self.resolver.library:
            hook = self.hook(rules, "statement")
            if hook is not None:
                done = hook(self, rules, node)
                if isinstance(done, cst.CSTNode):
                    return done
        return rebuilt(node, self.rewrite)

    def _definition(self, node: cst.FunctionDef | cst.ClassDef, kind: str) -> cst.CSTNode:
        for rules in self.resolver.library:
            hook = self.hook(rules, f"{kind}_definition")
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
        left = [
            one for one in self.log[mark:] if one.kind == "could_not" and base and one.rules is base.rules
        ]
        if left:
            self.log[mark:] = [one for one in self.log[mark:] if one.kind == "could_not"]
            self.taint(
                (id(self.scopes.of[id(node)]), node.name.value),
                f"{left[0].name} in {node.name.value} could not be converted: {left[0].reason}",
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
                hook = self.hook(rules, "method_call")
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

    def _handler(self, rules: Rules, rule: Name) -> Action:
        calls: Mapping[str, Action] = getattr(self.handlers.get(rules.pattern), "CALLS", {})
        return calls.get(rule.convert or rule.name) or plain_call

    def convert(
        self,
        node: cst.Call,
        rules: Rules,
        rule: Name,
        bindings: tuple[Binding, ...],
        action: Action,
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
        site = Site(self, rules, rule, node, call=call, bindings=bindings)
        site.method = method
        try:
            done = action(site)
        except CannotConvert as error:
            del self.log[mark:]
            self.stuck[id(node)] = error.reason, error.by_hand
            self.refuse(node, rules, name, error.reason, error.by_hand)
            return node
        done = with_comments(node, done) if self.has_comments else done
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

    def _handler_of_method(self, holds: Instance, method: str) -> Action | None:
        table: Mapping[str, Action] = getattr(self.handlers.get(holds.rules.pattern), "METHODS", {})
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


def plain_call(site: Site) -> cst.BaseExpression:
    """The new name, with the arguments under their new names."""
    return site.calling(site.replacement(), site.renamed())
