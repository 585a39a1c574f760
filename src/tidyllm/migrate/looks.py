"""How new code looks among old: quotes inside f-strings, comments of arguments that are gone. It decides nothing."""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.tree import comments, rebuilt

__all__ = ["other_quotes", "with_comments"]


def other_quotes(old: cst.FormattedString, new: cst.CSTNode) -> cst.CSTNode:
    """New texts inside an f-string in the quotes that it does not use itself: until Python 3.12 it ends at its own."""
    if new is old:
        return old
    own = old.end[-1]
    other = "'" if own == '"' else '"'

    def change(node: cst.CSTNode) -> cst.CSTNode:
        if isinstance(node, cst.SimpleString) and node.quote == own and other not in node.value:
            return node.with_changes(value=node.value.replace(own, other))
        return rebuilt(node, change)

    return rebuilt(new, change)


def with_comments(old: cst.BaseExpression, new: cst.BaseExpression) -> cst.BaseExpression:
    """Comments of arguments that are gone stand above those that are left."""
    if new is old or not isinstance(new, cst.Call):
        return new
    had = comments(old)
    if not had:
        return new
    have = [one.value for one in comments(new)]
    lost = [one for one in had if one.value not in have]
    if not lost or not isinstance(new.whitespace_before_args, cst.SimpleWhitespace):
        return new
    first, *rest = lost
    above = cst.ParenthesizedWhitespace(
        cst.TrailingWhitespace(cst.SimpleWhitespace("  "), first),
        [cst.EmptyLine(whitespace=cst.SimpleWhitespace("    "), comment=one) for one in rest],
        indent=True,
        last_line=cst.SimpleWhitespace("    "),
    )
    return new.with_changes(whitespace_before_args=above)
