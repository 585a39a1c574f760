"""Legacy names in texts: type hints that are quoted, `__all__`, and dotted paths. Any other text is only a text."""

from __future__ import annotations

import re

import libcst as cst

from tidyllm.migrate.site import literal
from tidyllm.migrate.ties import Entry, Ties
from tidyllm.migrate.tree import last_name

__all__ = ["NAMES", "converted_text", "is_annotation"]

NAMES = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
"""Dotted names in a type hint that is written as a text."""


def converted_text(file: Ties, node: cst.SimpleString) -> cst.CSTNode:
    """The text as it has to be, or as it is."""
    text = literal(node)
    if isinstance(text, str) and is_annotation(file, node):
        return _annotation(file, node)
    if not isinstance(text, str) or not text.isascii() or not text.replace(".", "a").isidentifier():
        return node
    above = file.scopes.parent(node)
    if isinstance(above, cst.Expr) or (isinstance(above, cst.DictElement) and above.key is node):
        return node
    new = _public(file, node, text) if "." not in text else None
    if new is None:
        new = _attribute_of(file, node, text) or _path(file, node, text)
    if new is None:
        return node
    opening = node.prefix + node.quote
    return node.with_changes(value=f"{opening}{new}{node.quote}")


def is_annotation(file: Ties, node: cst.CSTNode) -> bool:
    """Whether the text stands where a type hint stands."""
    here: cst.CSTNode | None = node
    while here is not None and not isinstance(here, cst.BaseSmallStatement | cst.BaseCompoundStatement):
        if isinstance(here, cst.Annotation):
            return True
        if isinstance(here, cst.Subscript) and last_name(here.value) in {"Literal", "Annotated"}:
            return False
        here = file.scopes.parent(here)
    return False


def _annotation(file: Ties, node: cst.SimpleString) -> cst.CSTNode:
    """A type hint that is written as a text."""
    scope = file.scopes.of[id(node)]

    def change(match: re.Match[str]) -> str:
        base, _, rest = match[0].partition(".")
        holder = scope.holder(base)
        imports = [one for one in holder.names[base] if one.kind == "import"] if holder is not None else []
        star = file.resolver.starred(base, "") if holder is None else None
        imports = imports if star is None else list(star[1])
        origin = ".".join([imports[0].origin, rest] if rest else [imports[0].origin]) if imports else ""
        legacy = file.resolver.legacy(origin) if len(imports) == 1 else None
        hint = str(legacy[0].settings.get("hint", "")) if legacy is not None else ""
        if hint and legacy is not None and legacy[1] is not None and legacy[1].arguments:
            file.log.append(Entry("converted", legacy[0], legacy[1].name, node))
            home, _, last = hint.rpartition(".")
            is_home = bool(rest) and origin.rpartition(".")[0] == home
            return f"{match[0].rpartition('.')[0]}.{last}" if is_home else file.use(hint, imports).value
        if legacy is None or legacy[1] is None or not legacy[1].to or legacy[1].keep:
            return match[0]
        if f"{legacy[0].pattern}.{legacy[1].name}" in file.blocked:
            return match[0]
        file.log.append(Entry("converted", legacy[0], legacy[1].name, node))
        return file.use(legacy[1].to, imports, alias=not rest).value

    value = NAMES.sub(change, node.value[len(node.prefix) :])
    return node if node.prefix + value == node.value else node.with_changes(value=node.prefix + value)


def _public(file: Ties, node: cst.SimpleString, text: str) -> str | None:
    """A name in `__all__`."""
    statement = file.scopes.statement(node)
    names = [] if not isinstance(statement, cst.Assign | cst.AugAssign | cst.AnnAssign) else (
        [one.target for one in statement.targets] if isinstance(statement, cst.Assign) else [statement.target]
    )  # fmt: skip
    if not any(isinstance(one, cst.Name) and one.value == "__all__" for one in names):
        return None
    for one in file.scopes.root.names.get(text, ()):
        legacy = file.resolver.legacy(one.origin) if one.kind == "import" else None
        if legacy is None:
            continue
        rules, rule, _ = legacy
        if (
            rule is None
            or not rule.to
            or text in file.facts.keep
            or f"{rules.pattern}.{rule.name}" in file.blocked
        ):
            reason = (
                "other files use it from here" if text in file.facts.keep else "it is passed on in __all__"
            )
            file.log.append(Entry("could_not", rules, text, node, reason, rule.by_hand if rule else ""))
            if rule is not None:
                file.block(rules, rule.name, f"{text} is passed on in __all__")
            return None
        file.log.append(Entry("converted", rules, text, node))
        return file.use(rule.to, (one,), alias=True).value
    return None


def _attribute_of(file: Ties, node: cst.SimpleString, text: str) -> str | None:
    """`setattr(app.core, "Name", …)`: the name of something in a module of the tree that is called otherwise now."""
    above = file.scopes.parent(node)
    call = file.scopes.parent(above) if isinstance(above, cst.Arg) else None
    if (
        not file.facts.renamed
        or not isinstance(call, cst.Call)
        or len(call.args) < 2
        or call.args[1] is not above
    ):
        return None
    origin = file.resolver.origin(call.args[0].value)
    if origin is None:
        return None
    new = file.facts.renamed.get(f"{file.facts.absolute(origin[0][0])}.{text}")
    return None if new is None else new.rpartition(".")[2]


def _path(file: Ties, node: cst.SimpleString, text: str) -> str | None:
    """A dotted path to a legacy name, or to a legacy module where modules are named."""
    if text in file.facts.exports:
        return file.facts.renamed.get(text)  # it is replaced where another module has it
    found = file.resolver.legacy(text)
    if found is not None:
        rules, rule, _ = found
        if rule is None or "." in rule.name:
            return None
        if rule.to:
            file.log.append(Entry("converted", rules, rule.name, node))
            return rule.to
        if rules.closed:
            file.log.append(
                Entry(
                    "could_not",
                    rules,
                    rule.name,
                    node,
                    "a text names it, and nothing takes its place",
                    rule.by_hand,
                )
            )
        return None
    home = file.resolver.legacy_module(text)
    above = file.scopes.parent(node)
    call = file.scopes.parent(above) if isinstance(above, cst.Arg) else None
    if home is None or not home.closed or not isinstance(call, cst.Call):
        return None
    if last_name(call.func) not in {"import_module", "__import__", "find_spec", "importorskip"}:
        return None
    if not home.home or file.targets(call):
        file.log.append(
            Entry("could_not", home, text, node, "the module is loaded by its name, and what is taken from it "
                  "is not seen", "Import the new names instead.")
        )  # fmt: skip
        return None
    file.log.append(Entry("converted", home, text, node))
    return home.home
