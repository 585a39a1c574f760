"""Functions `(input, context)` that primitives were given, as functions that steps take. It knows parameters only.

A step gives its context to a function only under the name `ctx`.
"""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.site import Site
from tidyllm.migrate.tree import children, rebuilt

__all__ = ["by_input", "for_context"]


def for_context(site: Site, value: cst.BaseExpression) -> cst.BaseExpression:
    """A function of `(x)` or `(x, ctx)` for one of `(x, anything)`."""
    if isinstance(value, cst.Lambda):
        params = value.params.params
        if not _plain(value.params) or len(params) not in (1, 2):
            raise site.refuse("its function takes other parameters")
        if len(params) == 1:
            return value
        second = params[1].name.value
        if not _reads(value.body, second):
            return value.with_changes(params=_only_first(value.params))
        return _renamed(site, value, second)
    node = _definition(site, value)
    if node is None:
        raise site.refuse("the parameters of its function are not seen in this file")
    params = [one for one in node.params.params if one.name.value != "self"]
    if not _plain(node.params) or len(params) not in (1, 2):
        raise site.refuse("its function takes other parameters")
    if len(params) == 1:
        return value
    if params[1].annotation is None and _reads(node.body, params[1].name.value):
        raise site.refuse(
            "its function looks at the context", "Annotate it as WorkflowContext, and run it again."
        )
    if params[1].name.value == "ctx":
        return value
    return _wrapped(site, node, value, params[1])


def _wrapped(
    site: Site, node: cst.FunctionDef, value: cst.BaseExpression, second: cst.Param
) -> cst.BaseExpression:
    """`lambda x, ctx: f(x, ctx)`: what it returns is awaited if it can be."""
    args = [
        cst.Arg(cst.Name("x"), comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))),
        cst.Arg(cst.Name("ctx")),
    ]
    params = [cst.Param(cst.Name("x")), cst.Param(cst.Name("ctx"))]
    return cst.Lambda(cst.Parameters(params), cst.Call(value, args))


def by_input(site: Site, value: cst.BaseExpression) -> cst.BaseExpression:
    """A function of `(x)` for one of `(x, context)` that does not look at its context."""
    if isinstance(value, cst.Lambda):
        params = value.params.params
        if not _plain(value.params) or len(params) not in (1, 2):
            raise site.refuse("its key function takes other parameters")
        if len(params) == 2 and _reads(value.body, params[1].name.value):
            raise site.refuse("its key depends on the context", "Put what decides into the input.")
        return value if len(params) == 1 else value.with_changes(params=_only_first(value.params))
    node = _definition(site, value)
    if node is None:
        raise site.refuse("what its key function looks at is not seen in this file")
    params = node.params.params
    if not _plain(node.params) or len(params) != 2 or _reads(node.body, params[1].name.value):
        raise site.refuse("its key depends on the context", "Put what decides into the input.")
    args = [
        cst.Arg(cst.Name("x"), comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))),
        cst.Arg(cst.Name("None")),
    ]
    return cst.Lambda(cst.Parameters([cst.Param(cst.Name("x"))]), cst.Call(value, args))


def _definition(site: Site, value: cst.BaseExpression) -> cst.FunctionDef | None:
    """The one function of this file that a name stands for."""
    scope = site.file.scopes.of.get(id(value))
    holder = scope.holder(value.value) if scope is not None and isinstance(value, cst.Name) else None
    found = holder.names[value.value] if holder is not None and isinstance(value, cst.Name) else []
    node = found[0].node if len(found) == 1 else None
    return node if isinstance(node, cst.FunctionDef) else None


def _plain(params: cst.Parameters) -> bool:
    return (
        not isinstance(params.star_arg, cst.Param | cst.ParamStar)
        and params.star_kwarg is None
        and not params.kwonly_params
        and not params.posonly_params
    )


def _only_first(params: cst.Parameters) -> cst.Parameters:
    return params.with_changes(params=[params.params[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)])


def _reads(node: cst.CSTNode, name: str) -> bool:
    if isinstance(node, cst.Attribute):
        return _reads(node.value, name)
    if isinstance(node, cst.Arg):
        return _reads(node.value, name)
    if isinstance(node, cst.Name):
        return node.value == name
    return any(_reads(child, name) for child in children(node))


_TAGS = {"workflow_id", "session_id", "player_id", "correlation_id"}


def _renamed(site: Site, node: cst.Lambda, old: str) -> cst.Lambda:
    """The lambda with its second parameter called `ctx`, and what it reads of it taken from the tags."""

    def change(one: cst.CSTNode) -> cst.CSTNode:
        if isinstance(one, cst.Attribute):
            if isinstance(one.value, cst.Name) and one.value.value == old:
                name = one.attr.value
                if name == "tags":
                    return one.with_changes(value=one.value.with_changes(value="ctx"))
                if name not in _TAGS:
                    raise site.refuse(f"its function looks at the context's {name}")
                return cst.parse_expression(f'ctx.tags.get("{name}")')
            value = change(one.value)
            return one if value is one.value else one.with_changes(value=value)
        if isinstance(one, cst.Arg):
            value = change(one.value)
            return one if value is one.value else one.with_changes(value=value)
        if isinstance(one, cst.Name):
            return one.with_changes(value="ctx") if one.value == old else one
        return rebuilt(one, change)

    params = list(node.params.params)
    params[1] = params[1].with_changes(name=cst.Name("ctx"))
    return node.with_changes(params=node.params.with_changes(params=params), body=change(node.body))
