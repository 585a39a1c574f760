"""`async for chunk in await acompletion(…, stream=True)` to the pieces of a step. It knows what of a piece is read.

Only streams of which nothing but the pieces of text is read. There is no stream without an event loop.
"""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.site import Site, literal
from tidyllm.migrate.tree import children

__all__ = ["PIECE", "is_piece", "parts", "pieces_are_read", "text_of_piece"]

PIECE = (".choices", "[0]", ".delta", ".content")
_BY_HAND = "Write async for piece in model(...).stream(Request(messages)), and read piece.text."


def parts(node: cst.CSTNode) -> tuple[cst.CSTNode, list[str]]:
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


def _loop(site: Site) -> cst.For:
    """The loop over the stream, which is awaited there, or held by a variable that is used for nothing else."""
    scopes, resolver = site.file.scopes, site.file.resolver
    awaited = scopes.parent(site.original)
    above = None if awaited is None else scopes.parent(awaited)
    if (
        isinstance(above, cst.Assign)
        and len(above.targets) == 1
        and isinstance(above.targets[0].target, cst.Name)
    ):
        target = above.targets[0].target
        key = resolver.variable(target)
        uses = [
            one
            for one in _named(scopes.module, target.value)
            if one is not target and id(one) not in scopes.not_read and resolver.variable(one) == key
        ]
        above = scopes.parent(uses[0]) if len(uses) == 1 else None
        if isinstance(above, cst.For) and above.iter is uses[0]:
            return above
    elif isinstance(above, cst.For) and above.iter is awaited:
        return above
    raise site.refuse("its stream is passed on", _BY_HAND)


def pieces_are_read(site: Site, *, is_async: bool) -> None:
    """:raises CannotConvert: more is done with the stream than reading its pieces of text."""
    file, scopes = site.file, site.file.scopes
    if not is_async:
        raise site.refuse("it is a stream without an event loop", _BY_HAND)
    if not isinstance(scopes.parent(site.original), cst.Await):
        raise site.refuse("it is not awaited at once", _BY_HAND)
    loop = _loop(site)
    if loop.asynchronous is None or not isinstance(loop.target, cst.Name):
        raise site.refuse("its pieces are not read one by one", _BY_HAND)
    key = file.resolver.variable(loop.target)
    if key is None or len(scopes.assigned.get(key, ())) != 1:
        raise site.refuse(f"{loop.target.value} holds other things as well", _BY_HAND)
    for name in _named(scopes.module, loop.target.value):
        if name is loop.target or id(name) in scopes.not_read or file.resolver.variable(name) != key:
            continue
        top: cst.CSTNode = name
        above = scopes.parent(name)
        while isinstance(above, cst.Attribute | cst.Subscript) and above.value is top:
            top, above = above, scopes.parent(above)
            if tuple(parts(top)[1]) == PIECE:
                break
        else:
            raise site.refuse("more of its pieces is read than their text", _BY_HAND)
    file.pieces.add(key)


def is_piece(file: Rewriter, node: cst.Name) -> bool:
    """Whether a name stands for a piece of a stream that was converted."""
    return file.resolver.variable(node) in file.pieces


def text_of_piece(file: Rewriter, rules: Rules, node: cst.CSTNode) -> cst.BaseExpression:
    """`chunk.text`; where it matters that a piece without text had None, `(chunk.text or None)`."""
    assert isinstance(node, cst.Attribute | cst.Subscript)
    base, _ = parts(node)
    assert isinstance(base, cst.Name)
    file.log.append(Entry("converted", rules, f"{base.value}.text", node))
    text = cst.Attribute(base, cst.Name("text"), lpar=node.lpar, rpar=node.rpar)
    above = file.scopes.parent(node)
    if isinstance(
        above,
        cst.BooleanOperation | cst.If | cst.Arg | cst.AugAssign | cst.FormattedStringExpression | cst.Yield,
    ):
        return text
    return cst.BooleanOperation(
        text.with_changes(lpar=[], rpar=[]),
        cst.Or(),
        cst.Name("None"),
        lpar=[*node.lpar, cst.LeftParen()],
        rpar=[*node.rpar, cst.RightParen()],
    )


def _named(node: cst.CSTNode, name: str) -> list[cst.Name]:
    if isinstance(node, cst.Name):
        return [node] if node.value == name else []
    return [one for child in children(node) for one in _named(child, name)]
