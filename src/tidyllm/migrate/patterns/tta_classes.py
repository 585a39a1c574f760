"""Classes below `WorkflowPrimitive` as classes below `Step`: `execute` becomes `invoke`."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules

__all__ = ["class_definition"]

_TAKEN = {"stream", "join", "split", "run_sync", "named", "invoke", "invoke_stream", "joins_like", "direct"}


def class_definition(file: Rewriter, rules: Rules, node: cst.ClassDef) -> cst.CSTNode | None:
    """A subclass of `WorkflowPrimitive`: `execute` becomes `invoke`."""
    found = file.resolver.legacy_base(node)
    if (
        found is None
        or found.rules is not rules
        or found.name not in {"WorkflowPrimitive", "InstrumentedPrimitive"}
    ):
        return None
    own = {one.name.value: one for one in node.body.body if isinstance(one, cst.FunctionDef)}
    key = id(file.scopes.of[id(node)]), node.name.value
    why = ""
    old = "_execute_impl" if "_execute_impl" in own else "execute"
    if set(own) & _TAKEN:
        why = f"it has a method {min(set(own) & _TAKEN)!r}, which means something else in a step"
    elif old in own and (own[old].asynchronous is None or len(own[old].params.params) != 3):
        why = f"its {old} is no async def {old}(self, input_data, context)"
    elif key in file.tainted:
        why = file.tainted[key]
    if why:
        assert found.rule is not None
        file.log.append(Entry("could_not", rules, node.name.value, node.name, why, found.rule.by_hand))
        file.taint(key, f"{node.name.value} could not be converted")
        return node
    done = file.rebuilt_class(node)
    if done is node or not isinstance(done, cst.ClassDef):
        return done
    body = [_renamed(one, old) if isinstance(one, cst.FunctionDef) else one for one in done.body.body]
    return done.with_changes(body=done.body.with_changes(body=body))


def _renamed(node: cst.FunctionDef, old: str) -> cst.FunctionDef:
    if node.name.value == old:
        return node.with_changes(name=cst.Name("invoke"))
    if (
        node.name.value == "__init__"
        and isinstance(node.body, cst.IndentedBlock)
        and not _calls_super(node.body)
    ):
        line = cst.parse_statement("super().__init__()")
        assert isinstance(line, cst.SimpleStatementLine)
        lines = list(node.body.body)
        place = 1 if _is_docstring(lines[0]) else 0
        return node.with_changes(body=node.body.with_changes(body=[*lines[:place], line, *lines[place:]]))
    return node


def _is_docstring(line: cst.BaseStatement) -> bool:
    return (
        isinstance(line, cst.SimpleStatementLine)
        and isinstance(line.body[0], cst.Expr)
        and isinstance(line.body[0].value, cst.SimpleString)
    )


def _calls_super(node: cst.CSTNode) -> bool:
    if (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and node.func.attr.value == "__init__"
    ):
        return True
    return any(_calls_super(child) for child in node.children)
