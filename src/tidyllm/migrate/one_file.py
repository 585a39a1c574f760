"""What becomes of one file: read, converted, encoded again. It writes nothing and knows no other file."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from tidyllm.migrate.convert import Converted, convert
from tidyllm.migrate.errors import MigrateError
from tidyllm.migrate.findings import FileResult, Finding
from tidyllm.migrate.notebook import Notebook
from tidyllm.migrate.resolve import Facts
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.source import Source

__all__ = ["converted", "relevant", "selected"]


_LARGEST = 500_000
"""Characters. A syntax tree takes some hundred times the memory of its text; what is larger was not written by hand."""


def selected(data: bytes, library: Sequence[Rules], extra: Sequence[bytes] = ()) -> list[Rules]:
    """The patterns whose words are in the file at all."""
    passed_on = any(word in data for word in extra)
    found: list[Rules] = []
    for rules in library:
        also = [str(word).encode() for word in rules.settings.get("also", ())]
        if passed_on or (
            any(word in data for word in rules.needles) and (not also or any(word in data for word in also))
        ):
            found.append(rules)
    return found


def relevant(data: bytes, library: Sequence[Rules], extra: Sequence[bytes] = ()) -> bool:
    """Whether a file names anything that a pattern looks for."""
    return bool(selected(data, library, extra))


def converted(
    path: Path,
    name: str,
    library: Sequence[Rules],
    facts: Facts,
    extra: Sequence[bytes] = (),
    *,
    annotate: bool = False,
) -> FileResult:
    """The result for a file; every fault of the file itself becomes the result's `problem`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return FileResult(name, problem=f"it cannot be read: {error.strerror}")
    wanted = selected(data, library, extra)
    if not wanted:
        return FileResult(name)
    try:
        source = Source.decode(data)
        book = Notebook.read(source.text) if path.suffix == ".ipynb" else None
        text = source.text if book is None else book.module()
        if len(text) > _LARGEST:
            raise MigrateError(
                f"it holds {len(text) / 1e6:.1f} MB of code, and at most {_LARGEST / 1e6:.1f} MB is looked at."
            )
        _parses(text, notebook=book is not None)
        with _deep():
            done = convert(text, wanted, facts)
        new = done.text
        if annotate:
            from tidyllm.migrate.annotate import annotated

            new = annotated(text, new, done.findings)
        _parses(new, notebook=book is not None, ours=True)
        whole = new if book is None else book.replaced(new)
        after = source.encode(whole) if new != text else None
    except MigrateError as error:
        return FileResult(name, data, problem=error.message.rstrip("."), relevant=True)
    except SyntaxError as error:
        return FileResult(name, data, problem=f"it does not parse: {error}", relevant=True)
    except RecursionError:
        return FileResult(name, data, problem="its expressions are nested too deeply", relevant=True)
    except Exception as error:  # noqa: BLE001 - a fault of ours in one file must not keep the others
        return FileResult(name, data, problem=f"it met a fault of this program: {error!r}", relevant=True)
    findings = _placed(done, book)
    return FileResult(
        name,
        data,
        None if after == data else after,
        findings,
        relevant=True,
        tainted=done.tainted,
        exports=done.exports,
        kept=done.kept,
        renamed=done.renamed,
        reshaped=done.reshaped,
        problem="; ".join(why for _, why in book.skipped) if book is not None else "",
    )


def _placed(done: Converted, book: Notebook | None) -> tuple[Finding, ...]:
    if book is None:
        return done.findings
    places = [book.place(one.line) for one in done.findings]
    return tuple(
        replace(one, cell=cell, line=line) for one, (cell, line) in zip(done.findings, places, strict=True)
    )


def _parses(text: str, *, notebook: bool = False, ours: bool = False) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if notebook else 0
    try:
        # Not only parsed: `return` outside of a function is found by the compiler. Warnings are the file's own.
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, "file", "exec", flags | (0 if ours else ast.PyCF_ONLY_AST), dont_inherit=True)
    except ValueError as error:
        raise SyntaxError(str(error)) from error
    except SyntaxError as error:
        if ours:
            try:
                _parses(text, notebook=notebook)
            except SyntaxError:
                raise MigrateError(f"the converted text would not compile: {error}.") from error
        else:
            raise


@contextlib.contextmanager
def _deep() -> Generator[None]:
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(max(old, 6000))
    try:
        yield
    finally:
        sys.setrecursionlimit(old)
