"""`@retry(stop=…, wait=…)` around calls of models to `Retry`. It knows tenacity's schedules.

The function keeps its name, its parameters and its being sync or async: its body moves into a step that `Retry` runs.
"""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.scope import Binding
from tidyllm.migrate.site import Site, expression, keyword, literal
from tidyllm.migrate.tree import children, comments, dotted, last_name, rebuilt

__all__ = ["CALLS", "function_definition"]

_STEADY = keyword("jitter", expression("False"))
"""Pauses that are not left to chance."""
_BY_HAND = "Wrap the call in Retry(step, attempts=..., base=..., cap=..., on=...) by hand."


def untouched(site: Site) -> cst.BaseExpression:
    return site.original


CALLS = {"untouched": untouched}


def function_definition(file: Rewriter, rules: Rules, node: cst.FunctionDef) -> cst.CSTNode | None:
    """The function without the decorator, if it asks a model; None when it is none of ours."""
    found = next((one for one in node.decorators if _is_retry(file, rules, one.decorator)), None)
    if found is None or not _asks_model(node.body, rules.settings["model_calls"]):
        return None
    bindings = _bindings(file, found.decorator)
    try:
        options = _Options(file, found.decorator, bindings).read()
        done = _wrapped(file, node, found, options, bindings)
    except CannotConvert as error:
        file.log.append(
            Entry(
                "could_not",
                rules,
                f"retry of {node.name.value}",
                node.name,
                error.reason,
                error.by_hand or _BY_HAND,
            )
        )
        return None
    file.log.append(Entry("converted", rules, f"retry of {node.name.value}", node.name))
    return done


def _names(node: cst.CSTNode, name: str) -> bool:
    return (isinstance(node, cst.Name) and node.value == name) or any(
        _names(one, name) for one in children(node)
    )


def _is_watched(node: cst.CSTNode, name: str) -> bool:
    """Whether what the decorator added to the function is read: `ask.retry.statistics`, `ask.retry_with(…)`."""
    added = isinstance(node, cst.Attribute) and node.attr.value in {"retry", "retry_with", "statistics"}
    if added and isinstance(node, cst.Attribute) and last_name(node.value) == name:
        return True
    return any(_is_watched(one, name) for one in children(node))


def _callee(node: cst.BaseExpression) -> cst.BaseExpression:
    return node.func if isinstance(node, cst.Call) else node


def _is_retry(file: Rewriter, rules: Rules, node: cst.BaseExpression) -> bool:
    found = file.resolver.reference(_callee(node))
    return found is not None and found.rules is rules and found.name == "retry"


def _bindings(file: Rewriter, node: cst.BaseExpression) -> tuple[Binding, ...]:
    found = file.resolver.reference(_callee(node))
    return () if found is None else found.bindings


def _asks_model(node: cst.CSTNode, calls: list[str]) -> bool:
    if isinstance(node, cst.Call):
        name = dotted(node.func) or _tail(node.func)
        if any(name == one or name.endswith(f".{one}") for one in calls):
            return True
    return any(_asks_model(child, calls) for child in children(node))


