"""`Router(model_list=[…])` to a dict of steps by `model_name`. It knows deployments, not how answers are read.

Only lists that are written out, and only where the router's `completion` and `acompletion` are all that is used of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from tidyllm.migrate.patterns.litellm_step import commas, target, tries
from tidyllm.migrate.rewrite import Rewriter
from tidyllm.migrate.scope import Key
from tidyllm.migrate.site import Site, expression, keyword, literal
from tidyllm.migrate.tree import children, dotted

__all__ = ["is_call_of_router", "router", "step_of_router"]

_KNOWN = {
    "model_list",
    "fallbacks",
    "default_fallbacks",
    "num_retries",
    "timeout",
    "routing_strategy",
    "set_verbose",
}
_PARAMS = {"model", "api_key", "api_base", "base_url", "timeout", "rpm", "tpm"}
_BY_HAND = "Write its list as routes into tidyllm.yaml, and use load().routes by their names."
_RETRIES = 2
"""What a Router does where it is not told how often to try again."""


def is_call_of_router(file: Rewriter, node: cst.CSTNode) -> bool:
    """Whether it is `router.completion(…)` or `router.acompletion(…)`."""
    if not isinstance(node, cst.Call) or not isinstance(node.func, cst.Attribute):
        return False
    if node.func.attr.value not in {"completion", "acompletion"}:
        return False
    holds = file.resolver.instance(node.func.value)
    return holds is not None and holds.rules.pattern == "litellm" and holds.rule.name == "Router"


def step_of_router(site: Site, name: cst.BaseExpression) -> cst.BaseExpression:
    """`router["fast"]`."""
    func = site.call.func
    assert isinstance(func, cst.Attribute)
    return cst.Subscript(func.value, [cst.SubscriptElement(cst.Index(name))])


def router(site: Site) -> cst.BaseExpression:
    """`{"fast": Fallback(Retry(…), Retry(…)), …}`."""
    given: dict[str, cst.BaseExpression] = {}
    for place, arg in enumerate(site.call.args):
        name = arg.keyword.value if arg.keyword is not None else "model_list" if not place else ""
        if arg.star or name not in _KNOWN:
            what = (
                f"the argument {name!r} has no counterpart here"
                if name
                else "its arguments come from elsewhere"
            )
            raise site.refuse(what, _BY_HAND)
        given[name] = arg.value
    _is_only_asked(site)
    groups = _groups(site, given)
    spreads = any(len(group) > 1 for group in groups.values())
    strategy = literal(given["routing_strategy"]) if "routing_strategy" in given else "simple-shuffle"
    if spreads and strategy != "simple-shuffle":
        raise site.refuse("how it chooses among deployments has no counterpart here", _BY_HAND)
    more = _fallbacks(site, given, groups)
    steps = {name: _group(site, group, given) for name, group in groups.items()}
    elements: list[cst.DictElement] = []
    for name in groups:
        whole = steps[name]
        if more.get(name):
            whole = cst.Call(
                site.use("tidyllm.Fallback"),
                commas([cst.Arg(whole), *(cst.Arg(steps[other].deep_clone()) for other in more[name])]),
            )
        elements.append(cst.DictElement(expression(f'"{name}"'), whole))
    return _table(site, elements)


def _table(site: Site, elements: list[cst.DictElement]) -> cst.Dict:
    """One deployment on each line."""
    newline = cst.ParenthesizedWhitespace(indent=True, last_line=cst.SimpleWhitespace("    "))
    comma = cst.Comma(whitespace_after=newline)
    last = cst.Comma(whitespace_after=cst.ParenthesizedWhitespace(indent=True))
    done = [one.with_changes(comma=comma) for one in elements[:-1]] + [elements[-1].with_changes(comma=last)]
    call = site.original
    brace = cst.LeftCurlyBrace(whitespace_after=newline)
    return cst.Dict(done, lbrace=brace, lpar=call.lpar, rpar=call.rpar)


# -- what the list says


def _value(site: Site, node: cst.BaseExpression) -> cst.BaseExpression:
    """A list that a variable holds which is given a value once and is used for nothing else."""
    if not isinstance(node, cst.Name):
        return node
    scopes = site.file.scopes
    key = site.file.resolver.variable(node)
    values = scopes.assigned.get(key, []) if key is not None else []
    uses = [one for one in _mentions(site.file, scopes.module, key) if id(one) not in scopes.binding_names]
    if len(values) != 1 or len(uses) != 1 or not isinstance(values[0], cst.BaseExpression):
        raise site.refuse("its list of models is not written out", _BY_HAND)
    return values[0]


def _table_of(node: cst.BaseExpression) -> dict[str, cst.BaseExpression] | None:
    """A dict that is written out, by its keys; None when it is none."""
    if isinstance(node, cst.Call):
        plain = dotted(node.func) == "dict" and all(one.keyword is not None for one in node.args)
        return (
            {one.keyword.value: one.value for one in node.args if one.keyword is not None} if plain else None
        )
    if not isinstance(node, cst.Dict):
        return None
    found: dict[str, cst.BaseExpression] = {}
    for one in node.elements:
        name = literal(one.key) if isinstance(one, cst.DictElement) else ...
        if not isinstance(name, str):
            return None
        found[name] = one.value
    return found


_Group = list[dict[str, cst.BaseExpression]]


def _groups(site: Site, given: Mapping[str, cst.BaseExpression]) -> dict[str, _Group]:
    if "model_list" not in given:
        raise site.refuse("it has no list of models", _BY_HAND)
    models = _value(site, given["model_list"])
    if not isinstance(models, cst.List | cst.Tuple) or not models.elements:
        raise site.refuse("its list of models is not written out", _BY_HAND)
    groups: dict[str, _Group] = {}
    for one in models.elements:
        entry = _table_of(one.value)
        params = _table_of(entry["litellm_params"]) if entry and "litellm_params" in entry else None
        name = literal(entry["model_name"]) if entry and "model_name" in entry else None
        if entry is None or params is None or not isinstance(name, str) or '"' in name or "\\" in name:
            raise site.refuse("its list of models is not written out", _BY_HAND)
        odd = sorted(
            (entry.keys() - {"model_name", "litellm_params", "model_info"}) | (params.keys() - _PARAMS)
        )
        if odd or "model" not in params:
            what = f"the model {name!r} has {odd[0]!r}" if odd else f"the model {name!r} names none"
            raise site.refuse(f"{what}, which has no counterpart here" if odd else what, _BY_HAND)
        groups.setdefault(name, []).append(params)
    for name, group in groups.items():
        if len(group) > 1 and any({"rpm", "tpm"} & params.keys() for params in group):
            raise site.refuse(f"the deployments of {name!r} are chosen by their limits", _BY_HAND)
    return groups


def _fallbacks(
    site: Site, given: Mapping[str, cst.BaseExpression], groups: Mapping[str, _Group]
) -> dict[str, list[str]]:
    """For each name the names that come after it."""
    done: dict[str, list[str]] = {}
    tables = given.get("fallbacks")
    if tables is not None and literal(tables) is not None:
        if not isinstance(tables, cst.List | cst.Tuple):
            raise site.refuse("its fallbacks are not written out", _BY_HAND)
        for one in tables.elements:
            for name, others in (_table_of(one.value) or {"": tables}).items():
                done.setdefault(name, _names(site, others, groups))
        if not done.keys() <= groups.keys():
            raise site.refuse("its fallbacks name what its list of models does not", _BY_HAND)
    default = given.get("default_fallbacks")
    if default is not None and literal(default) is not None:
        names = _names(site, default, groups)
        for name in groups:
            done.setdefault(name, [other for other in names if other != name])
    return done


def _names(site: Site, node: cst.BaseExpression, groups: Mapping[str, _Group]) -> list[str]:
    names = [literal(one.value) for one in node.elements] if isinstance(node, cst.List | cst.Tuple) else []
    found = [name for name in names if isinstance(name, str) and name in groups]
    if not names or len(found) < len(names):
        raise site.refuse(
            "its fallbacks are not written out, or name what its list of models does not", _BY_HAND
        )
    return found


def _group(site: Site, group: _Group, given: Mapping[str, cst.BaseExpression]) -> cst.BaseExpression:
    """The deployments of one name: one, or one at random for each attempt."""
    steps: list[cst.BaseExpression] = []
    for params in group:
        whole = {"timeout": given["timeout"]} if "timeout" in given else {}
        whole |= {name: _key(value) for name, value in params.items() if name not in {"rpm", "tpm"}}
        steps.append(target(site, whole["model"], whole))
    if len(steps) > 1:
        chance = cst.Attribute(site.file.module_name("random", site.bindings), cst.Name("randrange"))
        call = cst.Call(chance, [cst.Arg(expression(str(len(steps))))])
        choose = cst.Lambda(cst.Parameters([cst.Param(cst.Name("_"))]), call)
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        table = cst.Dict(
            [
                cst.DictElement(
                    expression(str(place)),
                    one,
                    comma=comma if place < len(steps) - 1 else cst.MaybeSentinel.DEFAULT,
                )
                for place, one in enumerate(steps)
            ]
        )
        steps = [cst.Call(site.use("tidyllm.Branch"), commas([cst.Arg(table), keyword("by", choose)]))]
    return tries(site, steps[0], given.get("num_retries", expression(str(_RETRIES))))


def _key(value: cst.BaseExpression) -> cst.BaseExpression:
    """`"os.environ/NAME"`, which LiteLLM reads from the environment, as `"env:NAME"`."""
    text = literal(value)
    if isinstance(text, str) and isinstance(value, cst.SimpleString) and text.startswith("os.environ/"):
        return value.with_changes(value=value.value.replace("os.environ/", "env:", 1))
    return value


# -- how it is used


def _is_only_asked(site: Site) -> None:
    """:raises CannotConvert: more is done with the router than asking it."""
    file, scopes = site.file, site.file.scopes
    above = scopes.parent(site.original)
    target = above.targets[0].target if isinstance(above, cst.Assign) and len(above.targets) == 1 else None
    key = file.resolver.variable(target) if isinstance(target, cst.Name | cst.Attribute) else None
    if key is None:
        raise site.refuse("it is passed on as a whole", _BY_HAND)
    name = key[1]
    if key[0] == id(scopes.root) and name in file.facts.keep:
        raise site.refuse(f"other files use {name} from here", _BY_HAND)
    if key in scopes.annotated or len(scopes.assigned.get(key, ())) != 1:
        raise site.refuse(f"{name} is declared, or given another value", _BY_HAND)
    file.reshaped.add(key)
    for one in _mentions(file, scopes.module, key):
        if one is target:
            continue
        call = scopes.parent(scopes.parent(one) or one)
        if not (
            isinstance(call, cst.Call) and is_call_of_router(file, call) and call.func is scopes.parent(one)
        ):
            raise site.refuse(f"more is done with {name} than asking it", _BY_HAND)


def _mentions(file: Rewriter, node: cst.CSTNode, key: Key | None) -> list[cst.CSTNode]:
    """All places that name a variable."""
    is_name = isinstance(node, cst.Name | cst.Attribute) and id(node) not in file.scopes.not_read
    if is_name and file.resolver.variable(node) == key:
        return [node]
    return [found for child in children(node) for found in _mentions(file, child, key)]
