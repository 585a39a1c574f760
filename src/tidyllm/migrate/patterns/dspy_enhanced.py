"""`DSPyEnhancedWrapper(retry_config=…)` to `UnifiedDSPyWrapper(UnifiedConfig(retry=…))`. The rules hold the names."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.site import Site, tidy

__all__ = ["CALLS", "METHODS", "unified"]

_CONFIG = "tidyllm.dspy.UnifiedConfig"


def unified(site: Site, args: list[cst.Arg]) -> cst.BaseExpression:
    """`UnifiedDSPyWrapper(UnifiedConfig(…))`, with the brackets and line ends of the old call inside."""
    new = site.replacement()
    if not args:
        return site.calling(new, [])
    inner = cst.Call(site.use(_CONFIG), tidy(args), whitespace_before_args=site.call.whitespace_before_args)
    return site.call.with_changes(
        func=new, args=[cst.Arg(inner)], whitespace_before_args=cst.SimpleWhitespace("")
    )


def wrapper(site: Site) -> cst.BaseExpression:
    return unified(site, site.renamed())


def create_module(site: Site) -> cst.BaseExpression:
    """The same call; configurations for one module alone have no place in the new one."""
    for arg in site.call.args:
        if arg.keyword is not None and arg.keyword.value.endswith("_config"):
            raise site.refuse(
                f"the module has a {arg.keyword.value} of its own",
                "Make a wrapper of its own for this module, with that configuration.",
            )
    return site.call


CALLS = {"wrapper": wrapper}
METHODS = {"DSPyEnhancedWrapper.create_module": create_module}
