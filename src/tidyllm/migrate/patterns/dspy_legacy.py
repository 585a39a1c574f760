"""Clients of DSPy 2.x to `tidyllm.dspy.lm`. It knows their defaults; `dspy.LM(…)` itself is no legacy."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.patterns.dspy_classes import class_definition, given_to_dspy, method_call
from tidyllm.migrate.site import Site, expression, keyword, literal

__all__ = ["CALLS", "class_definition", "method_call"]

_KINDS = {
    "OpenAI": "openai", "Anthropic": "anthropic", "Claude": "anthropic", "OllamaLocal": "ollama", "GROQ": "groq",
    "GroqLM": "groq",
}  # fmt: skip
_PASSED = (
    "temperature", "max_tokens", "top_p", "frequency_penalty", "presence_penalty", "n", "stop", "api_key",
)  # fmt: skip


def client(site: Site) -> cst.BaseExpression:
    """`lm("openai/gpt-4o-mini", temperature=0)`."""
    given = site.given()
    kind = _KINDS[site.rule.name]
    provider = given.get("api_provider")
    if provider is not None and literal(provider.value) != "openai":
        raise site.refuse("it speaks to Azure", "Write the deployment into tidyllm.yaml as a route.")
    if "system_prompt" in given and literal(given["system_prompt"].value) is not None:
        raise site.refuse(
            "it puts a system prompt before every call", "Put it into the signature's docstring."
        )
    if "timeout_s" in given:
        raise site.refuse("it has a timeout of its own", "Write the timeout into a route in tidyllm.yaml.")
    model = given.get("model")
    if model is not None:
        name = _named(model.value, kind)
    else:
        default = site.rules.settings["default_models"].get(site.rule.name)
        if default is None:
            raise site.refuse("it names no model")
        name = expression(f'"{kind}/{default}"')
    args = [
        cst.Arg(name)
        if model is None
        else model.with_changes(keyword=None, value=name, equal=cst.MaybeSentinel.DEFAULT)
    ]
    address = given.get("api_base") or given.get("base_url")
    if address is not None and literal(address.value) is not None:
        args.append(keyword("base_url", address.value, address))
    args += [keyword(one, given[one].value, given[one]) for one in _PASSED if one in given]
    return site.calling(site.use("tidyllm.dspy.lm"), args)


def _named(value: cst.BaseExpression, kind: str) -> cst.BaseExpression:
    """The model's name with its kind in front."""
    text = literal(value)
    if isinstance(text, str) and isinstance(value, cst.SimpleString):
        whole = text if text.startswith(f"{kind}/") else f"{kind}/{text}"
        return value.with_changes(value=f"{value.prefix}{value.quote}{whole}{value.quote}")
    inner = cst.FormattedStringExpression(value)
    if isinstance(value, cst.Name | cst.Attribute):
        return cst.FormattedString([cst.FormattedStringText(f"{kind}/"), inner], start='f"', end='"')
    raise CannotConvert(
        "the name of its model is computed", f'Give tidyllm.dspy.lm the name with "{kind}/" in front.'
    )


def by_hand(site: Site) -> cst.BaseExpression:
    raise CannotConvert(site.rule.reason, site.rule.by_hand)


def configure(site: Site) -> cst.BaseExpression:
    """`dspy.configure(…)`."""
    func = site.original.func
    args = given_to_dspy(site.file, site.rules, site.original, site.call)
    site.call = site.call.with_changes(args=args)
    if isinstance(func, cst.Attribute) and isinstance(func.value, cst.Attribute):
        return site.call.with_changes(func=func.with_changes(value=func.value.value))
    module = site.file.module_name("dspy", site.bindings)
    return site.call.with_changes(func=cst.Attribute(module, cst.Name("configure")))


CALLS = {"client": client, "configure": configure, "by_hand": by_hand}
