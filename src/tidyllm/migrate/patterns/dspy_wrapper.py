"""`DSPyWrapper(DSPyConfig(…))` and `DynamicDSPyModule(signature)` to the wrapper. The rules hold the names."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.site import Site, expression, keyword, literal, positional
from tidyllm.migrate.tree import dotted

__all__ = ["CALLS", "METHODS"]

_HOME = "tidyllm.dspy"


def wrapper(site: Site) -> cst.BaseExpression:
    given = site.given()
    args = [positional(arg.value, arg) for arg in given.values() if literal(arg.value) is not None]
    return site.calling(site.replacement(), args)


def config(site: Site) -> cst.BaseExpression:
    """Switches become configurations; what it costs is always counted."""
    given = site.given()
    args: list[cst.Arg] = []
    enabled, ttl = given.get("cache_enabled"), given.get("cache_ttl")
    if enabled is not None or ttl is not None:
        inner = [] if enabled is None else [keyword("enabled", enabled.value)]
        inner += [] if ttl is None else [keyword("ttl_seconds", ttl.value)]
        args.append(keyword("cache", cst.Call(site.use(f"{_HOME}.CacheConfig"), inner), enabled or ttl))
    wanted = given.get("validation_enabled")
    if wanted is not None:
        value = literal(wanted.value)
        if value not in (True, False):
            raise site.refuse("whether it validates is decided while it runs")
        if value:
            args.append(keyword("validation", cst.Call(site.use(f"{_HOME}.ValidationConfig"), []), wanted))
    retries = given.get("max_retries")
    if retries is not None:
        call = cst.Call(site.use(f"{_HOME}.RetryConfig"), [keyword("max_retries", retries.value)])
        args.append(keyword("retry", call, retries))
    if "model" in given:
        args.append(keyword("model", given["model"].value, given["model"]))
    return site.calling(site.replacement(), args)


def dynamic(site: Site) -> cst.BaseExpression:
    """`UnifiedDSPyWrapper().create_module("QA", QA)`."""
    given = site.given()
    signature = given.get("signature_cls")
    if signature is None:
        raise site.refuse("it has no signature")
    name = (dotted(signature.value) or "dynamic").rpartition(".")[2]
    made = cst.Call(site.use(f"{_HOME}.UnifiedDSPyWrapper"), [])
    func = cst.Attribute(made, cst.Name("create_module"))
    return site.calling(func, [cst.Arg(expression(f'"{name}"')), positional(signature.value, signature)])


def same(site: Site) -> cst.BaseExpression:
    return site.call.with_changes(func=site.replacement())


CALLS = {"wrapper": wrapper, "config": config, "dynamic": dynamic, "same": same}
METHODS: dict[str, object] = {}
