"""One call that is being converted, and the tools for it. It knows arguments, not what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.rules import Name, Rules
from tidyllm.migrate.scope import Binding
from tidyllm.migrate.tree import dotted, text_of

if TYPE_CHECKING:
    from tidyllm.migrate.rewrite import Rewriter

__all__ = ["Site", "expression", "flat", "keyword", "literal", "positional", "tidy"]


def expression(text: str) -> cst.BaseExpression:
    """The expression that is written like this."""
    return cst.parse_expression(text)


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))


def keyword(name: str, value: cst.BaseExpression, like: cst.Arg | None = None) -> cst.Arg:
    """`name=value`; comments and line ends are those of `like`."""
    if like is None:
        return cst.Arg(value, cst.Name(name), equal=_TIGHT)
    equal = like.equal if isinstance(like.equal, cst.AssignEqual) else _TIGHT
    return like.with_changes(keyword=cst.Name(name), value=value, equal=equal, star="")


def positional(value: cst.BaseExpression, like: cst.Arg | None = None) -> cst.Arg:
    """`value`; comments and line ends are those of `like`."""
    if like is None:
        return cst.Arg(value)
    return like.with_changes(keyword=None, value=value, equal=cst.MaybeSentinel.DEFAULT)


def literal(node: cst.CSTNode | None) -> object:
    """The value of a number, text, True, False or None; Ellipsis for anything else."""
    if isinstance(node, cst.Name):
        return {"True": True, "False": False, "None": None}.get(node.value, ...)
    if isinstance(node, cst.Integer | cst.Float):
        return node.evaluated_value
    if isinstance(node, cst.SimpleString):
        return node.evaluated_value
    if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
        value = literal(node.expression)
        return -value if isinstance(value, int | float) else ...
    return ...


class Site:
    """A call of a legacy name. `original` is as the file has it, `call` has its arguments converted already."""

    def __init__(
        self,
        file: Rewriter,
        rules: Rules,
        rule: Name,
        original: cst.Call,
        *,
        call: cst.Call,
        bindings: tuple[Binding, ...],
    ) -> None:
        self.file = file
        self.rules = rules
        self.rule = rule
        self.original = original
        self.call = call
        self.bindings = bindings
        self.method = ""

    # -- names

    def use(self, target: str) -> cst.Name:
        """The name under which `target`, a dotted name, is known in this file; it is imported where that is needed."""
        return self.file.use(target, self.bindings)

    def replacement(self) -> cst.Name:
        """The name that takes the place of the called one: its own alias where it was imported under one."""
        if not self.rule.to:
            raise CannotConvert(self.rule.reason or "nothing takes its place", self.rule.by_hand)
        return self.file.use(self.rule.to, self.bindings, alias=True)

    # -- arguments

    def given(
        self, names: Sequence[str] | None = None, *, call: cst.Call | None = None
    ) -> dict[str, cst.Arg]:
        """The arguments by the names of the old parameters.

        :raises CannotConvert: there are `*args`, `**kwargs` that are no literal, or arguments that are not known.
        """
        order = self.rule.arguments if names is None else tuple(names)
        found: dict[str, cst.Arg] = {}
        for place, arg in enumerate((call or self.call).args):
            if arg.star == "*":
                raise CannotConvert("it is called with *args", "Write the arguments out and run it again.")
            if arg.star == "**":
                for name, one in self._spread(arg).items():
                    self._known(name, order, found)
                    found[name] = one
                continue
            if arg.keyword is None:
                if place >= len(order):
                    raise CannotConvert(
                        f"argument {place + 1} of {self.rule.name} is not known",
                        "Look up what it means and set it by hand.",
                    )
                found[order[place]] = arg
                continue
            self._known(arg.keyword.value, order, found)
            found[arg.keyword.value] = arg
        return found

    def _known(self, name: str, order: Sequence[str], found: Mapping[str, cst.Arg]) -> None:
        if name in found:
            raise CannotConvert(f"the argument {name!r} is given twice", "Keep one of them.")
        if name not in order and name not in self.rule.drop:
            raise CannotConvert(
                f"the argument {name!r} of {self.rule.name} has no counterpart",
                "Look up what it means and set it by hand.",
            )

    def _spread(self, arg: cst.Arg) -> dict[str, cst.Arg]:
        """`**{"a": 1}` and `**dict(a=1)` as arguments."""
        value = arg.value
        pairs: dict[str, cst.Arg] = {}
        if isinstance(value, cst.Dict):
            for one in value.elements:
                name = literal(one.key) if isinstance(one, cst.DictElement) else ...
                if not isinstance(name, str) or not name.isidentifier():
                    break
                pairs[name] = cst.Arg(one.value, cst.Name(name), equal=_TIGHT)
            else:
                return pairs
        is_dict = isinstance(value, cst.Call) and dotted(value.func) == "dict"
        if (
            is_dict
            and isinstance(value, cst.Call)
            and all(one.keyword and not one.star for one in value.args)
        ):
            return {one.keyword.value: one for one in value.args if one.keyword is not None}
        raise CannotConvert(
            f"its arguments come from **{text_of(value)}",
            "Write the arguments out and run it again.",
        )

    def spread_only(self) -> bool:
        """Whether one of the arguments is a `**name` whose content is not seen here."""
        return any(
            one.star == "**" and not isinstance(one.value, cst.Dict | cst.Call) for one in self.call.args
        )

    def renamed(self, arguments: Mapping[str, cst.Arg] | None = None) -> list[cst.Arg]:
        """The arguments under their new names, in the order of the file; what is dropped without loss is left out."""
        found = self.given() if arguments is None else arguments
        done: list[cst.Arg] = []
        for name, arg in found.items():
            if name in self.rule.drop:
                continue
            done.append(keyword(self.rule.rename.get(name, name), arg.value, arg))
        return tidy(done)

    def calling(self, func: cst.BaseExpression, args: Sequence[cst.Arg]) -> cst.Call:
        """The call with another function and other arguments; its brackets and line ends stay."""
        return self.call.with_changes(func=func, args=_spaced(self.call.args, tidy(args)))

    def refuse(self, reason: str, by_hand: str = "") -> CannotConvert:
        return CannotConvert(reason, by_hand or self.rule.by_hand)


def _spaced(old: Sequence[cst.Arg], new: list[cst.Arg]) -> list[cst.Arg]:
    """Arguments of a call on several lines, when others are now the last one or no longer are."""
    if not old or not new or not _has_line(old[-1]):
        return new
    last = old[-1]
    first = old[0] if len(old) > 1 else None
    for place, arg in enumerate(new[:-1]):
        if arg.comma is last.comma and arg.whitespace_after_arg is last.whitespace_after_arg:
            comma = first.comma if first is not None and isinstance(first.comma, cst.Comma) else None
            comma = comma or cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
            new[place] = arg.with_changes(comma=comma, whitespace_after_arg=cst.SimpleWhitespace(""))
    if "#" not in _EMPTY.code_for_node(new[-1]).rpartition(")")[2]:
        new[-1] = new[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    return new


_EMPTY = cst.Module(body=[])


def _has_line(arg: cst.Arg) -> bool:
    comma = arg.comma.whitespace_after if isinstance(arg.comma, cst.Comma) else None
    return any(isinstance(one, cst.ParenthesizedWhitespace) for one in (comma, arg.whitespace_after_arg))


def flat(arg: cst.Arg) -> cst.Arg:
    """An argument that moves into another call: without the line end that followed it."""
    if "#" in _EMPTY.code_for_node(arg.with_changes(value=cst.Name("x"))):
        return arg
    return arg.with_changes(comma=cst.MaybeSentinel.DEFAULT, whitespace_after_arg=cst.SimpleWhitespace(""))


def tidy(args: Sequence[cst.Arg]) -> list[cst.Arg]:
    """Arguments that can stand in a row: each but the last one has a comma."""
    done = list(args)
    for place, arg in enumerate(done[:-1]):
        if not isinstance(arg.comma, cst.Comma):
            done[place] = arg.with_changes(comma=cst.Comma(whitespace_after=cst.SimpleWhitespace(" ")))
    last = done[-1] if done else None
    if last is None or not isinstance(last.comma, cst.Comma):
        return done
    # A comma that was between two arguments, and now is behind the last one.
    on_one_line = isinstance(last.comma.whitespace_after, cst.SimpleWhitespace)
    if on_one_line and not isinstance(last.whitespace_after_arg, cst.ParenthesizedWhitespace):
        done[-1] = last.with_changes(comma=cst.MaybeSentinel.DEFAULT)
    return done
