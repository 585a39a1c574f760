"""Primitives to steps. It knows how the old ones counted, waited and failed.

Old: `max_retries=2` are three attempts; the pause after attempt n (from 0) is `min(backoff_base ** n, max_backoff)`,
times 0.5 to 1.5; every exception is tried again, and every exception falls back.
New: the pause after attempt n (from 1) is drawn from 0 to `min(cap, base * 2 ** (n - 1))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.patterns.tta_classes import class_definition
from tidyllm.migrate.patterns.tta_functions import by_input, for_context
from tidyllm.migrate.rewrite import Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.site import Site, expression, keyword, literal, positional
from tidyllm.migrate.tree import dotted

__all__ = ["ATTRIBUTES", "CALLS", "METHODS", "class_definition", "method_call"]

_EVERY = "Exception"


def _first(site: Site, given: Mapping[str, cst.Arg], name: str) -> cst.Arg:
    if name not in given:
        raise site.refuse(f"its {name} is missing")
    return positional(given[name].value, given[name])


# -- retries


def _schedule(site: Site, given: Mapping[str, cst.Arg]) -> list[cst.Arg]:
    """`attempts=…, base=…, cap=…, on=Exception`."""
    args = [keyword("attempts", _attempts(given))]
    growth = literal(given["backoff_base"].value) if "backoff_base" in given else 2.0
    cap = given["max_backoff"].value if "max_backoff" in given else expression("60.0")
    if not isinstance(growth, int | float) or isinstance(growth, bool) or growth < 1:
        raise site.refuse("how its pauses grow is computed, or they shrink")
    args += [keyword("base", expression("1.0")), keyword("cap", cap)]
    if growth != 2:
        args.append(keyword("multiplier", expression(repr(growth))))
    args.append(keyword("on", expression(_EVERY)))
    jitter = literal(given["jitter"].value) if "jitter" in given else True
    if jitter is False:
        args.append(keyword("jitter", expression("False")))
    elif jitter is not True:
        raise site.refuse("whether its pauses vary is computed")
    return args


def _attempts(given: Mapping[str, cst.Arg]) -> cst.BaseExpression:
    if "max_attempts" in given:
        return given["max_attempts"].value
    if "max_retries" not in given:
        return expression("4")
    value = given["max_retries"].value
    number = literal(value)
    if isinstance(number, int):
        return expression(str(number + 1))
    if not isinstance(value, cst.Name | cst.Attribute | cst.Call | cst.Subscript):
        value = value.with_changes(lpar=[*value.lpar, cst.LeftParen()], rpar=[*value.rpar, cst.RightParen()])
    return cst.BinaryOperation(value, cst.Add(), expression("1"))


def strategy(site: Site) -> cst.BaseExpression:
    """Inside a `RetryPrimitive` it is left to that one; in a variable it becomes the arguments of `Retry`."""
    above = site.file.scopes.parent(site.original)
    call = site.file.scopes.parent(above) if isinstance(above, cst.Arg) else None
    if isinstance(call, cst.Call):
        found = site.file.resolver.reference(call.func)
        if found is not None and found.name == "RetryPrimitive":
            return site.call
    if not site.file.targets(site.original):
        raise site.refuse("where it goes is not seen")
    return site.calling(cst.Name("dict"), _schedule(site, site.given()))


def retry(site: Site) -> cst.BaseExpression:
    given = site.given()
    plan = given.get("strategy")
    first = _first(site, given, "primitive")
    if plan is None or literal(plan.value) is None:
        return site.calling(site.replacement(), [first, *_schedule(site, given)])
    rule = site.rules.names["RetryStrategy"]
    if isinstance(plan.value, cst.Call):
        inner = Site(site.file, site.rules, rule, plan.value, call=plan.value, bindings=site.bindings)
        found = site.file.resolver.reference(plan.value.func)
        if found is None or found.rule is not rule:
            raise site.refuse("what its strategy holds is not seen")
        args = _schedule(inner, inner.given())
        args[-1] = args[-1].with_changes(comma=plan.comma, whitespace_after_arg=plan.whitespace_after_arg)
        return site.calling(site.replacement(), [first, *args])
    old = next(
        one.value for one in site.original.args if one.keyword is None or one.keyword.value == "strategy"
    )
    if site.original.args[0].value is old and len(site.original.args) > 1:
        old = site.original.args[1].value
    holds = site.file.resolver.instance(old)
    if holds is None or holds.rule is not rule or holds.mixed:
        raise site.refuse("what its strategy holds is not seen")
    spread = plan.with_changes(keyword=None, star="**", equal=cst.MaybeSentinel.DEFAULT)
    return site.calling(site.replacement(), [first, spread])


# -- the others


def timeout(site: Site) -> cst.BaseExpression:
    given = site.given()
    first = _first(site, given, "primitive")
    if "timeout_seconds" not in given:
        raise site.refuse("its timeout_seconds is missing")
    if literal(given["timeout_seconds"].value) in (None, 0):
        raise site.refuse("its time limit is None or 0", "Leave it out, or give it seconds above 0.")
    total = keyword("total", given["timeout_seconds"].value, given["timeout_seconds"])
    other = given.get("fallback")
    if other is None or literal(other.value) is None:
        return site.calling(site.replacement(), [first, total])
    args = [first.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))), _last(total)]
    inner = cst.Call(
        site.use(
            "tidyllm.Timeout",
        ),
        args,
    )
    on = keyword("on", site.use("tidyllm.errors.TimeoutExceeded"))
    return site.calling(site.use("tidyllm.Fallback"), [cst.Arg(inner), positional(other.value, other), on])


def _last(arg: cst.Arg) -> cst.Arg:
    return arg.with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_arg=cst.SimpleWhitespace(""))


def fallback(site: Site) -> cst.BaseExpression:
    given = site.given()
    first = _first(site, given, "primary")
    args = [first]
    if "fallback" in given and literal(given["fallback"].value) is not None:
        args.append(positional(given["fallback"].value, given["fallback"]))
    many = given.get("fallbacks")
    if many is not None and literal(many.value) is not None:
        if isinstance(many.value, cst.List | cst.Tuple):
            args += [_element(one) for one in many.value.elements]
        else:
            args.append(positional(many.value, many).with_changes(star="*"))
    if len(args) == 1:
        raise site.refuse("it has nothing to fall back to")
    return site.calling(site.replacement(), [*args, keyword("on", expression(_EVERY))])


def _element(one: cst.BaseElement) -> cst.Arg:
    return cst.Arg(one.value, star="*" if isinstance(one, cst.StarredElement) else "")


def sequence(site: Site) -> cst.BaseExpression:
    given = site.given()
    if "primitives" not in given:
        raise site.refuse("it has no steps")
    many = given["primitives"]
    if isinstance(many.value, cst.List | cst.Tuple):
        return site.calling(site.replacement(), [_element(one) for one in many.value.elements])
    return site.calling(site.replacement(), [positional(many.value, many).with_changes(star="*")])


def router(site: Site) -> cst.BaseExpression:
    given = site.given()
    for name in ("routes", "router_fn"):
        if name not in given:
            raise site.refuse(f"its {name} is missing")
    routes = given["routes"]
    args = [
        positional(routes.value, routes),
        keyword("by", for_context(site, given["router_fn"].value), given["router_fn"]),
    ]
    default = given.get("default") or given.get("default_route")
    if default is not None and literal(default.value) is not None:
        step = _route(routes.value, literal(default.value))
        if step is None:
            raise site.refuse("the step of its default is not seen")
        args.append(keyword("default", step, default))
    return site.calling(site.replacement(), args)


def _route(routes: cst.BaseExpression, name: object) -> cst.BaseExpression | None:
    """The step under a key, where naming it twice makes no second one."""
    if isinstance(routes, cst.Dict):
        for one in routes.elements:
            if isinstance(one, cst.DictElement) and literal(one.key) == name:
                return one.value if dotted(one.value) is not None else None
    if isinstance(routes, cst.Name | cst.Attribute) and isinstance(name, str):
        return cst.Subscript(
            routes, [cst.SubscriptElement(cst.Index(expression(repr(name).replace("'", '"'))))]
        )
    return None


def conditional(site: Site) -> cst.BaseExpression:
    given = site.given()
    for name in ("condition", "then_primitive"):
        if name not in given:
            raise site.refuse(f"its {name} is missing")
    other = given.get("else_primitive")
    if other is None or literal(other.value) is None:
        raise site.refuse(
            "it passes its input on where the condition does not hold", "Give Branch a step for False."
        )
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    table = cst.Dict(
        [
            cst.DictElement(cst.Name("True"), given["then_primitive"].value, comma=comma),
            cst.DictElement(cst.Name("False"), other.value),
        ]
    )
    by = keyword("by", for_context(site, given["condition"].value))
    return site.calling(site.replacement(), [cst.Arg(table), by])


def cache(site: Site) -> cst.BaseExpression:
    given = site.given()
    args = [_first(site, given, "primitive")]
    time = given.get("ttl_seconds") or given.get("ttl")
    if time is not None:
        if literal(time.value) in (None, 0):
            raise site.refuse("its ttl_seconds is None or 0", "Say how many seconds an answer is kept.")
        args.append(keyword("ttl_seconds", time.value, time))
    key = given.get("cache_key_fn")
    if key is not None:
        args.insert(1, keyword("key", by_input(site, key.value), key))
    return site.calling(site.replacement(), args)


def function(site: Site) -> cst.BaseExpression:
    given = site.given()
    if "func" not in given:
        raise site.refuse("it has no function")
    value = for_context(site, given["func"].value)
    return site.calling(site.use("tidyllm.step"), [positional(value, given["func"])])


def context(site: Site) -> cst.BaseExpression:
    """`Context.new(tags={"workflow_id": …})`."""
    given = site.given()
    for name in ("metadata", "state"):
        arg = given.pop(name, None)
        if arg is not None and not (isinstance(arg.value, cst.Dict) and not arg.value.elements):
            raise site.refuse(f"it carries {name}")
    tags = given.pop("tags", None)
    elements: list[cst.BaseDictElement] = [
        cst.DictElement(expression(f'"{name}"'), arg.value)
        for name, arg in given.items()
        if literal(arg.value) is not None
    ]
    if tags is not None:
        elements.append(cst.StarredDictElement(tags.value))
    func = cst.Attribute(site.replacement(), cst.Name("new"))
    return site.calling(func, [keyword("tags", cst.Dict(elements))] if elements else [])


def base(site: Site) -> cst.BaseExpression:
    """`super().__init__(…)` of a subclass."""
    given = site.given()
    return site.calling(site.replacement(), [keyword("name", arg.value, arg) for arg in given.values()])


def by_hand(site: Site) -> cst.BaseExpression:
    raise CannotConvert(site.rule.reason or "nothing takes its place", site.rule.by_hand)


def execute(site: Site) -> cst.BaseExpression:
    """`step(x, ctx)`."""
    func = site.call.func
    assert isinstance(func, cst.Attribute)
    return _called(site.call, func)


def _called(call: cst.Call, func: cst.Attribute) -> cst.Call:
    order = ("input_data", "context")
    given: dict[str, cst.Arg] = {}
    for place, arg in enumerate(call.args):
        name = arg.keyword.value if arg.keyword is not None else order[place] if place < 2 else ""
        if arg.star or name not in order or name in given:
            raise CannotConvert("its arguments cannot be told apart", "Write step(x, ctx).")
        given[name] = arg
    if "input_data" not in given:
        raise CannotConvert("it has no input", "Write step(x, ctx).")
    args = [positional(given[name].value, given[name]) for name in order if name in given]
    value = func.value
    if isinstance(value, cst.BinaryOperation | cst.Await) and not value.lpar:
        value = value.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    from tidyllm.migrate.site import tidy

    return call.with_changes(func=value, args=tidy(args))


def method_call(file: Rewriter, rules: Rules, node: cst.Call) -> cst.CSTNode | None:
    """`anything.execute(x, context)` with a context of ours: what it stands on is a primitive."""
    func = node.func
    if not isinstance(func, cst.Attribute) or func.attr.value != "execute" or len(node.args) != 2:
        return None
    if file.resolver.instance(func.value) is not None:
        return None
    holds = file.resolver.instance(node.args[1].value)
    if holds is None or holds.rules is not rules or holds.rule.name != "WorkflowContext":
        return None
    rule = rules.names["WorkflowPrimitive"]

    def action(site: Site) -> cst.BaseExpression:
        return execute(site)

    return file.convert(
        node, rules, rule, holds.bindings, action, method="execute", name="WorkflowPrimitive.execute"
    )


def _tag(name: str) -> Callable[[cst.Attribute], cst.BaseExpression]:
    def read(node: cst.Attribute) -> cst.BaseExpression:
        func = cst.Attribute(cst.Attribute(node.value, cst.Name("tags")), cst.Name("get"))
        return cst.Call(func, [cst.Arg(expression(f'"{name}"'))], lpar=node.lpar, rpar=node.rpar)

    return read


ATTRIBUTES = {
    f"WorkflowContext.{name}": _tag(name)
    for name in ("workflow_id", "session_id", "player_id", "correlation_id")
}
CALLS: dict[str, Callable[[Site], cst.BaseExpression]] = {
    "retry": retry, "strategy": strategy, "timeout": timeout, "fallback": fallback, "sequence": sequence,
    "router": router, "conditional": conditional, "cache": cache, "function": function, "context": context,
    "base": base, "by_hand": by_hand,
}  # fmt: skip
_STEPS = (
    "WorkflowPrimitive", "InstrumentedPrimitive", "LambdaPrimitive", "SequentialPrimitive", "ParallelPrimitive",
    "ConditionalPrimitive", "RouterPrimitive", "CachePrimitive", "RetryPrimitive", "TimeoutPrimitive",
    "FallbackPrimitive",
)  # fmt: skip
METHODS = {f"{name}.execute": execute for name in _STEPS}