def _tail(node: cst.CSTNode) -> str:
    """The attributes at the end of an expression: `get_client().chat.completions.create`."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    return "." + ".".join(reversed(parts))


class _Options:
    """What the decorator says, as arguments of `Retry`."""

    def __init__(self, file: Rewriter, node: cst.BaseExpression, bindings: tuple[Binding, ...]) -> None:
        self.file = file
        self.node = node
        self.bindings = bindings

    def read(self) -> list[cst.Arg]:
        if not isinstance(self.node, cst.Call) or not self.node.args:
            raise CannotConvert("it tries again for ever", "Say how often: Retry(step, attempts=...).")
        given: dict[str, cst.BaseExpression] = {}
        for place, arg in enumerate(self.node.args):
            if arg.star or (arg.keyword is None and place):
                raise CannotConvert("its arguments cannot be told apart", "Write them out with their names.")
            given["sleep" if arg.keyword is None else arg.keyword.value] = arg.value
        for name in given:
            if name not in {"stop", "wait", "retry", "reraise"}:
                raise CannotConvert(f"its argument {name!r} has no counterpart", _BY_HAND)
        if "stop" not in given:
            raise CannotConvert("it tries again for ever", "Say how often: Retry(step, attempts=...).")
        if _names(self.file.module, "RetryError") and literal(given.get("reraise")) is not True:
            raise CannotConvert("RetryError is caught", "Catch the error of the last attempt instead.")
        attempts = self._one(given["stop"], "stop_after_attempt", "max_attempt_number")
        args = [keyword("attempts", attempts), *self._wait(given.get("wait"), literal(attempts))]
        args.append(keyword("on", self._on(given.get("retry"))))
        return args

    def _kind(self, node: cst.BaseExpression) -> str:
        origin = self.file.resolver.origin(_callee(node))
        whole = origin[0][0] if origin is not None else ""
        return whole.rpartition(".")[2] if whole.startswith("tenacity.") else ""

    def _one(self, node: cst.BaseExpression, kind: str, name: str) -> cst.BaseExpression:
        if isinstance(node, cst.Call) and self._kind(node) == kind and len(node.args) == 1:
            arg = node.args[0]
            if not arg.star and (arg.keyword is None or arg.keyword.value == name):
                return arg.value
        raise CannotConvert(f"only stop={kind}(n) can be converted", _BY_HAND)

    def _wait(self, node: cst.BaseExpression | None, attempts: object) -> list[cst.Arg]:
        """Upper bounds: the first pause is drawn from up to `base` seconds, doubled each time up to `cap`."""
        if node is None or self._kind(node) == "wait_none":
            return [keyword("base", expression("0")), keyword("cap", expression("0"))]
        kind = self._kind(node)
        orders = {
            "wait_exponential": ("multiplier", "max", "exp_base", "min"),
            "wait_random_exponential": ("multiplier", "max", "exp_base", "min"),
            "wait_fixed": ("wait",),
            "wait_random": ("min", "max"),
        }
        if kind not in orders or not isinstance(node, cst.Call):
            raise CannotConvert("its pauses have no counterpart", _BY_HAND)
        given: dict[str, cst.BaseExpression] = {}
        for place, arg in enumerate(node.args):
            if arg.star or (arg.keyword is None and place >= len(orders[kind])):
                raise CannotConvert("its pauses have no counterpart", _BY_HAND)
            given[orders[kind][place] if arg.keyword is None else arg.keyword.value] = arg.value
        if kind == "wait_fixed":
            return [keyword("base", given["wait"]), keyword("cap", given["wait"]), _STEADY]
        if kind == "wait_random":
            most = given.get("max", expression("1"))
            return [keyword("base", most), keyword("cap", most)]
        args = self._exponential(given, attempts)
        return [*args, _STEADY] if kind == "wait_exponential" else args

    def _exponential(self, given: Mapping[str, cst.BaseExpression], attempts: object) -> list[cst.Arg]:
        if "exp_base" in given and literal(given["exp_base"]) != 2:
            raise CannotConvert("its pauses do not double", _BY_HAND)
        base = given.get("multiplier", expression("1"))
        least = given.get("min")
        if least is not None and literal(least) != 0:
            values = literal(base), literal(least)
            if not all(isinstance(one, int | float) for one in values):
                raise CannotConvert("its shortest pause is computed", _BY_HAND)
            base = least if float(str(values[1])) > float(str(values[0])) else base
        cap = given.get("max")
        if cap is None:
            first = literal(base)
            if not isinstance(first, int | float) or not isinstance(attempts, int):
                raise CannotConvert("its longest pause is computed", _BY_HAND)
            cap = expression(repr(first * 2 ** max(attempts - 2, 0)))
        return [keyword("base", base), keyword("cap", cap)]

    def _on(self, node: cst.BaseExpression | None) -> cst.BaseExpression:
        if node is None:
            return expression("Exception")
        kind = self._kind(node)
        one = isinstance(node, cst.Call) and len(node.args) == 1 and not node.args[0].star
        if one and isinstance(node, cst.Call) and kind in {"retry_if_exception_type", "retry_if_exception"}:
            return node.args[0].value
        if isinstance(node, cst.Call) and kind == "retry_if_exception_type" and not node.args:
            return expression("Exception")
        raise CannotConvert("when it tries again has no counterpart", _BY_HAND)


def _wrapped(
    file: Rewriter,
    node: cst.FunctionDef,
    decorator: cst.Decorator,
    options: list[cst.Arg],
    bindings: tuple[Binding, ...],
) -> cst.FunctionDef:
    if _is_watched(file.module, node.name.value):
        raise CannotConvert("its schedule or its statistics are read", "Read the events of the run instead.")
    if node.decorators[-1] is not decorator:
        raise CannotConvert("another decorator stands below it", "Put the one of tenacity right above def.")
    _movable(file, node)
    assert isinstance(node.body, cst.IndentedBlock)
    done = rebuilt(node.body, file.rewrite)
    assert isinstance(done, cst.IndentedBlock)
    body = list(done.body)
    head = [body.pop(0)] if _is_docstring(body[0]) else []
    if not body:
        raise CannotConvert("it does nothing")
    name = "attempt"
    while file.scopes.of[id(node.body)].holder(name) is not None:
        name += "_"
    is_async = node.asynchronous is not None
    inner = cst.FunctionDef(
        cst.Name(name),
        cst.Parameters([cst.Param(cst.Name("_"))]),
        done.with_changes(body=body),
        asynchronous=node.asynchronous,
        decorators=[] if is_async else [_threaded(file, bindings)],
        leading_lines=[cst.EmptyLine(indent=False)] if head else [],
    )
    args = [cst.Arg(cst.Name(name)), *options]
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    args = [arg.with_changes(comma=comma) for arg in args[:-1]] + args[-1:]
    step = cst.Call(file.use("tidyllm.Retry", bindings), args)
    nothing = [cst.Arg(cst.Name("None"))]
    answer: cst.BaseExpression = (
        cst.Await(cst.Call(step, nothing))
        if is_async
        else cst.Call(cst.Attribute(step, cst.Name("run_sync")), nothing)
    )
    last = cst.SimpleStatementLine([cst.Return(answer)], leading_lines=[cst.EmptyLine(indent=False)])
    decorators = [one for one in node.decorators if one is not decorator]
    first = node.decorators[0]
    words = [cst.EmptyLine(comment=one) for one in comments(decorator.with_changes(leading_lines=[]))]
    changed = node.with_changes(
        decorators=decorators, body=done.with_changes(body=[*head, inner, last], footer=[])
    )
    if first is decorator and first.leading_lines:
        if decorators:
            both = [*first.leading_lines, *decorators[0].leading_lines]
            changed = changed.with_changes(
                decorators=[decorators[0].with_changes(leading_lines=both), *decorators[1:]]
            )
        else:
            changed = changed.with_changes(leading_lines=[*node.leading_lines, *first.leading_lines])
    if words:
        changed = changed.with_changes(lines_after_decorators=[*words, *changed.lines_after_decorators])
    return changed


def _threaded(file: Rewriter, bindings: tuple[Binding, ...]) -> cst.Decorator:
    """A plain function blocks; in a thread it blocks nobody else."""
    call = cst.Call(file.use("tidyllm.step", bindings), [keyword("thread", cst.Name("True"))])
    return cst.Decorator(call)


def _is_docstring(line: cst.BaseStatement) -> bool:
    return (
        isinstance(line, cst.SimpleStatementLine)
        and isinstance(line.body[0], cst.Expr)
        and isinstance(line.body[0].value, cst.SimpleString | cst.ConcatenatedString)
    )


def _movable(file: Rewriter, node: cst.FunctionDef) -> None:
    """:raises CannotConvert: the body would mean something else one function deeper."""
    if not isinstance(node.body, cst.IndentedBlock):
        raise CannotConvert("its body stands on the line of its head", "Put the body on a line of its own.")
    inside = file.scopes.of[id(node.body)]
    for name, bindings in inside.names.items():
        if any(isinstance(one.node, cst.Param) for one in bindings) and len(bindings) > 1:
            raise CannotConvert(
                f"it gives its own parameter {name!r} another value", "Use another name for it."
            )

    own = {
        name
        for name, bindings in inside.names.items()
        if any(isinstance(one.node, cst.Param) for one in bindings)
    }

    def look(one: cst.CSTNode) -> None:
        if isinstance(one, cst.FunctionDef | cst.Lambda | cst.ClassDef):
            return
        if isinstance(one, cst.Del) and any(_names(one, name) for name in own):
            raise CannotConvert("it deletes its own parameter", "Leave the parameter alone.")
        if isinstance(one, cst.Call) and dotted(one.func) in {"locals", "vars"} and not one.args:
            raise CannotConvert("it looks at its own variables", "Name the variables.")
        if isinstance(one, cst.Yield):
            raise CannotConvert("it is a generator")
        if isinstance(one, cst.Call) and dotted(one.func) == "super" and not one.args:
            raise CannotConvert("it calls super()", "Write super(Class, self).")
        for child in children(one):
            look(child)

    look(node.body)
