"""`completion(model, messages, …)` to a model with wrappers around it. It knows what of an answer is read.

A call is converted when all that the file does with its answer is to read its text or its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.resolve import Reference
from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.site import Site, expression, keyword, literal
from tidyllm.migrate.tree import children

__all__ = ["CALLS", "chain"]

_RENAMED = {
    "temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens", "stop": "stop", "seed": "seed", "user": "user",
    "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
}  # fmt: skip
_KNOWN = {"model", "messages", "num_retries", "max_retries", "fallbacks", "timeout", "request_timeout", "api_key",
          "api_base", "base_url", "stream", "n", *_RENAMED}  # fmt: skip
_TEXT = (".choices", "[0]", ".message", ".content")
_TOKENS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
}


def completion(site: Site) -> cst.BaseExpression:
    given = _given(site)
    for name, plain in (("stream", False), ("n", 1)):
        if name in given and literal(given[name].value) not in (plain, None):
            raise site.refuse(f"{name} is asked for")
    if "model" not in given or "messages" not in given:
        raise site.refuse("its model or its messages are missing")
    _answer_is_read(site)
    step = _step(site, given)
    args = [cst.Arg(_messages(site, given["messages"].value))]
    args += [keyword(_RENAMED[name], arg.value) for name, arg in given.items() if name in _RENAMED]
    request = cst.Call(site.use("tidyllm.Request"), _commas(args))
    is_async = site.rule.name == "acompletion"
    func = step if is_async else cst.Attribute(step, cst.Name("run_sync"))
    return site.call.with_changes(
        func=func, args=[cst.Arg(request)], whitespace_before_args=cst.SimpleWhitespace("")
    )


def _given(site: Site) -> dict[str, cst.Arg]:
    given: dict[str, cst.Arg] = {}
    for place, arg in enumerate(site.call.args):
        name = arg.keyword.value if arg.keyword is not None else ""
        if arg.star:
            raise site.refuse("its arguments come from elsewhere")
        if not name and place < len(site.rule.arguments):
            name = site.rule.arguments[place]
        if name not in _KNOWN:
            raise site.refuse(f"the argument {name!r} has no counterpart here")
        given[name] = arg
    return given


def _commas(args: list[cst.Arg]) -> list[cst.Arg]:
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return [arg.with_changes(comma=comma) for arg in args[:-1]] + args[-1:]


def _step(site: Site, given: Mapping[str, cst.Arg]) -> cst.BaseExpression:
    """`Fallback(Retry(Timeout(model(…), total=…), attempts=…), …)`."""
    names = [given["model"].value]
    more = given.get("fallbacks")
    if more is not None and literal(more.value) is not None:
        if not isinstance(more.value, cst.List | cst.Tuple) or any(
            not isinstance(one, cst.Element) for one in more.value.elements
        ):
            raise site.refuse("its fallbacks are no list")
        names += [one.value for one in more.value.elements]
    targets = [cst.Arg(_target(site, name, given)) for name in names]
    if len(targets) == 1:
        return targets[0].value
    return cst.Call(site.use("tidyllm.Fallback"), _commas(targets))


def _target(site: Site, name: cst.BaseExpression, given: Mapping[str, cst.Arg]) -> cst.BaseExpression:
    args = [cst.Arg(_named(site, name))]
    address = given.get("api_base") or given.get("base_url")
    if address is not None and literal(address.value) is not None:
        args.append(keyword("base_url", address.value))
    if "api_key" in given and literal(given["api_key"].value) is not None:
        args.append(keyword("api_key", given["api_key"].value))
    step: cst.BaseExpression = cst.Call(site.use("tidyllm.model"), _commas(args))
    time = given.get("timeout") or given.get("request_timeout")
    if time is not None and literal(time.value) is not None:
        step = cst.Call(site.use("tidyllm.Timeout"), _commas([cst.Arg(step), keyword("total", time.value)]))
    retries = given.get("num_retries") or given.get("max_retries")
    if retries is not None and literal(retries.value) not in (0, None):
        value = literal(retries.value)
        if isinstance(value, int):
            tries = expression(str(value + 1))
        elif isinstance(retries.value, cst.Name | cst.Attribute):
            tries = cst.BinaryOperation(retries.value, cst.Add(), expression("1"))
        else:
            raise site.refuse("how often it tries again is computed")
        step = cst.Call(site.use("tidyllm.Retry"), _commas([cst.Arg(step), keyword("attempts", tries)]))
    return step


def _named(site: Site, node: cst.BaseExpression) -> cst.BaseExpression:
    """The name with its kind in front."""
    text = literal(node)
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


def _messages(site: Site, node: cst.BaseExpression) -> cst.BaseExpression:
    """Messages of ours: written out where the list is written out, else decoded."""
    if isinstance(node, cst.List):
        pairs = [_pair(one.value) for one in node.elements]
        if all(pair is not None for pair in pairs):
            only = pairs[0] if len(pairs) == 1 else None
            if only is not None and literal(only[0]) == "user" and isinstance(only[1], cst.BaseString):
                return only[1]
            message = site.use("tidyllm.models.Message")
            return node.with_changes(
                elements=[
                    one.with_changes(value=cst.Call(message, _commas([cst.Arg(pair[0]), cst.Arg(pair[1])])))
                    for one, pair in zip(node.elements, pairs, strict=True)
                    if pair is not None
                ]
            )
    return cst.Call(site.use("tidyllm.models.openai_chat.decode_messages.decode_messages"), [cst.Arg(node)])


def _pair(node: cst.BaseExpression) -> tuple[cst.BaseExpression, cst.BaseExpression] | None:
    if not isinstance(node, cst.Dict) or len(node.elements) != 2:
        return None
    found = {literal(one.key): one.value for one in node.elements if isinstance(one, cst.DictElement)}
    role, content = found.get("role"), found.get("content")
    if role is None or content is None or literal(role) not in {"user", "system", "assistant", "developer"}:
        return None
    if isinstance(content, cst.List | cst.Dict):
        return None
    return role, content


# -- answers


def _parts(node: cst.CSTNode) -> tuple[cst.CSTNode, list[str]]:
    """`x.choices[0].message.content` as x and its steps; `["choices"]` counts as `.choices`."""
    steps: list[str] = []
    while True:
        if isinstance(node, cst.Attribute):
            steps.insert(0, f".{node.attr.value}")
            node = node.value
        elif (
            isinstance(node, cst.Subscript)
            and len(node.slice) == 1
            and isinstance(node.slice[0].slice, cst.Index)
        ):
            index = literal(node.slice[0].slice.value)
            steps.insert(0, f".{index}" if isinstance(index, str) else f"[{index}]")
            node = node.value
        else:
            return node, steps


def _read(steps: list[str]) -> str | None:
    if tuple(steps) == _TEXT:
        return ".text"
    if len(steps) == 2 and steps[0] == ".usage" and steps[1][1:] in _TOKENS:
        return f".usage.{_TOKENS[steps[1][1:]]}"
    return None


def _is_answer(file: Rewriter, rules: Rules, node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Await):
        node = node.expression
        found = _called(file, rules, node)
        return found is not None and found.name == "acompletion"
    found = _called(file, rules, node)
    if found is not None:
        return found.name == "completion"
    if not isinstance(node, cst.Name):
        return False
    key = file.resolver.variable(node)
    values = file.scopes.assigned.get(key, []) if key is not None else []
    return bool(values) and all(_is_answer(file, rules, one) for one in values)


def _called(file: Rewriter, rules: Rules, node: cst.CSTNode) -> Reference | None:
    found = file.resolver.reference(node.func) if isinstance(node, cst.Call) else None
    return found if found is not None and found.rules is rules else None


def chain(file: Rewriter, rules: Rules, node: cst.CSTNode) -> cst.CSTNode | None:
    """`answer.choices[0].message.content` becomes `answer.text`."""
    base, steps = _parts(node)
    new = _read(steps)
    if new is None or not _is_answer(file, rules, base) or file.must_stay(base):
        return None
    mark = len(file.log)
    value = file.rewrite(base)
    if any(one.kind == "could_not" for one in file.log[mark:]):
        return None if not isinstance(base, cst.Name) else node
    done: cst.BaseExpression
    assert isinstance(value, cst.BaseExpression)
    done = value
    for name in new.split(".")[1:]:
        done = cst.Attribute(done, cst.Name(name))
    assert isinstance(node, cst.BaseExpression)
    if isinstance(base, cst.Name):
        file.log.append(Entry("converted", rules, f"answer.{steps[-1].lstrip('.')}", node))
    return done.with_changes(lpar=node.lpar, rpar=node.rpar)


def _answer_is_read(site: Site) -> None:
    """:raises CannotConvert: something else is done with the answer than reading its text or tokens."""
    file, scopes = site.file, site.file.scopes
    here: cst.CSTNode = site.original
    above = scopes.parent(here)
    if site.rule.name == "acompletion":
        if not isinstance(above, cst.Await):
            raise site.refuse("it is not awaited at once")
        here, above = above, scopes.parent(above)
    if isinstance(above, cst.Expr):
        return
    if isinstance(above, cst.Attribute | cst.Subscript):
        _chain_is_known(site, here)
        return
    if (
        not isinstance(above, cst.Assign)
        or len(above.targets) != 1
        or not isinstance(above.targets[0].target, cst.Name)
    ):
        raise site.refuse(
            "its whole answer is passed on", "Pass on its text, or read .text where it arrives."
        )
    target = above.targets[0].target
    key = file.resolver.variable(target)
    for name in _uses(scopes.module, target.value):
        if name is target or id(name) in scopes.not_read or file.resolver.variable(name) != key:
            continue
        if id(name) in scopes.binding_names:
            continue
        _chain_is_known(site, name)
    values = scopes.assigned.get(key, []) if key is not None else []
    if not all(_is_answer(file, site.rules, one) for one in values):
        raise site.refuse(f"{target.value} holds other things as well")


def _chain_is_known(site: Site, node: cst.CSTNode) -> None:
    top, above = node, site.file.scopes.parent(node)
    while isinstance(above, cst.Attribute | cst.Subscript) and above.value is top:
        top, above = above, site.file.scopes.parent(above)
        if _read(_parts(top)[1]) is not None:
            return
    raise site.refuse(
        "more of its answer is read than its text and tokens", "Read .text, .usage and .tool_calls by hand."
    )


def _uses(node: cst.CSTNode, name: str) -> list[cst.Name]:
    if isinstance(node, cst.Name):
        return [node] if node.value == name else []
    return [one for child in children(node) for one in _uses(child, name)]


def router(site: Site) -> cst.BaseExpression:
    raise CannotConvert("its deployments belong into a configuration", site.rule.by_hand)


CALLS = {"completion": completion, "router": router}
