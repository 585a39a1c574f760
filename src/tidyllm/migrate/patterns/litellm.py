"""`completion(model, messages, …)` to a model with wrappers around it. It knows what of an answer is read.

A call is converted when all that the file does with its answer is to read its text or its tokens.
"""

from __future__ import annotations

from collections.abc import Mapping

import libcst as cst

from tidyllm.migrate.looks import with_comments
from tidyllm.migrate.patterns.litellm_router import is_call_of_router, router, step_of_router
from tidyllm.migrate.patterns.litellm_step import commas, step
from tidyllm.migrate.patterns.litellm_stream import PIECE, is_piece, parts, pieces_are_read, text_of_piece
from tidyllm.migrate.resolve import Reference
from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.site import Site, keyword, literal
from tidyllm.migrate.tree import children

__all__ = ["CALLS", "METHODS", "chain"]

_RENAMED = {
    "temperature": "temperature", "top_p": "top_p", "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens", "stop": "stop", "seed": "seed", "user": "user",
    "presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty",
}  # fmt: skip
_KNOWN = {"model", "messages", "num_retries", "max_retries", "fallbacks", "timeout", "request_timeout", "api_key",
          "api_base", "base_url", "stream", "n", *_RENAMED}  # fmt: skip
_OF_ROUTERS = _KNOWN - {"model", "messages", "stream", "n", *_RENAMED}
_TEXT = (".choices", "[0]", ".message", ".content")
_TOKENS = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "total_tokens": "total_tokens",
}


def completion(site: Site) -> cst.BaseExpression:
    given = _given(site)
    streams = "stream" in given and literal(given["stream"].value) is True
    for name, plain in (("stream", False), ("n", 1)):
        if (
            name in given
            and literal(given[name].value) not in (plain, None)
            and not (streams and name == "stream")
        ):
            raise site.refuse(f"{name} is asked for")
    if "model" not in given or "messages" not in given:
        raise site.refuse("its model or its messages are missing")
    if streams:
        pieces_are_read(site, is_async=_is_async(site))
    else:
        _answer_is_read(site)
    step = _asked(site, given)
    args = [cst.Arg(_messages(site, given["messages"].value))]
    args += [keyword(_RENAMED[name], arg.value) for name, arg in given.items() if name in _RENAMED]
    request = cst.Call(site.use("tidyllm.Request"), commas(args))
    func = step if _is_async(site) else cst.Attribute(step, cst.Name("run_sync"))
    if streams:
        site.file.unawaited.add(id(site.original))
        func = cst.Attribute(step, cst.Name("stream"))
    return site.call.with_changes(
        func=func, args=[cst.Arg(request)], whitespace_before_args=cst.SimpleWhitespace("")
    )


def _is_async(site: Site) -> bool:
    return (site.method or site.rule.name) == "acompletion"


def _asked(site: Site, given: Mapping[str, cst.Arg]) -> cst.BaseExpression:
    """What is asked: a model with wrappers around it, or the one that a router has under that name."""
    if not site.method:
        return step(site, given)
    for name in _OF_ROUTERS & given.keys():
        raise site.refuse(f"a router is told {name} for one call", "Make a step of its own for this call.")
    return step_of_router(site, given["model"].value)


def _given(site: Site) -> dict[str, cst.Arg]:
    given: dict[str, cst.Arg] = {}
    for place, arg in enumerate(site.call.args):
        name = arg.keyword.value if arg.keyword is not None else ""
        if arg.star:
            raise site.refuse("its arguments come from elsewhere")
        order = ("model", "messages") if site.method else site.rule.arguments
        if not name and place < len(order):
            name = order[place]
        if name not in _KNOWN:
            raise site.refuse(f"the argument {name!r} has no counterpart here")
        given[name] = arg
    return given


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
                    one.with_changes(value=cst.Call(message, commas([cst.Arg(pair[0]), cst.Arg(pair[1])])))
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
    """The function that a call calls; a router's are as good as the module's."""
    if is_call_of_router(file, node) and isinstance(node, cst.Call) and isinstance(node.func, cst.Attribute):
        name = node.func.attr.value
        return Reference(rules, rules.names[name], name, ())
    found = file.resolver.reference(node.func) if isinstance(node, cst.Call) else None
    return found if found is not None and found.rules is rules else None


def chain(file: Rewriter, rules: Rules, node: cst.CSTNode) -> cst.CSTNode | None:
    """`answer.choices[0].message.content` becomes `answer.text`."""
    base, steps = parts(node)
    if (
        isinstance(base, cst.Name)
        and tuple(steps) == PIECE
        and is_piece(file, base)
        and not file.must_stay(base)
    ):
        return text_of_piece(file, rules, node)
    new = _read(steps)
    if new is None or not _is_answer(file, rules, base) or file.must_stay(base):
        return None
    mark = len(file.log)
    value = file.rewrite(base)
    if any(one.kind == "could_not" for one in file.log[mark:]):
        return None if not isinstance(base, cst.Name) else node
    done: cst.BaseExpression
    assert isinstance(value, cst.BaseExpression)
    if file.has_comments and isinstance(node, cst.Attribute | cst.Subscript):
        value = with_comments(node.with_changes(lpar=[], rpar=[]), value)
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
    if _is_async(site):
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
        if _read(parts(top)[1]) is not None:
            return
    raise site.refuse(
        "more of its answer is read than its text and tokens", "Read .text, .usage and .tool_calls by hand."
    )


def _uses(node: cst.CSTNode, name: str) -> list[cst.Name]:
    if isinstance(node, cst.Name):
        return [node] if node.value == name else []
    return [one for child in children(node) for one in _uses(child, name)]


CALLS = {"completion": completion, "router": router}
METHODS = {"Router.completion": completion, "Router.acompletion": completion}
