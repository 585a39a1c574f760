"""`DSPyBedrockEnhancedWrapper` and `BedrockConfig` to the backend `bedrock`. The rules hold the names."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.patterns.dspy_enhanced import create_module, unified
from tidyllm.migrate.site import Site, expression, flat, keyword, literal, positional, tidy

__all__ = ["CALLS", "METHODS"]

_SECRETS = ("access_key_id", "secret_access_key", "session_token")


def _bedrock() -> cst.Arg:
    return keyword("backend", expression('"bedrock"'))


def config(site: Site) -> cst.BaseExpression:
    """`UnifiedConfig(backend="bedrock", region=…)`."""
    given = site.given()
    for name in _SECRETS:
        if name in given and literal(given[name].value) is not None:
            raise site.refuse(f"{name} is given in the code")
        given.pop(name, None)
    return site.calling(site.replacement(), [_bedrock(), *site.renamed(given)])


def wrapper(site: Site) -> cst.BaseExpression:
    given = site.given()
    whole = given.pop("bedrock_config", None)
    if whole is None or literal(whole.value) is None:
        return unified(site, [_bedrock(), *site.renamed(given)])
    rest = site.renamed(given)
    if isinstance(whole.value, cst.Call) and _is_converted(site, whole):
        inner = whole.value
        both = tidy([*inner.args, *map(flat, rest)]) if rest else inner.args
        return site.calling(site.replacement(), [positional(inner.with_changes(args=both), whole)])
    if rest:
        raise site.refuse("its configuration comes from a variable, and more is given beside it")
    old = next(
        one.value
        for one in site.original.args
        if one.keyword is None or one.keyword.value == "bedrock_config"
    )
    holds = site.file.resolver.instance(old)
    if holds is None or holds.mixed or holds.rule.name != "BedrockConfig":
        raise site.refuse("what its configuration holds is not seen in this file")
    return site.calling(site.replacement(), [positional(whole.value, whole)])


def _is_converted(site: Site, whole: cst.Arg) -> bool:
    old = next(
        one.value
        for one in site.original.args
        if one.keyword is None or one.keyword.value == "bedrock_config"
    )
    found = site.file.resolver.reference(old.func) if isinstance(old, cst.Call) else None
    return found is not None and found.name == "BedrockConfig"


def create_bedrock_module(site: Site) -> cst.BaseExpression:
    """`create_module(name, signature, model=model_id)`."""
    args: list[cst.Arg] = []
    for place, arg in enumerate(site.call.args):
        if arg.star:
            args.append(arg)
        elif arg.keyword is None:
            args.append(keyword("model", arg.value, arg) if place == 2 else arg)
        else:
            name = {"model_id": "model"}.get(arg.keyword.value, arg.keyword.value)
            if name not in {"name", "signature", "model"}:
                raise site.refuse(f"the argument {name!r} has no counterpart")
            args.append(keyword(name, arg.value, arg))
    func = site.call.func
    assert isinstance(func, cst.Attribute)
    return site.calling(func.with_changes(attr=cst.Name("create_module")), args)


CALLS = {"wrapper": wrapper, "config": config}
METHODS = {
    f"{name}.{method}": handler
    for name in ("DSPyBedrockEnhancedWrapper", "DSPyBedrockEnhanced")
    for method, handler in (
        ("create_bedrock_module", create_bedrock_module),
        ("create_module", create_module),
    )
}
