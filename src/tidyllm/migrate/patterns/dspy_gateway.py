"""`configure_dspy_with_gateway(route)` and `DSPyGatewayLM` to the backend `gateway`. The rules hold the names."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.site import Site, expression, keyword

__all__ = ["CALLS"]


def _wrapper(site: Site, default: str | None) -> cst.Call:
    """`UnifiedDSPyWrapper(UnifiedConfig(backend="gateway", route=…))`."""
    given = site.given()
    route = given.get("route") or given.get("model")
    args = [keyword("backend", expression('"gateway"'))]
    if route is not None:
        args.append(keyword("route", route.value))
    elif default is not None:
        args.append(keyword("route", expression(f'"{default}"')))
    args += [keyword(name, given[name].value) for name in ("temperature", "max_tokens") if name in given]
    config = cst.Call(site.use("tidyllm.dspy.UnifiedConfig"), _commas(args))
    return cst.Call(site.use("tidyllm.dspy.UnifiedDSPyWrapper"), [cst.Arg(config)])


def _commas(args: list[cst.Arg]) -> list[cst.Arg]:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return [arg.with_changes(comma=comma) for arg in args[:-1]] + args[-1:]


def configure(site: Site) -> cst.BaseExpression:
    """`dspy.configure(lm=….lm)`: what the old function did for the whole process."""
    above = site.file.scopes.parent(site.original)
    if not isinstance(above, cst.Expr):
        raise CannotConvert("what it returns is used", site.rule.by_hand)
    lm = cst.Attribute(_wrapper(site, str(site.rules.settings["default_route"])), cst.Name("lm"))
    func = cst.Attribute(site.file.module_name("dspy", site.bindings), cst.Name("configure"))
    return cst.Call(func, [keyword("lm", lm)], lpar=site.call.lpar, rpar=site.call.rpar)


def engine(site: Site) -> cst.BaseExpression:
    return cst.Attribute(_wrapper(site, None), cst.Name("lm"), lpar=site.call.lpar, rpar=site.call.rpar)


def backend(site: Site) -> cst.BaseExpression:
    return _wrapper(site, None)


CALLS = {"configure": configure, "engine": engine, "backend": backend}
