"""`OpenAI(base_url=…, api_key=…)` to the gateway: address and key come from the environment, the calls stay."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.site import Site, expression, keyword
from tidyllm.migrate.tree import text_of

__all__ = ["CALLS"]


def client(site: Site) -> cst.BaseExpression:
    """`OpenAI(base_url=os.environ["TIDYLLM_BASE_URL"], api_key=os.environ["TIDYLLM_API_KEY"])`."""
    args = site.call.args
    names = [arg.keyword.value if arg.keyword is not None else "" for arg in args]
    if any(arg.star for arg in args):
        raise CannotConvert(
            "its arguments come from elsewhere",
            "See that base_url is the gateway's address, and api_key a key of it.",
        )
    wanted = {name: f'{{}}.environ["{site.rules.settings[name]}"]' for name in ("base_url", "api_key")}
    if not {"base_url", "api_key"} & set(names):
        return (
            site.original
        )  # it reads OPENAI_BASE_URL and OPENAI_API_KEY: there is nothing to change in the code
    have = {name: text_of(arg.value) for name, arg in zip(names, args, strict=True)}
    if all(have.get(name) == text.format("os") for name, text in wanted.items()):
        return site.original
    done: list[cst.Arg] = []
    left = dict(wanted)
    for name, arg in zip(names, args, strict=True):
        if name in left:
            done.append(keyword(name, _environ(site, left.pop(name)), arg))
        else:
            done.append(arg)
    for place, name in enumerate(list(left)):
        done.insert(place, keyword(name, _environ(site, left.pop(name))))
    return site.calling(site.call.func, done)


def _environ(site: Site, text: str) -> cst.BaseExpression:
    new = expression(text.format("os"))
    module = site.file.module_name("os", site.bindings)
    assert isinstance(new, cst.Subscript)
    assert isinstance(new.value, cst.Attribute)
    return new.with_changes(value=new.value.with_changes(value=module))


def azure(site: Site) -> cst.BaseExpression:
    raise CannotConvert(
        "an Azure deployment is addressed by more than an address and a key",
        "Write the deployment into tidyllm.yaml as a route and use OpenAI with the gateway's address.",
    )


CALLS = {"client": client, "azure": azure}
