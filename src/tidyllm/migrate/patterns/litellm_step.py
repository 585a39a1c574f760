"""A model with `Timeout` and `Retry` around it, as LiteLLM was told. It knows names, not where a call stands."""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from tidyllm.migrate.site import Site, expression, keyword, literal

__all__ = ["commas", "step", "target", "tries"]


def commas(args: list[cst.Arg]) -> list[cst.Arg]:
    """Arguments on one line."""
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return [arg.with_changes(comma=comma) for arg in args[:-1]] + args[-1:]


def step(site: Site, arguments: Mapping[str, cst.Arg]) -> cst.BaseExpression:
    """`Fallback(Retry(Timeout(model(…), total=…), attempts=…), …)`."""
    given = {name: arg.value for name, arg in arguments.items()}
    names = [given["model"]]
    more = given.get("fallbacks")
    if more is not None and literal(more) is not None:
        if not isinstance(more, cst.List | cst.Tuple) or any(
            not isinstance(one, cst.Element) for one in more.elements
        ):
            raise site.refuse("its fallbacks are no list")
        names += [one.value for one in more.elements]
    retries = given.get("num_retries") or given.get("max_retries")
    targets = [cst.Arg(tries(site, target(site, name, given), retries)) for name in names]
    if len(targets) == 1:
        return targets[0].value
    return cst.Call(site.use("tidyllm.Fallback"), commas(targets))


def target(
    site: Site, name: cst.BaseExpression, given: Mapping[str, cst.BaseExpression]
) -> cst.BaseExpression:
    """`Timeout(model("kind/name", base_url=…, api_key=…), total=…)`."""
    args = [cst.Arg(_named(site, name))]
    address = given.get("api_base") or given.get("base_url")
    if address is not None and literal(address) is not None:
        args.append(keyword("base_url", address))
    if "api_key" in given and literal(given["api_key"]) is not None:
        args.append(keyword("api_key", given["api_key"]))
    done: cst.BaseExpression = cst.Call(site.use("tidyllm.model"), commas(args))
    time = given.get("timeout") or given.get("request_timeout")
    if time is not None and literal(time) is not None:
        if literal(time) == 0:
            raise site.refuse("its time limit is 0", "Leave it out, or give it seconds above 0.")
        done = cst.Call(site.use("tidyllm.Timeout"), commas([cst.Arg(done), keyword("total", time)]))
    return done


def tries(site: Site, step: cst.BaseExpression, retries: cst.BaseExpression | None) -> cst.BaseExpression:
    """`Retry(step, attempts=…)`: n retries are n + 1 attempts."""
    if retries is None or literal(retries) in (0, None):
        return step
    value = literal(retries)
    if isinstance(value, int):
        attempts = expression(str(value + 1))
    elif isinstance(retries, cst.Name | cst.Attribute):
        attempts = cst.BinaryOperation(retries, cst.Add(), expression("1"))
    else:
        raise site.refuse("how often it tries again is computed")
    return cst.Call(site.use("tidyllm.Retry"), commas([cst.Arg(step), keyword("attempts", attempts)]))


def _named(site: Site, node: cst.BaseExpression) -> cst.BaseExpression:
    """The name with its kind in front."""
    text = literal(node)
    first = node.parts[0] if isinstance(node, cst.FormattedString) and node.parts else None
    if isinstance(first, cst.FormattedStringText):
        kind, slash, _ = first.value.partition("/")
        if slash and kind in site.rules.settings["kinds"]:
            return node
    if not isinstance(text, str) or not isinstance(node, cst.SimpleString):
        constant = _constant(site, node)
        if (
            constant is not None
            and constant.partition("/")[0] in site.rules.settings["kinds"]
            and "/" in constant
        ):
            return node
        raise site.refuse(
            "the name of its model is not seen", 'Write it as "kind/name", such as "openai/gpt-5-mini".'
        )
    kind, slash, _ = text.partition("/")
    if slash:
        if kind not in site.rules.settings["kinds"]:
            raise site.refuse(
                f"there is no provider {kind!r}", "Write the model into tidyllm.yaml as a route."
            )
        return node
    for start, meant in site.rules.settings["bare"].items():
        if text.startswith(start):
            return node.with_changes(value=f"{node.prefix}{node.quote}{meant}/{text}{node.quote}")
    raise site.refuse(
        f"who serves {text!r} is not known", 'Write it as "kind/name", such as "openai/gpt-5-mini".'
    )


def _constant(site: Site, node: cst.BaseExpression) -> str | None:
    original = next(
        (arg.value for place, arg in enumerate(site.original.args)
         if (arg.keyword is None and place == 0) or (arg.keyword is not None and arg.keyword.value == "model")),
        node,
    )  # fmt: skip
    key = site.file.resolver.variable(original)
    values = site.file.scopes.assigned.get(key, []) if key is not None else []
    text = literal(values[0]) if len(values) == 1 else None
    return text if isinstance(text, str) else None
