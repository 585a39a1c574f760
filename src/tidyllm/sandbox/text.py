"""Text as it lies in files: which encoding, which line ends, and whether it is text at all. It knows no paths on disk.

For callers lines end with `\\n`; a file whose every line ends with `\\r\\n` is shown so and written as it was.
"""

from __future__ import annotations

import ast
import codecs
import io
import tokenize
import warnings
from dataclasses import dataclass

from tidyllm.errors import EditConflict, WorkspaceError

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_PYTHON = (".py", ".pyi", ".pyw")


@dataclass(frozen=True)
class Style:
    """How a text is stored."""

    encoding: str = "utf-8"
    crlf: bool = False


def decode(path: str, data: bytes) -> tuple[str, Style]:
    """The text of a file, with `\\n` where all lines ended with `\\r\\n`. `WorkspaceError` for binary content."""
    encoding = _encoding(path, data)
    try:
        text = data.decode(encoding)
        if text.encode(encoding) != data:
            raise ValueError
    except ValueError:
        raise WorkspaceError(f"{path} holds binary data; only text is read and edited here") from None
    ends = text.count("\n")
    crlf = ends > 0 and text.count("\r\n") == ends
    return (text.replace("\r\n", "\n") if crlf else text), Style(encoding, crlf)


def encode(path: str, text: str, style: Style) -> bytes:
    """The bytes of a text in the file's own encoding and line ends."""
    if "\0" in text:
        raise WorkspaceError(
            f"{path}: the text holds a NUL character, which no text file has; nothing was written"
        )
    if style.crlf:
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
    try:
        return text.encode(style.encoding)
    except UnicodeEncodeError as error:
        raise WorkspaceError(
            f"{path} is stored as {style.encoding}, which has no {text[error.start]!r}; nothing was written"
        ) from None


def must_parse(path: str, data: bytes) -> None:
    """`WorkspaceError` with line and reason if `path` is a Python file and `data` is no Python."""
    if not path.casefold().endswith(_PYTHON):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data, filename=path)
    except SyntaxError as error:
        line = (error.text or "").strip()
        shown = f": {line!r}" if line else ""
        raise WorkspaceError(
            f"{path}, line {error.lineno or 1}: {error.msg}{shown}. This is no valid Python; nothing was written"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise WorkspaceError(f"{path} cannot be parsed as Python ({error}); nothing was written") from None


def replaced(rel: str, whole: str, old: str, new: str) -> str:
    """The text with `old`, which must be in it once, replaced; `EditConflict` says where it is else."""
    if not old:
        raise EditConflict(f"{rel}: the text to replace is empty; give the lines as they are in the file")
    if old == new:
        raise EditConflict(f"{rel}: old and new text are the same; nothing would change")
    count = whole.count(old)
    if count == 1:
        return whole.replace(old, new)
    if count == 0:
        first = next((line for line in old.split("\n") if line.strip()), "").strip()
        near = [number for number, line in enumerate(whole.split("\n"), 1) if first and first in line][:5]
        hint = f"; its first line is like line {', '.join(map(str, near))}" if near else ""
        raise EditConflict(
            f"{rel}: the text to replace is not in the file{hint}. Read the file again and copy it exactly"
        )
    lines: list[str] = []
    at = whole.find(old)
    while at >= 0 and len(lines) < 10:
        lines.append(str(whole.count("\n", 0, at) + 1))
        at = whole.find(old, at + 1)
    raise EditConflict(
        f"{rel}: the text to replace is there {count} times (lines {', '.join(lines)}); add lines around it"
    )


def _encoding(path: str, data: bytes) -> str:
    for bom, name in _BOMS:
        if data.startswith(bom):
            return name
    if b"\0" in data:
        raise WorkspaceError(f"{path} holds binary data; only text is read and edited here")
    if path.casefold().endswith(_PYTHON):
        try:
            return tokenize.detect_encoding(io.BytesIO(data).readline)[0]
        except SyntaxError:
            pass
    try:
        data.decode()
        return "utf-8"
    except UnicodeDecodeError:
        pass
    if any(byte < 32 and byte not in b"\t\n\r\f\v\x1b" for byte in data[:65536]):
        raise WorkspaceError(f"{path} holds binary data; only text is read and edited here")
    return "latin-1"
