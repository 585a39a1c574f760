"""Walking and rebuilding a syntax tree, without its whitespace. It knows the shapes of nodes, not what they mean.

LibCST's own visitors go through every blank and comma as well and build each node anew. Here a part that nothing was
changed in stays the same object, so its bytes stay as they were, and most of the tree is never touched.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

import libcst as cst

__all__ = ["children", "comments", "dotted", "last_name", "name_occurrences", "rebuilt", "text_of"]

_NO_MEANING = (
    "whitespace",
    "leading_lines",
    "lines_after",
    "header",
    "footer",
    "lpar",
    "rpar",
    "comma",
    "equal",
    "colon",
    "semicolon",
    "trailing_whitespace",
    "indent",
    "lbracket",
    "rbracket",
    "lbrace",
    "rbrace",
    "dot",
    "operator",
    "asynchronous",
    "encoding",
    "default_",
    "has_trailing",
    "relative",
    "first_colon",
    "second_colon",
    "star",
    "posonly_ind",
)
_KEEP = {"star_arg", "star_kwarg", "default"}
# Where the order of a node's fields is not that of the source.
_ORDER: dict[type[cst.CSTNode], tuple[str, ...]] = {
    cst.FunctionDef: ("decorators", "name", "type_parameters", "params", "returns", "body"),
    cst.ClassDef: ("decorators", "name", "type_parameters", "bases", "keywords", "body"),
    cst.IfExp: ("body", "test", "orelse"),
    cst.Arg: ("keyword", "value"),
    cst.Parameters: ("posonly_params", "params", "star_arg", "kwonly_params", "star_kwarg"),
    cst.Param: ("name", "annotation", "default"),
    cst.Comparison: ("left", "comparisons"),
    cst.ComparisonTarget: ("comparator",),
}


@cache
def _fields(kind: type[cst.CSTNode]) -> tuple[str, ...]:
    if kind in _ORDER:
        return _ORDER[kind]
    names = [field.name for field in dataclasses.fields(kind)]
    return tuple(name for name in names if name in _KEEP or not name.startswith(_NO_MEANING))


def children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The nodes right below, in the order of the source, without whitespace and punctuation."""
    for name in _fields(type(node)):
        value: object = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            yield value
        elif isinstance(value, list | tuple):
            for one in value:  # pyright: ignore[reportUnknownVariableType] - nodes, checked in the next line
                if isinstance(one, cst.CSTNode):
                    yield one


def rebuilt(node: cst.CSTNode, change: Callable[[cst.CSTNode], cst.CSTNode]) -> cst.CSTNode:
    """The node with each child passed through `change`; the same object when none of them differs."""
    changes: dict[str, object] = {}
    for name in _fields(type(node)):
        value: object = getattr(node, name)
        if isinstance(value, cst.CSTNode):
            new = change(value)
            if new is not value:
                changes[name] = new
        elif isinstance(value, list | tuple) and value:
            old: list[object] = list(value)  # pyright: ignore[reportUnknownArgumentType] - nodes or nothing
            done = [change(one) if isinstance(one, cst.CSTNode) else one for one in old]
            if any(one is not other for one, other in zip(done, old, strict=True)):
                changes[name] = done
    return node.with_changes(**changes) if changes else node


def dotted(node: cst.CSTNode) -> str | None:
    """`a.b.c` for names and attributes of names; None for anything else."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return None
    parts.append(node.value)
    return ".".join(reversed(parts))


def last_name(node: cst.CSTNode) -> str:
    """The last part of a dotted expression, whatever stands before it."""
    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def comments(node: cst.CSTNode) -> list[cst.Comment]:
    """All comments in the node, in the order of the source."""
    if isinstance(node, cst.Comment):
        return [node]
    return [one for child in node.children for one in comments(child)]


_EMPTY = cst.Module(body=[])


def text_of(node: cst.CSTNode) -> str:
    """How the node is written."""
    return _EMPTY.code_for_node(node)


def name_occurrences(module: cst.Module) -> Iterator[cst.Name]:
    """All identifiers in the order of the source, but for those inside f-strings."""

    def walk(node: cst.CSTNode) -> Iterator[cst.Name]:
        if isinstance(node, cst.Name):
            yield node
        elif not isinstance(node, cst.FormattedString):
            for child in children(node):
                yield from walk(child)

    return walk(module)
